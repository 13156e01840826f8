"""The decisions of an answer: each free choice, how likely it was, and what else it might have been.

Pure: a text, its tokens and the places of its calls in; probabilities out. Knows no message and no model. The laws: a
probability is the product of those of the tokens that made the choice, under the grammar's mask; the alternatives of a
choice and itself never add up to more than one; what nothing else could have been has probability 1 and is `forced`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chat_templates.readers.places import ArgumentPlace, CallPlace, Places, Span
from server.chat.decisions.names import name_odds
from server.chat.decisions.pieces import Other, Piece, decided_pieces, product
from server.engine.types import TokenChoice

CALL, TEXT, END = "call", "text", "end"
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Option:
    """What a choice might have been: a value of its kind, or, for values and keys, the text of a token."""

    chosen: Any
    p: float


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice. `least_sure` is the text of its least sure token, where `alternatives` are what else that might be.

    `is_spelled`: the alternatives are texts of tokens.
    """

    chosen: Any
    p: float = 1.0
    alternatives: tuple[Option, ...] = ()
    is_forced: bool = False
    least_sure: str | None = None
    is_spelled: bool = False

    def fields(self) -> dict[str, Any]:
        """The choice as a JSON object."""
        at = {} if self.least_sure is None else {"least_sure": self.least_sure}
        kind = "text" if self.is_spelled else "chosen"
        alternatives = [{kind: option.chosen, "p": _rounded(option.p)} for option in self.alternatives]
        head = {"chosen": self.chosen, "p": _rounded(self.p), "forced": self.is_forced}
        return {**head, **at, "alternatives": alternatives}


