"""Requests of ours whose right answers are known: what the calls of a model are tuned by.

Knows OpenAI's shapes of messages and tools; no family, no token and no server. The law: the same seed gives the same
requests on every machine, and none of them is a benchmark's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import Any

KINDS = ("single", "choice", "several", "several_tools", "unserved", "lacking", "talk")
"""One call with one tool, and among several tools; several calls of a tool, and of two tools; and requests where no
call is right: none of the tools fits, an argument is lacking, or nothing is asked for."""

_SLOT = re.compile(r"\{(\w+)(?:\.(\d))?\}")
_MAX_TOOLS = 4


@dataclass(frozen=True, slots=True)
class RightCall:
    """A call that is right: its name and arguments. Those of `optional` may be anything or absent."""

    name: str
    arguments: Mapping[str, Any]
    optional: frozenset[str]
    loose: frozenset[str] = frozenset()

    def is_made_by(self, name: str, arguments: Any) -> bool:
        """Whether a call is this one: strings by their letters and digits alone, numbers by their value."""
        if name != self.name or not isinstance(arguments, Mapping):
            return False
        if not set(self.arguments) <= set(arguments) <= set(self.arguments) | self.optional:
            return False
        return all(_equal(arguments[key], value, key in self.loose) for key, value in self.arguments.items())


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and the calls that are right as its answer, in any order; none where no call is."""

    kind: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    right: tuple[RightCall, ...]

    def is_answered_by(self, calls: Sequence[tuple[str, Any]]) -> bool:
        """Whether these calls, name and arguments, are the right ones and no more."""
        left = list(calls)
        for right in self.right:
            made = next((call for call in left if right.is_made_by(*call)), None)
            if made is None:
                return False
            left.remove(made)
        return not left


def requests(n: int, *, seed: int = 1, kinds: Sequence[str] = KINDS) -> Iterator[Asked]:
    """`n` requests: the kinds come in turn, everything else by chance."""
    table = tomllib.loads(files(__package__).joinpath("requests.toml").read_text(encoding="utf-8"))
    writer = _Writer(Random(seed), table["tool"], table["talk"][0]["asks"])  # noqa: S311  nothing is secret here
    for i in range(n):
        yield writer.write(kinds[i % len(kinds)])


class _Writer:
    def __init__(self, rng: Random, tools: Sequence[Mapping[str, Any]], talk: Sequence[str]) -> None:
        self._rng, self._tools, self._talk = rng, tools, talk

    def write(self, kind: str) -> Asked:
        """One request of this kind."""
        rng = self._rng
        used = rng.sample(self._tools, 2)
        first = used[0]
        if kind in {"single", "choice", "several"}:
            text, right = self._filled(first, "several" if kind == "several" else "single")
            is_alone = kind == "single" or (kind == "several" and rng.random() < 0.5)
            return _asked(kind, text, [first] if is_alone else self._among(first), right)
        if kind == "several_tools":
            parts = [self._filled(tool, "single") for tool in used]
            text = rng.choice((" Also: ", " And one more thing: ", " ")).join(_sentence(text) for text, _ in parts)
            return _asked(kind, text, self._among(*used), [call for _, calls in parts for call in calls])
        if kind == "unserved":
            text, _ = self._filled(first, "single")
            others = [tool for tool in self._tools if tool["domain"] != first["domain"]]
            return _asked(kind, text, rng.sample(others, rng.randint(1, 3)), [])
        if kind == "lacking":
            return _asked(kind, rng.choice(first["lacking"]), self._among(first, at_least=0), [])
        return _asked(kind, rng.choice(self._talk), rng.sample(self._tools, rng.randint(1, 3)), [])

    def _among(self, *tools: Mapping[str, Any], at_least: int = 1) -> list[Mapping[str, Any]]:
        """The tools among others, most of their own domain."""
        domain = tools[0]["domain"]
        near = [tool for tool in self._tools if tool not in tools and tool["domain"] == domain]
        far = [tool for tool in self._tools if tool not in tools and tool["domain"] != domain]
        n = self._rng.randint(at_least, _MAX_TOOLS - len(tools))
        n_near = min(n, len(near), self._rng.randint(0, 2))
        offered = [*tools, *self._rng.sample(near, n_near), *self._rng.sample(far, n - n_near)]
        self._rng.shuffle(offered)
        return offered

    def _filled(self, tool: Mapping[str, Any], form: str) -> tuple[str, list[RightCall]]:
        """A text that asks for calls of a tool, and the calls."""
        template = self._rng.choice(tool[form])
        parameters = tool["parameters"]
        calls: dict[str, dict[str, Any]] = {}
        drawn: dict[str, list[Any]] = {}

        def fill(slot: re.Match[str]) -> str:
            name, which = slot[1], slot[2] or "1"
            call = calls.setdefault(which, {})
            if name not in drawn:
                values = parameters[name]["values"]
                drawn[name] = self._rng.sample(values, len(values))
            value = drawn[name][(int(which) - 1) % len(drawn[name])]
            written, call[name] = value if isinstance(value, list) else (value, value)
            return str(written)

        text = _SLOT.sub(fill, template)
        loose = frozenset(name for name, each in parameters.items() if each.get("loose"))
        all_optional = frozenset(name for name, each in parameters.items() if each.get("optional"))
        return text, [
            RightCall(tool["name"], arguments, all_optional - set(arguments), loose)
            for _, arguments in sorted(calls.items())
        ]


def _sentence(text: str) -> str:
    return text if text[-1] in ".?!" else text + "."


def _asked(kind: str, text: str, tools: Sequence[Mapping[str, Any]], right: Sequence[RightCall]) -> Asked:
    message = {"role": "user", "content": text}
    return Asked(kind, (message,), tuple(map(_declaration, tools)), tuple(right))


def _declaration(tool: Mapping[str, Any]) -> dict[str, Any]:
    properties = {}
    for name, each in tool["parameters"].items():
        schema = {"type": each["type"], "description": each["description"]}
        if "enum" in each:
            schema["enum"] = each["enum"]
        if "items" in each:
            schema["items"] = {"type": each["items"]}
        properties[name] = schema
    required = [name for name, each in tool["parameters"].items() if not each.get("optional")]
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": tool["name"], "description": tool["description"], "parameters": parameters}
    return {"type": "function", "function": function}


def _equal(got: Any, wanted: Any, is_loose: bool) -> bool:
    if isinstance(wanted, list):
        return (
            isinstance(got, list) and len(got) == len(wanted) and all(map(_equal, got, wanted, [is_loose] * len(got)))
        )
    if isinstance(wanted, bool) or isinstance(got, bool) or not isinstance(wanted, str):
        return type(got) is not bool and got == wanted if not isinstance(wanted, bool) else got is wanted
    if not isinstance(got, str):
        return False
    return bool(is_loose or _letters(got) == _letters(wanted))


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())
