"""Whether an agent's loop ends: a question, calls and their results, then words that hold what the results say.

    functiongate serve model.gguf
    make bench-loops ARGS='--json-file loops.json'

Each loop of `loops.toml` runs against a server until the model answers in words, or for `--turns` answers. A call gets
the result of the step whose tool and arguments it names, else an error that says so. Counted by kind are loops whose
first call names the right tool (`begun`); those that end in words; those that made every call that the question needs
(`complete`); those whose words hold every fact, too (`grounded`: what no result said was guessed, and a result printed
as JSON is no answer); and those that ran to the limit. The end of a loop that did not begin right says nothing: counts
are of those that did, and of all.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

FILE = Path(__file__).with_name("loops.toml")


@dataclass(slots=True)
class Script:
    """What tools answer in one loop: each step's result, after the errors that come before it."""

    steps: list[dict[str, Any]]
    n_errors: Counter[int] = field(default_factory=Counter)
    done: set[int] = field(default_factory=set)

    def result(self, name: str, arguments: Any) -> str:
        """The result of a call; that of a step marks it as done."""
        for i, step in enumerate(self.steps):
            if step["tool"] != name or not _holds(arguments, step.get("when", {})):
                continue
            errors = step.get("before", [])
            if self.n_errors[i] < len(errors):
                self.n_errors[i] += 1
                return _text(errors[self.n_errors[i] - 1])
            self.done.add(i)
            return _text(step["result"])
        return _text({"error": f"{name} found nothing for these arguments"})

    @property
    def is_complete(self) -> bool:
        """Whether every step was done that has to be."""
        return all(i in self.done or step.get("is_optional") for i, step in enumerate(self.steps))


@dataclass(slots=True)
class Outcome:
    """One loop: how it began and ended, and all that was said."""

    kind: str
    question: str
    is_begun: bool = False
    ends: bool = False
    is_grounded: bool = False
    is_complete: bool = False
    warnings: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)


def main(
    url: Annotated[str, typer.Option(help="The server to ask.")] = "http://127.0.0.1:8000/v1",
    first: Annotated[str, typer.Option(help="The choice of a question's first answer: auto or required.")] = "auto",
    turns: Annotated[int, typer.Option(help="Answers after which a question is given up.")] = 8,
    only: Annotated[str, typer.Option(help="Run the loops whose kind or question holds this text.")] = "",
    json_file: Annotated[Path | None, typer.Option(help="Write the counts and every loop's messages here.")] = None,
) -> None:
    """Run the loops and print the counts."""
    domains, loops = load()
    outcomes = []
    for loop in loops:
        if only in f"{loop['kind']}: {loop['question']}":
            outcomes.append(run(Asking(url, first, turns, domains[loop["domain"]]), loop))
            typer.echo(_line(outcomes[-1]))
    counts = {name: count(some) for name, some in by_kind(outcomes).items()}
    for name, figures in counts.items():
        typer.echo(f"{name:13}" + "  ".join(f"{key} {value}" for key, value in figures.items()))
    if json_file is not None:
        written = {"command": shlex.join(sys.argv), **_circumstances(), "counts": counts}
        loops_said = [{key: getattr(outcome, key) for key in Outcome.__slots__} for outcome in outcomes]
        json_file.write_text(json.dumps(written | {"loops": loops_said}, indent=1, ensure_ascii=False) + "\n")


def load(file: Path = FILE) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """The tools of each domain as a request has them, and the loops."""
    content = tomllib.loads(file.read_text("utf-8"))
    domains = {
        domain: [_tool(name, tool) for name, tool in tools.items()] for domain, tools in content["domains"].items()
    }
    return domains, content["loops"]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a loop asks: the server, the choice of the first answer, the answers a question may take, the tools."""

    url: str
    first: str
    turns: int
    tools: list[dict[str, Any]]

    def answer(self, messages: list[dict[str, Any]], *, is_first: bool) -> dict[str, Any]:
        """The server's answer to these messages."""
        body = {"model": "any", "messages": messages, "tools": self.tools, "temperature": 0, "max_tokens": 200}
        body["tool_choice"] = self.first if is_first else "auto"
        response = httpx.post(f"{self.url}/chat/completions", json=body, timeout=600, trust_env=False)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


