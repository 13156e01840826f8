"""Which calls the conversation speaks for: one that is grounded in it, and one more that it asks for.

Knows functions, JSON values and words; no token and no event. The laws: a call is refused only if none of the values
that it must have was said, and the user named nothing that they could come from; a further call is made only if all of
them are the question's and one of them is in no call that was made. What cannot be judged by words (truth values,
choices of an enumeration, codes, dates) speaks neither for a call nor against it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.chat.evidence.words import Words, mentions
from server.chat.loop.results import question_of, same, text_of

# "tomorrow" becomes a date, "noon" a time.
_DATE_OR_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?|\d{1,2}:\d{2}(:\d{2})?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
# "dollars" becomes USD, "apple" AAPL.
_CODE = re.compile(r"[A-Z]{2,6}")
# The second of two things that come one after the other may need the first one's result: where it says so.
_SEQUENCE = re.compile(
    r"\b(once|after(wards)?|based on|the results?|danach|anschließend|ensuite)\b"
    r"|\b(then|finally|dann|puis|después)\b.*\b(it|its|them|that|this|those|there|one|es|ihn|sie|ihm|ihr|lo|la|le|les)\b",
    re.IGNORECASE | re.DOTALL,
)
# What names of tools begin with, whatever they are for.
_COMMON_VERBS = """
get find calculate compute search create set add list convert check make fetch generate retrieve data info information
value function analyze lookup
"""
_VERBS = frozenset(_COMMON_VERBS.split())
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")
_MAX_ASKED = 20_000  # characters of a user's message in which names are looked for
_MAX_SAID = 200_000  # characters of a conversation, its end, that are looked at
_LATIN = re.compile(r"[a-zA-Z]")
_OTHER_LETTER = re.compile(r"[^\W\d_a-zA-Z\u00C0-\u024F]")


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call of an answer, its arguments as JSON values."""

    name: str
    arguments: Any