@dataclass(frozen=True, slots=True)
class ArgumentReport:
    """One argument: that it was given at all, and its value. `name` is None where all arguments are one text."""

    name: str | None
    key: Choice
    value: Choice

    def fields(self) -> dict[str, Any]:
        """The argument as a JSON object."""
        return {"name": self.name, "key": self.key.fields(), "value": self.value.fields()}


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call. `begun` is that a call was made here: the call decision itself, or one more call after the last.

    `left_out` is that no more arguments were given, `more` what came after the call; None for a call that a limit cut,
    and `left_out` where there was nothing to leave out. `withheld` is why an answer went on in words instead.
    """

    name: str
    begun: Choice
    tool: Choice
    arguments: tuple[ArgumentReport, ...] = ()
    left_out: Choice | None = None
    more: Choice | None = None
    withheld: str | None = None

    @property
    def confidence(self) -> float:
        """How likely it was that this tool would be called here."""
        return self.begun.p * self.tool.p

    @property
    def p(self) -> float:
        """How likely it was that this very call would be made here."""
        inside = math.prod(argument.key.p * argument.value.p for argument in self.arguments)
        return self.confidence * inside * (1.0 if self.left_out is None else self.left_out.p)

    def fields(self) -> dict[str, Any]:
        """The call as a JSON object."""
        return {
            "name": self.name,
            "confidence": _rounded(self.confidence),
            "p": _rounded(self.p),
            "begun": self.begun.fields(),
            "tool": self.tool.fields(),
            "arguments": [argument.fields() for argument in self.arguments],
            "left_out": None if self.left_out is None else self.left_out.fields(),
            "more": None if self.more is None else self.more.fields(),
            **({} if self.withheld is None else {"withheld": self.withheld}),
        }


@dataclass(frozen=True, slots=True)
class Decisions:
    """All of an answer. `call` is None for one that ended before it was a call or text."""

    call: Choice | None = None
    calls: tuple[CallReport, ...] = ()

    def withheld(self, index: int, reason: str) -> Decisions:
        """The decisions of an answer that did not make the call `index`, for this reason, nor any after it."""
        return replace(self, calls=(*self.calls[:index], replace(self.calls[index], withheld=reason)))

    def fields(self) -> dict[str, Any]:
        """The decisions as a JSON object."""
        call = None if self.call is None else self.call.fields()
        return {"call": call, "calls": [report.fields() for report in self.calls]}


@dataclass(frozen=True, slots=True)
class Offered:
    """What could be called: parameters by tool. `between` is how the form goes on from a call to the next."""

    parameters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    between: str = ""


def decisions(
    text: str, choices: Sequence[TokenChoice], places: Places, offered: Offered, *, is_cut: bool = False
) -> Decisions:
    """The decisions of an answer, or of its beginning. `choices` are its tokens, `places` those of its calls.

    `is_cut`: a limit ended it, and what would have come after its last call is not known.
    """
    inside = [choice for choice in choices if choice.start <= len(text)]
    pieces = _with_ends(text, decided_pieces(text, inside, _bounds(places)), places)
    decider = _decider(text, inside, places)
    first = _call_or_text(inside, places, decider)
    reports: list[CallReport] = []
    for i, place in enumerate(places.calls):
        following = places.calls[i + 1] if i + 1 < len(places.calls) else None
        before = reports[-1].more if reports else first
        begun = _begun_after_text(pieces, place) if place.follows_text or before is None else before
        # Where a call begins with its name, one token decides both: the name's odds are those among calls.
        is_one = i == 0 and decider is not None and place.opening[0] <= place.name_at[0] <= decider.start
        call = _Call(text, pieces, offered, place, following, is_cut, begun.p if is_one else 1.0)
        reports.append(call.report(begun))
    return Decisions(first, tuple(reports))


def _decider(text: str, choices: Sequence[TokenChoice], places: Places) -> TokenChoice | None:
    """The last token before anything was told where a call was an open question; None if that was never open.

    A thought comes before it; white space decides nothing.
    """
    told = len(text) + 1 if places.said_at is None else places.said_at
    open_ = (each for each in choices if each.call is not None and each.start < told and not _is_blank(each))
    return max(open_, key=lambda each: each.start, default=None)


def _call_or_text(choices: Sequence[TokenChoice], places: Places, decider: TokenChoice | None) -> Choice | None:
    """What the answer began as."""
    if places.said_at is None and not (choices and choices[-1].is_end):
        return None
    begins_as_call = bool(places.calls) and not places.calls[0].follows_text
    chosen, other = (CALL, TEXT) if begins_as_call else (TEXT, CALL)
    if decider is None or decider.call is None:
        return Choice(chosen, is_forced=True)
    call = min(max(decider.call, 0.0), 1.0)
    p, rest = (call, 1.0 - call) if begins_as_call else (1.0 - call, call)
    return Choice(chosen, p, (Option(other, rest),))


def _is_blank(choice: TokenChoice) -> bool:
    return not choice.is_end and not choice.piece.strip()


def _begun_after_text(pieces: Sequence[Piece], place: CallPlace) -> Choice:
    """That a call was begun after text: all of what led to its name."""
    opening = _within(pieces, place.opening)
    p = product(opening)
    return Choice(CALL, p, (Option(TEXT, 1.0 - p),) if opening else (), is_forced=not opening)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of an answer and the `following` one. `begun` is the part of its name's odds that is told already."""

    text: str
    pieces: Sequence[Piece]
    offered: Offered
    place: CallPlace
    following: CallPlace | None
    is_cut: bool
    begun: float

    def report(self, begun: Choice) -> CallReport:
        place = self.place
        return CallReport(
            place.name,
            begun,
            self._tool(),
            tuple(map(self._argument, place.arguments)),
            self._left_out(),
            None if place.end is None or (self.is_cut and self.following is None) else self._more(place.end),
        )

    def _tool(self) -> Choice:
        name = self.place.name
        span = _with_end(self.place.name_at)
        inside = _within(self.pieces, span)
        after = self.text[self.place.name_at[1] : span[1]]
        p, branches = name_odds(inside, span[0], name, after, self.offered.parameters)
        options = (
            Option(each.names[0] if len(each.names) == 1 else list(each.names), self._among_calls(each.p))
            for each in branches
        )
        return Choice(name, self._among_calls(p), tuple(options), is_forced=not inside)

    def _among_calls(self, p: float) -> float:
        return min(p / self.begun, 1.0) if self.begun else 1.0

    def _argument(self, place: ArgumentPlace) -> ArgumentReport:
        key = _spelled(place.name, _within(self.pieces, place.key))
        return ArgumentReport(place.name, key, _spelled(place.parsed, _within(self.pieces, place.value)))

    def _left_out(self) -> Choice | None:
        place = self.place
        if place.closing is None or any(argument.name is None for argument in place.arguments):
            return None
        given = {argument.name for argument in place.arguments}
        absent = [name for name in self.offered.parameters.get(place.name, ()) if name not in given]
        closing = _within(self.pieces, place.closing)
        return _spelled(absent, closing) if absent or closing else None

    def _more(self, end: int) -> Choice:
        """Another call or the end. What the model wrote after the call and before its answer was over led to it."""
        following = self.following
        if following is not None and not following.follows_text:
            inside = _within(self.pieces, (end, following.name_at[0]))
            p = product(inside)
            return Choice(CALL, p, (Option(END, 1.0 - p),) if inside else (), is_forced=not inside)
        inside = _within(self.pieces, (end, len(self.text) + 1))
        if following is not None:
            inside = inside[:1]
        reach, call = 1.0, 0.0
        for piece in inside:
            rest = self.offered.between.removeprefix(self.text[end : piece.at])
            call += reach * sum(other.p for other in piece.others if _goes_on(other, rest))
            reach *= piece.p
        call = min(call, 1.0)
        return Choice(END, 1.0 - call, (Option(CALL, call),) if call else (), is_forced=not inside)


