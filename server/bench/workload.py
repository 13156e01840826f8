"""What is asked of a server: workloads as files, made into sessions of request bodies.

Knows the wire's bodies; sends nothing. The law: the same workload, seed and round give the same bodies to every server,
so that two can be compared; a cold round begins with a text that nobody has seen.
"""

from __future__ import annotations

import json
import random
import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Body = dict[str, Any]
Session = list[Body]  # requests that follow one another

Kind = Literal["calls", "agent", "chat", "arrival", "file"]
KINDS = ("calls", "agent", "chat", "arrival", "file")
SYSTEM = "You are a helpful assistant with access to functions. Call them where they help."
DEPARTMENTS = ("", "_europe", "_asia", "_america", "_archive")
CHATS = (
    "Tell me a short story about a lighthouse.",
    "Explain how rain forms.",
    "Write a letter to a friend about a new job.",
    "Why is the sky blue?",
    "Describe a market in the morning.",
    "What makes a good teacher?",
    "How is bread made?",
    "Tell me about the moon.",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of work and how much of it.

    `calls` are sessions of one question each that offer `n_tools` tools; an `agent` goes on for `turns` with scripted
    calls and results; `chat` offers none; an `arrival` is a stream into which a long prompt comes; `file` takes bodies
    from a JSON Lines file. `clients` send at once, each its next session when its last is answered; with `rate`
    sessions arrive at random instead, so many a second. `warm` asks once, unmeasured, before a round.
    """

    name: str
    title: str
    kind: Kind
    sessions: int
    clients: int = 1
    n_tools: int = 0
    turns: int = 1
    max_tokens: int = 128
    tool_choice: str = "auto"
    warm: bool = False
    rate: float | None = None
    bodies: tuple[Body, ...] = ()


def workload_names() -> list[str]:
    """The workloads that come with the package."""
    folder = files("server.bench") / "workloads"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_workload(name: str) -> Workload:
    """A workload by its name, or from a TOML file, or of the bodies in a `.jsonl` file. Raises `StartupError`."""
    path = Path(name)
    if name in workload_names():
        text = (files("server.bench") / "workloads" / f"{name}.toml").read_text(encoding="utf-8")
    elif path.suffix in {".toml", ".jsonl"} and path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise StartupError(f"no workload {name!r}: a .toml or .jsonl file, or one of {', '.join(workload_names())}")
    if path.suffix == ".jsonl":
        bodies = tuple(json.loads(line) for line in text.splitlines() if line.strip())
        return Workload(path.stem, f"The requests of {path.name}", "file", sessions=len(bodies), bodies=bodies)
    return _read_toml(path.stem, text)


def _read_toml(name: str, text: str) -> Workload:
    try:
        values = tomllib.loads(text)
        unknown = sorted(set(values) - {field.name for field in fields(Workload)} - {"name", "bodies"})
        if unknown:
            raise StartupError(f"the workload {name} has unknown keys: {', '.join(unknown)}")
        workload = Workload(name=name, **values)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise StartupError(f"the workload {name} cannot be read: {error}") from None
    if workload.kind not in KINDS:
        raise StartupError(f"the workload {name} is of kind {workload.kind!r}, not one of {', '.join(KINDS)}")
    return workload


def warm_up(workload: Workload, seed: int) -> Session:
    """What to ask before a warm round: the round's own beginning, and another question."""
    if workload.kind == "chat":
        return [_chat(workload, "Good morning.")]
    return next(_calls(workload, _random(f"{seed} warm up"), "")) if workload.kind == "calls" else []


def sessions_of(workload: Workload, seed: int) -> list[Session]:
    """The sessions of one round. Another `seed` asks other questions, and is another cold beginning."""
    rng = _random(f"{seed} {workload.name}")
    # Words that no prompt of another round has, in front of all that could be shared with it.
    nonce = "" if workload.warm else f"Session {rng.randrange(10**9)}. "
    match workload.kind:
        case "calls":
            return [session for _ in range(workload.sessions) for session in _calls(workload, rng, nonce)]
        case "agent":
            return [_agent(workload, rng, nonce) for _ in range(workload.sessions)]
        case "chat":
            return [[_chat(workload, question)] for question in islice(cycle(CHATS), workload.sessions)]
        case "arrival":
            [call] = _calls(workload, rng, nonce)
            return [[_chat(workload, CHATS[0])], [{**call[0], "max_tokens": 1}]]
        case "file":
            return [[body] for body in workload.bodies]


def _calls(workload: Workload, rng: random.Random, nonce: str) -> Iterator[Session]:
    data = _tools()
    tools = [_as_function(tool, department) for tool, department in _offered(data["tool"], workload.n_tools)]
    tool = rng.choice(data["tool"][: workload.n_tools])
    question = _fill(rng.choice(tool["ask"]), data["words"], rng)
    messages = [{"role": "system", "content": nonce + SYSTEM}, {"role": "user", "content": question}]
    yield [_body(workload, messages, tools)]


def _agent(workload: Workload, rng: random.Random, nonce: str) -> Session:
    """Requests of an agent: each has the whole conversation. Its calls are scripted, so that it is the same for all."""
    data = _tools()
    tools = [_as_function(tool, department) for tool, department in _offered(data["tool"], workload.n_tools)]
    messages: list[Body] = [{"role": "system", "content": nonce + SYSTEM}]
    session = []
    for turn in range(workload.turns):
        tool = rng.choice(data["tool"][: workload.n_tools])
        messages = [*messages, {"role": "user", "content": _fill(rng.choice(tool["ask"]), data["words"], rng)}]
        session.append(_body(workload, messages, tools))
        call_id = f"call{turn:05d}"
        arguments = {name: _sample(text, data["words"], rng) for name, text in tool["parameters"].items()}
        function = {"name": tool["name"], "arguments": json.dumps(arguments)}
        call = {"id": call_id, "type": "function", "function": function}
        result = json.dumps(tool["answer"])
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": result},
        ]
    return session


