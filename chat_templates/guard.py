"""Which stretches of a prompt are to be read as text: those with markers that the caller wrote, not the template.

A caller who writes `<|im_end|>` into a message, a tool's result or a description must not end a turn. So before a
template runs, a character that nobody uses, the guard, is put behind the first character of every marker in the
caller's texts; after it, the guards tell where such markers came to stand, and are taken out again. Knows texts only:
what a marker is, the vocabulary says. Law: a prompt without markers of the caller's is not touched in any way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from chat_templates.errors import TemplateRequestError
from chat_templates.tools import PreparedTools, texts

# Of these characters Unicode says that they mean nothing until two sides agree on it.
_PRIVATE_USE = range(0xE000, 0xF900)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text of a prompt, and where in it markers are text.

    `plain` are stretches `[start, end)`, in order and apart, that begin and end at markers of the template or at the
    ends of the prompt: no marker inside is one. `moved` are the indices of system messages for which the format has no
    place: the model is shown them as the user's.
    """

    text: str
    plain: tuple[tuple[int, int], ...] = ()
    moved: tuple[int, ...] = ()


class Markers:
    """The texts that a vocabulary holds as special tokens, ready to be looked for. Build it once for a vocabulary."""

    def __init__(self, texts: Iterable[str]) -> None:
        known = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
        rests: dict[str, list[str]] = {}
        for text in known:
            rests.setdefault(text[0], []).append(text[1:])
        marker = "|".join(_beginning_with(first, some) for first, some in rests.items())
        self._pattern = re.compile(marker or r"(?!)")
        self._first = re.compile(f"(?={marker})(.)" if known else r"(?!)", re.DOTALL)

    def occur_in(self, text: str) -> bool:
        """Whether there is a marker in this text."""
        return self._pattern.search(text) is not None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the markers of a text stand, the longest at each place."""
        return (match.span() for match in self._pattern.finditer(text))

    def broken(self, text: str, guard: str) -> str:
        """The text with a guard behind the first character of every marker, of those inside others as well."""
        return self._first.sub(rf"\1{guard}", text) if self.occur_in(text) else text


NO_MARKERS = Markers(())


class Guard:
    """Guards the texts of one request. Raises `TemplateRequestError` if they leave no character to do it with."""

    def __init__(self, markers: Markers, tools: PreparedTools | None, *given: Any) -> None:
        self._markers = markers
        found = list(texts(given))
        of_tools = () if tools is None else tools.texts
        has_markers = any(map(markers.occur_in, found)) or (tools is not None and tools.have_markers(markers))
        self._guard = _unused([*found, *of_tools]) if has_markers else ""

    def over(self, value: T) -> T:
        """A JSON value with all its markers broken, names of members included. Tools without any stay prepared."""
        if isinstance(value, PreparedTools) and not value.have_markers(self._markers):
            return value
        return _mapped(value, self._markers, self._guard) if self._guard else value

    def prompt(self, rendered: str) -> Prompt:
        """What a template rendered of guarded texts, without the guards."""
        if not self._guard:
            return Prompt(rendered)
        # A template may print JSON or Python in ASCII.
        pieces = re.split(f"{self._guard}|{re.escape(_escaped(self._guard))}", rendered)
        cuts, own, length = [], [(0, 0)], 0
        for piece in pieces:
            own += [(length + start, length + end) for start, end in self._markers.spans(piece)]
            length += len(piece)
            cuts.append(length)
        return Prompt("".join(pieces), tuple(_stretches(cuts[:-1], [*own, (length, length)])))


def _beginning_with(first: str, rests: Collection[str]) -> str:
    """The regular expression of markers that begin with this character, of which `rests` follow, the longest first.

    A vocabulary may have a thousand markers: two characters spare almost every place the look at all of them.
    """
    seconds = "".join(re.escape(rest[0]) for rest in rests)
    return f"{re.escape(first)}(?=[{seconds}])(?:{'|'.join(map(re.escape, rests))})"


def _stretches(cuts: Collection[int], own: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The stretches between markers of the template's `own` that have a cut in them; both in order."""
    waiting = iter(cuts)
    cut = next(waiting, None)
    for (_, start), (end, _) in pairwise(own):
        if cut is not None and cut <= end:
            yield start, end
            while cut is not None and cut <= end:
                cut = next(waiting, None)


def _mapped(value: Any, markers: Markers, guard: str) -> Any:
    if isinstance(value, str):
        return markers.broken(value, guard)
    if isinstance(value, Mapping):
        return {_mapped(key, markers, guard): _mapped(part, markers, guard) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, markers, guard) for part in value]
    return value


def _unused(given: Collection[str]) -> str:
    for code in _PRIVATE_USE:
        guard = chr(code)
        if not any(guard in text or _escaped(guard) in text for text in given):
            return guard
    raise TemplateRequestError(
        "The messages have markers of this model in them, and every character of Unicode's private use area: these "
        "cannot be told apart from what the server needs. Leave out the characters from U+E000 to U+F8FF.",
        param="messages",
    )


def _escaped(guard: str) -> str:
    return rf"\u{ord(guard):04x}"
