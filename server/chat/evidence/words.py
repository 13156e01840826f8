"""The words of a text, which of them stand in the values of calls, and whether something is left.

Knows texts and JSON values; no schema, no token and no event. The law: words are compared by their letters and digits
alone, numbers by their value; nothing is guessed from meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"\w+(?:[^\w\s]+\w+)*", re.UNICODE)
_PART = re.compile(r"\w+", re.UNICODE)
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?$", re.ASCII)
_LEADING_NUMBER = re.compile(r"\d+", re.ASCII)
_QUOTED = re.compile(r"(['\"\u2018\u201c\u00ab`])(.{1,200}?)(['\"\u2019\u201d\u00bb`])(?!\w)")
_COUNT = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMERALS = {name: str(n) for n, name in enumerate(_COUNT.split())}
_JOINING_WORDS = """
and also plus both each as well second other another und auch sowie et aussi también además och också samt ook oraz
także и также 和 与 以及 と
"""
_EMPTY_WORDS = """
a an the of in on at to for from by with is are was were be do does did has have i me my we our you your it its this
that these those what which who whose how when where why please can could would will should tell give get find show make
need want know let's s t or not no if there their his her as well also and then plus
"""
# Words that join what is asked for, in languages that small models are asked in; and those that name nothing.
_JOINING = frozenset(_JOINING_WORDS.split())
_EMPTY = frozenset(_EMPTY_WORDS.split())


@dataclass(frozen=True, slots=True)
class _Word:
    text: str  # casefolded
    is_marked: bool  # a name, a number, or what stands in quotation marks
    begins: bool  # a sentence
    is_listed: bool  # behind a comma or a sign that joins


class Words:
    """The words of one text, and which of them stand in values."""

    def __init__(self, text: str) -> None:
        self._words = tuple(_words(text))
        self._places: dict[str, set[int]] = {}
        for i, word in enumerate(self._words):
            for form in _forms(word.text):
                self._places.setdefault(form, set()).add(i)

    def has(self, value: Any) -> bool:
        """Whether every word of a value stands in the text; true for what has no words: truth values, empty ones."""
        return all(self._has_word(word) for word in _leaf_words(value))

    def _has_word(self, word: str) -> bool:
        """Whether a word stands here as it is, or in all of its parts: a path of which one part is named does not."""
        parts = _PART.findall(word)
        if len(parts) > 1 and not _NUMBER.match(word) and not {word, "".join(parts)} & self._places.keys():
            return all(any(form in self._places for form in _forms(part)) for part in parts)
        return any(form in self._places for form in _forms(word))

    def has_some(self, value: Any) -> bool:
        """Whether a word of a value that says something stands in the text."""
        return any(form in self._places for word in _leaf_words(value) if not _is_empty(word) for form in _forms(word))

    def places(self, value: Any) -> frozenset[int]:
        """Where in the text the words of a value stand, empty words left out."""
        found: set[int] = set()
        for word in _leaf_words(value):
            if not _is_empty(word):
                for form in _forms(word):
                    found |= self._places.get(form, set())
        return frozenset(found)

    @property
    def names_something(self) -> bool:
        """Whether a name, a number or a quotation stands in the text."""
        return any(word.is_marked or word.text in _NUMERALS for word in self._words)

    def left(self, taken: Iterable[int], said: str) -> bool:
        """Whether the text names something more than the `taken` places and the words that stand in `said`.

        Words that are left do where the text joins things: with "and" or another such word, or in a second sentence;
        names and numbers behind a comma, too. What is left of a single thing is how it was said.
        """
        taken, known = set(taken), {form for word in _words(said) for form in _forms(word.text)}
        left = [
            word
            for i, word in enumerate(self._words)
            if i not in taken
            and not _is_empty(word.text)
            and word.text not in _JOINING
            and not any(f in known for f in _forms(word.text))
        ]
        joins = any(word.text in _JOINING for word in self._words) or any(w.begins for w in self._words[1:])
        return (joins and bool(left)) or any(word.is_marked and word.is_listed for word in left)


def mentions(text: str, value: Any) -> bool:
    """Whether a word of a value that says something stands in a casefolded text, which may be long."""
    return any(_is_in(word, text) for word in _leaf_words(value) if not _is_empty(word))


def share_mentioned(text: str, value: Any) -> float:
    """The share of a value's words that say something which stand in a casefolded text; 0 if none say something.

    The parts of a path are words of their own.
    """
    words = [part for word in _leaf_words(value) for part in _PART.findall(word) if not _is_empty(part)]
    return sum(_is_in(word, text) for word in words) / len(words) if words else 0.0


def _is_in(word: str, text: str) -> bool:
    if _NUMBER.match(word):
        return re.search(rf"(?<![\d.]){re.escape(_number(word))}(?!\d)", text) is not None
    return any(re.search(rf"(?<!\w){re.escape(form)}s?(?!\w)", text) is not None for form in _forms(word))


def _words(text: str) -> Iterator[_Word]:
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    begins = True
    end = 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        begins = begins or any(mark in between for mark in ".!?:\n")
        word, end = match[0], match.end()
        is_name = word[0].isupper() and not begins and not _is_empty(word.casefold())
        has_sign = any(c.isdigit() for c in word) or not word.replace("'", "").replace("-", "").isalpha()
        while quoted and quoted[0][1] <= match.start():
            del quoted[0]
        is_quoted = bool(quoted) and quoted[0][0] <= match.start()
        is_marked = is_name or has_sign or is_quoted
        yield _Word(word.casefold(), is_marked, begins, any(mark in between for mark in ",;&+"))
        begins = False


def _is_empty(word: str) -> bool:
    """Whether a casefolded word names nothing: "what's" is "what"."""
    return re.split("['\u2019]", word, maxsplit=1)[0] in _EMPTY


def _leaf_words(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaf_words(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaf_words(part)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        yield f"{abs(value):.15g}"
    else:
        yield from (match[0].casefold() for match in _WORD.finditer(str(value)))


def _forms(word: str) -> set[str]:
    """What a word may equal: itself, its letters and digits, its parts, its numbers without sign, its singular."""
    if word.isalpha():
        forms = {word, word[:-1]} if len(word) > 3 and word.endswith("s") else {word}
        return forms | {_NUMERALS[word]} if word in _NUMERALS else forms
    if _NUMBER.match(word):
        return {_number(word)}
    parts = _PART.findall(word)
    forms = {word, "".join(parts), *(part for part in parts if len(part) > 1)}
    forms.update(_number(number[0]) for part in parts if (number := _LEADING_NUMBER.match(part)))  # 10kg, 2x^2
    return forms


def _number(text: str) -> str:
    return f"{abs(float(text.replace(',', ''))):.15g}"
