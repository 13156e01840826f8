"""The commands about families: what there is, what a request looks like to a model, what a model's text means.

Knows the terminal and files; needs no model and starts no server. What they print is what the server does: they go
through the same readers, templates, grammars and parsers.
"""

from __future__ import annotations

import json
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.errors import RequestError, StartupError

if TYPE_CHECKING:
    from chat_templates import Family, ParsedMessage
    from server.chat import ChatRequest

_FAMILY = typer.Option(help="A family of `functiongate families`.")
_STDIN = Path("-")
_ANY_TOKEN = 1 << 31  # without a model, token ids have no other bound

_CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
_SAMPLE = (
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call00001", "type": "function", "function": _CALL}]},
)


def families(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """List the model families: how a file is recognised, what a call looks like, how well that is known.

    Evidence: S the vendor's source, T fixed by the vendor's tests too, D documented by the vendor, I inferred.
    """
    from chat_templates import FAMILIES  # noqa: PLC0415 -- `serve --help` does not need it

    rows = [_describe(_family(family_id)) for family_id in FAMILIES]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(show_lines=True)
    for name in ("family", "recognised by", "a call", "special tokens", "evidence", "example"):
        table.add_column(name, overflow="fold")
    for row in rows:
        call = (row["call"] or "").replace("\n", "\\n")
        cells = (row["id"], "\n".join(row["markers"]), call, "\n".join(row["special_tokens"]), row["evidence"])
        # Text, not str: brackets are what many formats are made of, and rich would read them as its markup.
        table.add_row(*map(Text, cells), Text(row["example_model"]))
    Console().print(table)


def render(
    *,
    family: Annotated[str, _FAMILY],
    file: Annotated[Path, typer.Argument(help="A chat request's JSON body; - is the standard input.")] = _STDIN,
    grammar: Annotated[bool, typer.Option("--grammar", help="Print the grammar of the answer instead.")] = False,
) -> None:
    """Print the exact prompt that a request becomes, or the grammar that its answer is held to."""
    from server.chat import render_prompt, write_grammar  # noqa: PLC0415 -- it brings the engine
    from server.enforced_schemas import enforce_request  # noqa: PLC0415 -- so does this

    chosen, request = _family(family), _request(file)
    prompt = render_prompt(request, chosen, chosen.prompt).text
    schemas = enforce_request(request.tools, request.tool_choice, request.response_format, request.strict_tools)
    text = write_grammar(request, chosen, schemas) if grammar else prompt
    if text is None:
        raise StartupError("the answer to this request is free: it has no grammar")
    typer.echo(text, nl=False)


def parse(
    *,
    family: Annotated[str, _FAMILY],
    file: Annotated[Path, typer.Argument(help="Generated text; - is the standard input.")] = _STDIN,
    tools: Annotated[
        Path | None, typer.Option(help="JSON with the tools that were offered, a list or a request's body.")
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="The text ended at a limit, not by the model.")] = False,
) -> None:
    """Read generated text as an answer: content, reasoning and tool calls, as JSON.

    Without --tools any name may be a call.
    """
    from chat_templates import fold  # noqa: PLC0415 -- as above

    parser = _family(family).parser(None if tools is None else _tools(tools))
    try:
        text = _read(file).decode()
    except UnicodeDecodeError as error:
        raise StartupError(f"{file} is not UTF-8 (byte {error.start})") from error
    message = fold([*parser.feed(text), *parser.finish(cut=cut)])
    typer.echo(json.dumps(_answer(message, cut=cut), indent=2, ensure_ascii=False))


def _family(family_id: str) -> Family:
    from chat_templates import UnknownFamilyError, get_family  # noqa: PLC0415 -- as above

    try:
        return get_family(family_id)
    except UnknownFamilyError as error:
        raise StartupError(str(error)) from error


def _describe(family: Family) -> dict[str, Any]:
    return {
        "id": family.id,
        "title": family.title,
        "markers": list(family.markers),
        "absent": list(family.absent),
        "call": _sample_call(family),
        "special_tokens": sorted(family.special_tokens),
        "evidence": family.evidence,
        "example_model": family.example_model,
    }


def _sample_call(family: Family) -> str | None:
    """What a model of the family writes after its prompt to call; None if its template cannot show a call."""
    from chat_templates import ChatTemplateError  # noqa: PLC0415 -- as above

    try:
        before = family.render(_SAMPLE[:1])
        after = family.render(_SAMPLE, add_generation_prompt=False)
    except ChatTemplateError:
        return None
    n_common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    call = after[n_common:]
    return call if _CALL["name"] in call else None


def _request(file: Path) -> ChatRequest:
    from server.api.chat_request import to_chat_request  # noqa: PLC0415 -- as above
    from server.api.schemas import read_request  # noqa: PLC0415
    from server.engine.types import ServiceTerms  # noqa: PLC0415 -- as above

    body = _json(file)
    if not isinstance(body, dict):
        raise RequestError('The body is not a JSON object; expected {"messages": […], …}.', code="invalid_json")
    return to_chat_request(read_request({"model": "any", **body}), _ANY_TOKEN, ServiceTerms())


def _tools(file: Path) -> tuple[dict[str, Any], ...]:
    from server.api.tools import read_tools  # noqa: PLC0415 -- as above

    given = _json(file)
    if isinstance(given, dict):
        given = given.get("tools")
    if not isinstance(given, list) or not all(isinstance(tool, dict) for tool in given):
        raise StartupError(f"{file} has no tools: expected a JSON array of them, or an object with 'tools'")
    return read_tools(given)


def _json(file: Path) -> Any:
    from server.api.body import parse_json  # noqa: PLC0415 -- as above

    return parse_json(_read(file))


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror or error}") from error


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