def _goes_on(other: Other, between: str) -> bool:
    """Whether a token leads to another call: as the form has it, or as lists of near misses do."""
    if other.is_end or not other.text:
        return False
    begins = between.startswith(other.text) or other.text.startswith(between)
    return (bool(between) and begins) or other.text.lstrip().startswith((",", ";"))


def _spelled(chosen: Any, pieces: Sequence[Piece]) -> Choice:
    """A choice that tokens spelled, with the runners-up of the least sure one."""
    if not pieces:
        return Choice(chosen, is_forced=True, is_spelled=True)
    least = min(pieces, key=lambda piece: piece.p)
    options = tuple(Option(other.text, other.p) for other in least.others)
    return Choice(chosen, product(pieces), options, least_sure=least.text, is_spelled=True)


def _with_ends(text: str, pieces: Sequence[Piece], places: Places) -> list[Piece]:
    """The pieces, those in two that end a number or a word: what would have made it longer is a choice of the value.

    Quotes and brackets end their values themselves.
    """
    open_ended = {
        argument.value[1]
        for place in places.calls
        for argument in place.arguments
        if argument.name is not None and text[argument.value[0] : argument.value[1]][-1:].isalnum()
    }
    found: list[Piece] = []
    for piece in pieces:
        longer = [each for each in piece.others if each.text[:1].isalnum() or each.text[:1] in (".", "_")]
        if piece.at not in open_ended or not longer:
            found.append(piece)
            continue
        ends = max(1.0 - sum(each.p for each in longer), piece.p)
        rest = tuple(replace(each, p=each.p / ends) for each in piece.others if each not in longer)
        found.append(Piece(piece.at - 1, piece.text, ends, tuple(longer)))
        found.append(replace(piece, p=min(piece.p / ends, 1.0), others=rest))
    return found


def _bounds(places: Places) -> Iterable[int]:
    for place in places.calls:
        yield from (*place.opening, *_with_end(place.name_at))
        for argument in place.arguments:
            yield from (*argument.key, *argument.value)
        yield from place.closing or ()
        yield from () if place.end is None else (place.end,)


def _with_end(name_at: Span) -> Span:
    """A name with the character that ends it, which tells it from a longer one."""
    start, stop = name_at
    return (start, stop) if start == stop else (start, stop + 1)


def _within(pieces: Sequence[Piece], span: Span) -> list[Piece]:
    return [piece for piece in pieces if span[0] <= piece.at < span[1]]


def _rounded(p: float) -> float:
    return round(p, _DIGITS)
