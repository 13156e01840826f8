"""`functiongate parse`: what a model's text means, as the server would answer it.

Needs no model and starts no server: it goes through the server's own readers and parsers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chat_templates import ParsedMessage, fold
from server.commands.input import STDIN, family_named, read_bytes, read_json
from server.commands.options import FAMILY
from server.errors import StartupError


def parse(
    *,
    family: Annotated[str, FAMILY],
    file: Annotated[Path, typer.Argument(help="Generated text; - is the standard input.")] = STDIN,
    tools: Annotated[
        Path | None, typer.Option(help="JSON with the tools that were offered, a list or a request's body.")
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="The text ended at a limit, not by the model.")] = False,
) -> None:
    """Read generated text as an answer: content, reasoning and tool calls, as JSON.

    Without --tools any name may be a call.
    """
    parser = family_named(family).parser(None if tools is None else _tools(tools))
    try:
        text = read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise StartupError(f"{file} is not UTF-8 (byte {error.start})") from error
    message = fold([*parser.feed(text), *parser.finish(cut=cut)])
    typer.echo(json.dumps(_answer(message, cut=cut), indent=2, ensure_ascii=False))


def _tools(file: Path) -> tuple[dict[str, Any], ...]:
    from server.api.chat.tools import read_tools  # noqa: PLC0415 -- `--help` does not need it

    given = read_json(file)
    if isinstance(given, dict):
        given = given.get("tools")
    if not isinstance(given, list) or not all(isinstance(tool, dict) for tool in given):
        raise StartupError(f"{file} has no tools: expected a JSON array of them, or an object with 'tools'")
    return read_tools(given)


def _answer(message: ParsedMessage, *, cut: bool) -> dict[str, Any]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    return {
        "content": message.content,
        "reasoning": message.reasoning,
        "tool_calls": calls,
        "finish_reason": "length" if cut else "tool_calls" if calls else "stop",
    }