def _chat(workload: Workload, question: str) -> Body:
    return _body(workload, [{"role": "user", "content": question}], [])


def _body(workload: Workload, messages: Sequence[Body], tools: Sequence[Body]) -> Body:
    body: Body = {"messages": list(messages), "temperature": 0, "max_tokens": workload.max_tokens}
    if tools:
        body |= {"tools": list(tools), "tool_choice": workload.tool_choice}
    return body


def _random(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- questions, not secrets


def _tools() -> dict[str, Any]:
    return tomllib.loads((files("server.bench") / "tools.toml").read_text(encoding="utf-8"))


def _offered(tools: Sequence[Body], n: int) -> list[tuple[Body, str]]:
    """So many tools; the same again for another department when there are no more."""
    if n > len(tools) * len(DEPARTMENTS):
        raise StartupError(f"a workload has at most {len(tools) * len(DEPARTMENTS)} tools, not {n}")
    return [(tool, department) for department in DEPARTMENTS for tool in tools][:n]


def _as_function(tool: Body, department: str) -> Body:
    properties, required = {}, []
    for name, text in tool["parameters"].items():
        kind, _, description = text.partition(": ")
        if not kind.endswith("?"):
            required.append(name)
        properties[name] = {**_schema(kind.removesuffix("?")), "description": description}
    where = f" For the department {department[1:]}." if department else ""
    return {
        "type": "function",
        "function": {
            "name": tool["name"] + department,
            "description": tool["description"] + where,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


def _schema(kind: str) -> Body:
    if kind.startswith("["):
        return {"type": "string", "enum": kind[1:-1].split("|")}
    if kind.endswith("[]"):
        return {"type": "array", "items": {"type": kind[:-2]}}
    return {"type": kind}


def _fill(text: str, words: Mapping[str, list[str]], rng: random.Random) -> str:
    return text.format(**{name: rng.choice(choices) for name, choices in words.items()})


def _sample(text: str, words: Mapping[str, list[str]], rng: random.Random) -> Any:
    """A value for a parameter of a scripted call."""
    kind = text.partition(": ")[0].removesuffix("?")
    if kind.startswith("["):
        return rng.choice(kind[1:-1].split("|"))
    samples = {"integer": rng.randrange(1, 9), "number": rng.randrange(10, 99) / 2, "boolean": rng.random() < 0.5}
    return samples.get(kind, [] if kind.endswith("[]") else rng.choice(words["topic"]))
