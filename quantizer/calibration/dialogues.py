"""Conversations with tools, made up by a seeded generator: many domains, schemas and courses a conversation can take.

Knows OpenAI's message shapes; no family and no token. The law: the same seed gives the same dialogues on every machine.
Courses: one call; several at once; one after the other; a missing argument asked for; a failure told; a request that no
tool serves; talk.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_FIELD = re.compile(r"\{(\w+)\}")
MAX_OTHER_TOOLS = 4


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One conversation and the tools it was held with, in OpenAI's shapes."""

    course: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]


def generate_dialogues(n: int, *, seed: int = 1) -> Iterator[Dialogue]:
    """`n` dialogues. The courses come in turn, everything else by chance."""
    rng = Random(seed)  # noqa: S311  nothing is secret here
    writer = _Writer(rng, _toml("tools.toml")["tool"], _toml("small_talk.toml"))
    courses = tuple(_COURSES)
    for i in range(n):
        course = courses[i % len(courses)]
        yield writer.dialogue(course, _COURSES[course])


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


class _Writer:
    """Makes the messages of one dialogue after the other."""

    def __init__(self, rng: Random, tools: Sequence[dict[str, Any]], talk: dict[str, Any]) -> None:
        self._rng, self._tools, self._talk = rng, tools, talk
        self._messages: list[dict[str, Any]] = []
        self._used: list[dict[str, Any]] = []

    def dialogue(self, course: str, write: Callable[[_Writer], None]) -> Dialogue:
        self._messages, self._used = [], []
        if system := self._rng.choice(self._talk["systems"]):
            self._say("system", system)
        write(self)
        others = [tool for tool in self._tools if tool not in self._used]
        offered = self._used + self._rng.sample(others, self._rng.randint(0, MAX_OTHER_TOOLS))
        if not offered:
            offered = [self._rng.choice(others)]
        self._rng.shuffle(offered)
        return Dialogue(course, tuple(self._messages), tuple(map(_declaration, offered)))

    def single(self) -> None:
        tool = self._some_tool()
        self._answered(tool, self._asked(tool))

    def parallel(self) -> None:
        tool = self._some_tool()
        filled = [self._filled(tool) for _ in range(self._rng.randint(2, 3))]
        self._say("user", " And also: ".join(text for text, _ in filled))
        self._call([(tool, arguments) for _, arguments in filled])
        results = [self._result(tool) for _ in filled]
        for i, result in enumerate(results):
            self._tool_says(i, result)
        pairs = zip(filled, results, strict=True)
        self._say("assistant", "\n".join(self._summary(tool, arguments | result) for (_, arguments), result in pairs))

    def in_a_row(self) -> None:
        for tool in self._rng.sample(self._tools, 2):
            self._used.append(tool)
            self._answered(tool, self._asked(tool))
        self._say("user", self._rng.choice(self._talk["thanks"]))
        self._say("assistant", self._rng.choice(self._talk["you_are_welcome"]))

    def asked_back(self) -> None:
        tool = self._some_tool()
        text, arguments = self._filled(tool)
        self._say("user", f"I need help with {tool['domain']}: {tool['description'].lower()}.")
        self._say("assistant", tool["question"])
        self._say("user", text)
        self._answered(tool, arguments)

    def failed(self) -> None:
        tool = self._some_tool()
        self._call([(tool, self._asked(tool))])
        failure = self._rng.choice(self._talk["failures"])
        self._tool_says(0, {"error": failure})
        self._say("assistant", self._rng.choice(self._talk["regrets"]).format(failure=failure))

    def unserved(self) -> None:
        if self._rng.random() < 0.5:
            self._some_tool()
        request = self._rng.choice(self._talk["unserved"])
        self._say("user", self._rng.choice(request["asks"]))
        self._say("assistant", request["answer"])

    def talk(self) -> None:
        self.unserved()
        self._say("user", self._rng.choice(self._talk["thanks"]))
        self._say("assistant", self._rng.choice(self._talk["you_are_welcome"]))

    def _some_tool(self) -> dict[str, Any]:
        tool = self._rng.choice(self._tools)
        self._used.append(tool)
        return tool

    def _asked(self, tool: Mapping[str, Any]) -> dict[str, Any]:
        text, arguments = self._filled(tool)
        self._say("user", text)
        return arguments

    def _filled(self, tool: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """A request's text, and the arguments that stand in it, in declared order."""
        ask = self._rng.choice(tool["asks"])
        named = set(_FIELD.findall(ask))
        arguments = {
            name: self._rng.choice(parameter["values"])
            for name, parameter in tool["parameters"].items()
            if name in named
        }
        return ask.format(**{name: _spoken(value) for name, value in arguments.items()}), arguments

    def _answered(self, tool: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        self._call([(tool, arguments)])
        result = self._result(tool)
        self._tool_says(0, result)
        self._say("assistant", self._summary(tool, {**arguments, **result}))

    def _call(self, calls: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        self._messages.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": f"call_{len(self._messages):02}{i}xyz",
                        "type": "function",
                        "function": {"name": tool["name"], "arguments": json.dumps(arguments, ensure_ascii=False)},
                    }
                    for i, (tool, arguments) in enumerate(calls)
                ],
            }
        )

    def _tool_says(self, i: int, result: Mapping[str, Any]) -> None:
        call = next(message for message in reversed(self._messages) if "tool_calls" in message)["tool_calls"][i]
        content = json.dumps(result, ensure_ascii=False)
        self._messages.append(
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "name": call["function"]["name"],
                "content": content,
            }
        )

    def _result(self, tool: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._rng.choice(values) for name, values in tool["result"].items()}

    def _summary(self, tool: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        """The first answer, in a chance order, whose fields are all known."""
        answers = self._rng.sample(tool["answers"], len(tool["answers"]))
        fitting = (a for a in answers if set(_FIELD.findall(a)) <= set(known))
        return next(fitting, "Done.").format(**{name: _spoken(value) for name, value in known.items()})

    def _say(self, role: str, content: str) -> None:
        self._messages.append({"role": role, "content": content})


_COURSES: Mapping[str, Callable[[_Writer], None]] = {
    "single": _Writer.single,
    "parallel": _Writer.parallel,
    "unserved": _Writer.unserved,
    "in_a_row": _Writer.in_a_row,
    "asked_back": _Writer.asked_back,
    "failed": _Writer.failed,
    "talk": _Writer.talk,
}


def _spoken(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return json.dumps(value) if any(isinstance(item, list) for item in value) else ", ".join(map(str, value))
    return str(value)


def _declaration(tool: Mapping[str, Any]) -> dict[str, Any]:
    parameters = tool["parameters"]
    return {
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": {
                "type": "object",
                "properties": {name: _schema(parameter) for name, parameter in parameters.items()},
                "required": [name for name, parameter in parameters.items() if not parameter.get("optional")],
            },
        },
    }


def _schema(parameter: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter["type"], "description": parameter["description"]}
    if parameter.get("one_of"):
        schema["enum"] = parameter["values"]
    if "items" in parameter:
        item = {"type": parameter["items"]}
        schema["items"] = {"type": "array", "items": item} if parameter.get("nested") else item
    return schema
