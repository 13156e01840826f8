"""Whether an agent's loop ends: a question, a call, its result, then an answer in words that holds the result's fact.

    functiongate serve model.gguf
    make bench-loops ARGS='--json-file loops.json'

Each loop of `loops.toml` runs against a server until the model answers in words, or for `--turns` turns. A call gets
the loop's result if it names the loop's tool, else an error. Counted are loops whose first call names the right tool;
of them, those that end in words, and whose words hold the fact; and those that run to the limit.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

FILE = Path(__file__).with_name("loops.toml")


def main(
    url: Annotated[str, typer.Option(help="The server to ask.")] = "http://127.0.0.1:8000/v1",
    first: Annotated[str, typer.Option(help="The choice of the first turn: auto or required.")] = "auto",
    turns: Annotated[int, typer.Option(help="Turns after which a loop is given up.")] = 6,
    json_file: Annotated[Path | None, typer.Option(help="Write every loop's messages here.")] = None,
) -> None:
    """Run the loops and print the counts."""
    content = tomllib.loads(FILE.read_text("utf-8"))
    tools = [_tool(name, tool) for name, tool in content["tools"].items()]
    outcomes = [run(url, loop, tools, first, turns) for loop in content["loops"]]
    begun = [outcome for outcome in outcomes if outcome["first_call_is_right"]]
    counts = {
        "loops": len(outcomes),
        "first call right": len(begun),
        "end in words": sum(outcome["ends"] for outcome in begun),
        "grounded": sum(outcome["is_grounded"] for outcome in begun),
        "run to the limit": sum(not outcome["ends"] for outcome in outcomes),
    }
    for outcome in outcomes:
        typer.echo(f"{outcome['question']} -> {outcome['answer']!r}")
    typer.echo(json.dumps(counts))
    if json_file is not None:
        json_file.write_text(json.dumps({"counts": counts, "loops": outcomes}, indent=1, ensure_ascii=False) + "\n")


def run(url: str, loop: dict[str, Any], tools: list[dict[str, Any]], first: str, turns: int) -> dict[str, Any]:
    """One loop: what was called first, whether and how it ended, and all that was said."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": loop["question"]}]
    called: list[str] = []
    answer = None
    for turn in range(turns):
        body = {"model": "any", "messages": messages, "tools": tools, "temperature": 0, "max_tokens": 200}
        body["tool_choice"] = first if turn == 0 else "auto"
        response = httpx.post(f"{url}/chat/completions", json=body, timeout=600, trust_env=False).raise_for_status()
        message = response.json()["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        messages.append({"role": "assistant", "content": message["content"], "tool_calls": calls or None})
        if not calls:
            answer = message["content"]
            break
        for call in calls:
            name = call["function"]["name"]
            called.append(name)
            result = loop["result"] if name == loop["tool"] else {"error": f"nothing found by {name}"}
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
    return {
        "question": loop["question"],
        "first_call_is_right": called[:1] == [loop["tool"]],
        "ends": answer is not None,
        "is_grounded": answer is not None and loop["fact"].lower() in answer.lower(),
        "answer": answer,
        "messages": messages,
    }


def _tool(name: str, tool: dict[str, Any]) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in tool["parameters"].items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": tool["description"], "parameters": parameters},
    }


if __name__ == "__main__":
    typer.run(main)
