r"""Every part of an answer goes to a recipient: `>>>NAME\n{…}`, or `>>>all\n` and text for the user.

Source: MeetKai/functionary, `llama3_prompt_template_v3.py`, `llama3_prompt_template.py` and `prompt_template_v2.py`;
where those parsers split inside a string, at a Python prompt or keep only one block of text, ours does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chat_templates.forms.form import CallForm, Function
from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.readers.json_calls import read_arguments
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.raw_arguments import RawArguments
from chat_templates.readers.state import MAX_NAME, OfferedNames, ParserState
from chat_templates.readers.tape import Ends, Reading

_CUT = ""  # in place of a recipient whose name a limit cut


@dataclass(frozen=True, slots=True)
class RecipientCall(CallForm):
    """Parts of an answer, each a recipient, `name_end` and a body; the body of a call is its arguments.

    `start` stands before the recipient of a call; where it is "" the prompt ends with it, an answer begins with a
    recipient and `separator` stands before the next one. `text_recipient` receives plain text; without one, text is
    what stands before the first call. `tokens` are the markers that vocabularies hold as single tokens: around them
    white space does not count, and after them a model may write `padding`, as SentencePiece does.
    """

    start: str
    name_end: str
    separator: str
    text_recipient: str | None = None
    tokens: tuple[str, ...] = ()
    padding: str = ""

    # --- as data -----------------------------------------------------------------------------------------------------

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return self.tokens

    @property
    def text_start(self) -> str:
        """See `CallForm.text_start`."""
        return self.text_recipient + self.name_end if self.text_recipient else ""

    @property
    def _lead(self) -> str:
        """What tells a call from the text before it."""
        return (self.start or self.separator).lstrip()

    # --- read --------------------------------------------------------------------------------------------------------

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """The marker before a recipient, or each of the tokens that it is made of, unless no call can be meant."""
        if offered.names == frozenset() and offered.code_name is None:
            return ()
        return tuple(token for token in self.tokens if token in self._lead) or (self._lead,)

    @property
    def no_opening(self) -> str | None:
        """See `CallForm.no_opening`: a marker again is no recipient."""
        return None if self.tokens else f"{re.escape(self._lead)}(?={re.escape(self._lead[0])})"

    def begin(self, state: ParserState) -> Reading[None]:
        """See `CallForm.begin`."""
        if not self.start:
            yield from self._parts(state, "")

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The rest of a marker, then parts until one is text or complete JSON."""
        yield from self._parts(state, opening)

    def _parts(self, state: ParserState, opening: str) -> Reading[None]:
        name = yield from self._recipient(state, opening)
        if name is None:
            state.answer.content(opening)
        while name:
            name = yield from self._part(state, name)

    def _recipient(self, state: ParserState, opening: str) -> Reading[str | None]:
        """The recipient after an opening (none: at the beginning). None, and nothing read, if there is none."""
        tape = state.tape
        name = ""
        rest = self._lead.partition(opening)[2] if opening else ""
        read, is_marker = yield from _text_ignoring_space(state, rest)
        if is_marker:
            name, text = yield from self._name(state, may_be_spaced=bool(self.tokens or not opening))
            read += text
            if self._is_recipient(state, name):
                end, is_end = yield from _text_ignoring_space(state, self.name_end)
                if is_end:
                    return name
                read += end
        if tape.is_at_end and tape.was_cut and (opening or self._begins_recipient(state, name)):
            return name if name == state.offered.code_name or (name and state.offered.has(name)) else _CUT
        tape.give_back(read)
        return None

    def _name(self, state: ParserState, *, may_be_spaced: bool) -> Reading[tuple[str, str]]:
        """What may be a recipient's name, and all that was read for it."""
        space, c = (yield from state.tape.next_solid()) if may_be_spaced else ("", (yield from state.tape.next()))
        name = ""
        while c is not None and self._may_be_recipient(state, name + c):
            name += c
            c = yield from state.tape.next()
        state.tape.give_back(c)
        return name, space + name

    def _may_be_recipient(self, state: ParserState, name: str) -> bool:
        if name[-1].isspace() or len(name) > MAX_NAME:
            return False
        if state.offered.names is None or (state.passes_unknown_names and self.openings(state.offered)):
            return name[-1].isalnum() or name[-1] in "_-.:/"
        return self._begins_recipient(state, name)

    def _begins_recipient(self, state: ParserState, name: str) -> bool:
        known = (self.text_recipient or "", state.offered.code_name or "")
        return any(each.startswith(name) for each in known) or state.offered.may_begin_with(name)

    def _is_recipient(self, state: ParserState, name: str) -> bool:
        if not name or name == self.text_recipient:
            return bool(name)
        offered = state.offered
        is_call = name == offered.code_name or state.passes_unknown_names or offered.has(name)
        return is_call and bool(self.openings(offered))

    def _part(self, state: ParserState, name: str) -> Reading[str | None]:
        """The part for a recipient, or its beginning if it is text. The next recipient, if that ended the part."""
        _, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if name == self.text_recipient:
            state.answer.start_block()
            return None
        is_code = name == state.offered.code_name
        index = state.answer.start_call(name)
        blank = "" if is_code else "{}"
        if c == "{" and not is_code:
            if (yield from read_arguments(state, index)) is not Scan.INVALID:
                return None
            blank = ""
        return (yield from self._raw_body(state, RawArguments(state, index, blank)))

    def _raw_body(self, state: ParserState, raw: RawArguments) -> Reading[str | None]:
        """Code, or arguments that are not JSON, up to the next recipient."""
        openings = self.openings(state.offered)
        markers = Ends((*openings, *state.stop))
        following: str | None = None
        while (marker := (yield from raw.until(markers))) in openings:
            following = yield from self._recipient(state, marker)
            if following is not None:
                break
            raw.take(marker)
        raw.end(is_complete=not (state.tape.is_at_end and state.tape.was_cut) or bool(following))
        return following

    # --- written into a grammar --------------------------------------------------------------------------------------

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return self.start + name + self.name_end, ""

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.call`."""
        return f"{self._written(grammar, self.around(function['name'])[0])} {grammar.arguments(function)}"

    def before_text(self, grammar: LarkGrammar) -> str:
        """See `CallForm.before_text`."""
        return f"{self._padding_of_prompt()} {self._written(grammar, self.text_start)}".strip()

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`."""
        more = self.more(grammar, call) if parallel else ""
        return grammar.numbered(f"{self._padding_of_prompt()} {call} {more}".strip())

    def more(self, grammar: LarkGrammar, call: str) -> str:
        """Any number of further calls."""
        return f"({self._written(grammar, self.separator)} {call})*"

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Text up to the name of a function: the marker alone may also be text, such as a Python prompt."""
        more = self.more(grammar, call) if parallel else ""
        bodies = []
        for function in functions:
            lead = self._lead + function["name"] + self.name_end
            heads = [grammar.text_up_to_spelled(lead)]
            if any(token in grammar.special_tokens for token in self.tokens):
                heads.append(f"TEXT {self._written(grammar, lead)}")
            bodies += [f"{head} {grammar.arguments(function)} {more}".rstrip() for head in heads]
        return bodies

    def _written(self, grammar: LarkGrammar, text: str) -> str:
        """A text in a rule's body, with the white space that may follow its tokens."""
        if not self.padding:
            return grammar.literal(text)
        pieces = re.split(f"({'|'.join(map(re.escape, self.tokens))})", text)
        space = f" {quoted(self.padding)}?"
        written = (grammar.literal(piece) + (space if piece in self.tokens else "") for piece in pieces if piece)
        return " ".join(written)

    def _padding_of_prompt(self) -> str:
        """White space at the beginning of an answer, where the prompt ends with a token."""
        return f"{quoted(self.padding)}?" if self.padding and not self.start else ""


def _text_ignoring_space(state: ParserState, wanted: str) -> Reading[tuple[str, bool]]:
    """Read a text whose white space may differ; of a text of white space alone, any that has it in it.

    What was read, and whether it is that text; if not, the reading stopped before the first other character.
    """
    read = ""
    for character in "".join(wanted.split()):
        space, c = yield from state.tape.next_solid()
        read += space
        if c != character:
            state.tape.give_back(c)
            return read, False
        read += c
    if wanted.isspace():
        read, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
    return read, not wanted.isspace() or wanted in read