def run(asking: Asking, loop: dict[str, Any]) -> Outcome:
    """One loop to its end: every question of it, each with a script of its own."""
    outcome = Outcome(loop["kind"], loop["question"])
    part: dict[str, Any] | None = loop
    whole = []
    while part is not None:
        called, script = _ask(asking, part, outcome)
        if part is loop:
            begins = {step["tool"] for step in (part["steps"] if loop["kind"] == "two results" else part["steps"][:1])}
            begins |= {step["tool"] for step in part["steps"] if step.get("is_optional")}
            outcome.is_begun = called[:1] != [] and called[0] in begins
        is_grounded = script.is_complete and outcome.ends and holds(part["fact"], outcome.answers[-1])
        whole.append((script.is_complete, is_grounded))
        part = part.get("then") if outcome.ends else None
    outcome.is_complete = all(is_complete for is_complete, _ in whole)
    outcome.is_grounded = all(is_grounded for _, is_grounded in whole)
    return outcome


def _ask(asking: Asking, part: dict[str, Any], outcome: Outcome) -> tuple[list[str], Script]:
    """Ask one question until it is answered in words, at most `asking.turns` times; says which tools were called."""
    messages, script, called = outcome.messages, Script(part["steps"]), []
    messages.append({"role": "user", "content": part["question"]})
    outcome.ends = False
    for turn in range(asking.turns):
        answer = asking.answer(messages, is_first=turn == 0)
        outcome.warnings += [warning["type"] for warning in answer.get("warnings") or ()]
        message = answer["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        messages.append({"role": "assistant", "content": message["content"]} | ({"tool_calls": calls} if calls else {}))
        if not calls:
            outcome.ends = True
            outcome.answers.append(message["content"] or "")
            break
        for call in calls:
            name, arguments = call["function"]["name"], _arguments(call["function"]["arguments"])
            called.append(name)
            result = script.result(name, arguments)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return called, script


def holds(fact: str | list[str], answer: str) -> bool:
    """Whether words hold a fact, or each of several; "a|b" is either. JSON alone is no words."""
    if _is_json(answer):
        return False
    text = re.sub(r"(?<=\d),(?=\d{3})", "", answer)
    facts = [fact] if isinstance(fact, str) else fact
    return all(any(_has_word(text, word) for word in either.split("|")) for either in facts)


def by_kind(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each kind, and all of them."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.kind, []).append(outcome)
    return kinds | {"all": outcomes}


def count(outcomes: list[Outcome]) -> dict[str, int]:
    """The counts of these loops; `grounded` and `complete` of those that begin right, and of all."""
    begun = [outcome for outcome in outcomes if outcome.is_begun]
    return {
        "loops": len(outcomes),
        "begun": len(begun),
        "ended": sum(outcome.ends for outcome in begun),
        "grounded": sum(outcome.is_grounded for outcome in begun),
        "complete": sum(outcome.is_complete for outcome in begun),
        "of all grounded": sum(outcome.is_grounded for outcome in outcomes),
        "to the limit": sum(not outcome.ends for outcome in outcomes),
    }


def _line(outcome: Outcome) -> str:
    marks = "".join(
        letter if is_so else "."
        for letter, is_so in zip(
            "bcge", (outcome.is_begun, outcome.is_complete, outcome.is_grounded, outcome.ends), strict=True
        )
    )
    calls = [
        f"{call['function']['name']}{call['function']['arguments']}"
        for message in outcome.messages
        for call in message.get("tool_calls") or ()
    ]
    answers = " // ".join(outcome.answers)
    return f"{marks} {outcome.kind}: {outcome.question}\n     {' '.join(calls)}\n     -> {answers!r}"


def _circumstances() -> dict[str, str]:
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {"commit": commit or "unknown", "machine": f"{platform.processor() or platform.machine()}"}


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\.?\d)(?!\w{{3}})", text, re.IGNORECASE) is not None


def _is_json(text: str) -> bool:
    bare = re.sub(r"^```\w*|```$", "", text.strip()).strip()
    try:
        value = json.loads(bare)
    except ValueError:
        return False
    return isinstance(value, (dict, list))


def _holds(arguments: Any, when: dict[str, str]) -> bool:
    return isinstance(arguments, dict) and all(
        text.lower() in str(arguments.get(key, "")).lower() for key, text in when.items()
    )


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(result: Any) -> str:
    return result.strip() if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _tool(name: str, tool: dict[str, Any]) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in tool["parameters"].items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": tool["description"], "parameters": parameters},
    }


if __name__ == "__main__":
    typer.run(main)