class Evidence:
    """What one conversation says for and against calls of its functions, bare function objects."""

    def __init__(self, messages: Sequence[Mapping[str, Any]], functions: Sequence[Mapping[str, Any]]) -> None:
        self._messages = messages
        self._question = question_of(messages)
        self._functions = {function["name"]: function for function in functions}

    @functools.cached_property
    def _asked(self) -> Words:
        return Words(self._question)

    @functools.cached_property
    def said(self) -> str:
        """What the conversation's other parties said, casefolded: its end, if it is long."""
        # Made when the question alone does not tell: a conversation may be long.
        said = (text_of(m.get("content")) for m in self._messages if m.get("role") != "assistant")
        return "\n".join(said)[-_MAX_SAID:].casefold()

    def grounds(self, call: MadeCall) -> bool:
        """Whether anything that the call must have was said, or may come from what was: 300 from "five minutes".

        It may where users named something, or tools answered.
        """
        values = [value for _, value in self._required(call)]
        if not values or self._is_translated(values) or self.speaks_for(call):
            return True
        return self.names_something

    @functools.cached_property
    def names_something(self) -> bool:
        """Whether a user named something, or a tool answered: no call is refused then."""
        if any(message.get("role") == "tool" for message in self._messages):
            return True
        asked = (text_of(message.get("content")) for message in self._messages if message.get("role") == "user")
        return any(Words(text[-_MAX_ASKED:]).names_something for text in asked)

    def speaks_for(self, call: MadeCall) -> bool:
        """Whether something that the call must have was said; of a call that is not complete, so far."""
        values = [value for _, value in self._required(call)]
        return any(map(self._asked.has_some, values)) or any(mentions(self.said, value) for value in values)

    def asks_for_more(self, made: Sequence[MadeCall]) -> bool:
        """Whether the question names something that is in none of the calls made."""
        said = " ".join(_description(self._functions[call.name]) for call in made if call.name in self._functions)
        return self._asked.left(self._taken(made), said)

    @property
    def has_sequence(self) -> bool:
        """Whether the question puts one thing after another: a second tool may then need the first one's result."""
        return _SEQUENCE.search(self._question) is not None

    def asks_for(self, call: MadeCall, made: Sequence[MadeCall]) -> bool:
        """Whether the question asks for this call beside those made.

        Its values are the question's, or for the same argument of the same tool what a call had before it, and one is
        in no call. A tool that was not called yet is named in the question, or says as much that is new as what calls
        have said before it, and as what nobody said: one that could have been called in place of another is not called
        beside it.
        """
        if any(call.name == other.name and same(call.arguments, other.arguments) for other in made):
            return False
        alike = [other.arguments for other in made if other.name == call.name and isinstance(other.arguments, Mapping)]
        if self.rules_out(call, made):
            return False
        taken = self._taken(made)
        if alike:
            return bool(self._asked.places(call.arguments) - taken)
        if self.has_sequence:
            return False
        values = [value for _, value in self._judged(call, call.arguments)]
        places = [self._asked.places(value) for value in values]
        n_new = sum(bool(each - taken) for each in places)
        n_known = sum(bool(each) and each <= taken for each in places)
        n_unsaid = sum(not self._asked.has_some(value) for value in values)
        return n_new >= max(n_known, n_unsaid, 1) or self._names(call.name, made)

    def rules_out(self, call: MadeCall, made: Sequence[MadeCall]) -> bool:
        """Whether a call that is not whole yet cannot be asked for: a value that it must have was not said."""
        alike = [other.arguments for other in made if other.name == call.name and isinstance(other.arguments, Mapping)]
        values = ((n, v) for n, v in self._required(call) if not self._asked.has(v))
        return any(not any(value == known.get(name) for known in alike) for name, value in values)

    def _names(self, tool: str, made: Sequence[MadeCall]) -> bool:
        """Whether the question has a word of this tool's name that is in no value and in none of the tools called."""
        known = {part for call in made for part in _name_words(_description(self._functions.get(call.name, {})))}
        taken = self._taken(made)
        return any(self._asked.places(part) - taken for part in _name_words(tool) if part not in known)

    def _taken(self, made: Sequence[MadeCall]) -> frozenset[int]:
        return frozenset().union(*(self._asked.places(call.arguments) for call in made))

    def _required(self, call: MadeCall) -> Iterator[tuple[str, Any]]:
        """The arguments with values that the call must have and that words can speak for."""
        parameters = self._functions.get(call.name, {}).get("parameters") or {}
        yield from self._judged(call, parameters.get("required") or ())

    def _judged(self, call: MadeCall, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """These arguments with their values, but for those that words cannot speak for."""
        if not isinstance(call.arguments, Mapping):
            return
        parameters = self._functions.get(call.name, {}).get("parameters") or {}
        properties = parameters.get("properties") or {}
        for name in names:
            value, schema = call.arguments.get(name), properties.get(name) or {}
            is_choice = isinstance(schema, Mapping) and not schema.keys().isdisjoint({"enum", "const"})
            if is_choice or isinstance(value, bool) or value in (None, "", [], {}):
                continue
            if isinstance(value, str) and (_DATE_OR_TIME.fullmatch(value) or _CODE.fullmatch(value)):
                continue
            yield name, value

    def _is_translated(self, values: Sequence[Any]) -> bool:
        """Whether the question is in another script than the values: a city's name then stands in none of its words."""
        has_other = _OTHER_LETTER.search(self._question) is not None
        return has_other and any(isinstance(value, str) and _LATIN.search(value) for value in values)


def _name_words(name: str) -> set[str]:
    """The words of a tool's name that tell what it is for: `get_airQuality` has air and quality."""
    parts = (part.casefold() for part in _NAME_PART.findall(name))
    return {part for part in parts if len(part) > 2 and part not in _VERBS}


def _description(function: Mapping[str, Any]) -> str:
    """The words of a function's declaration: its name, descriptions and parameters."""
    return " ".join(re.sub(r"[_./-]", " ", text) for text in _texts(function))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield key
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
