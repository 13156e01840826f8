"""`functiongate render`: the exact prompt that a request becomes, or its grammar.

Needs no model and starts no server: it goes through the server's own readers, templates and grammars.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.input import STDIN, family_named, read_json
from server.commands.options import FAMILY
from server.errors import RequestError, StartupError

if TYPE_CHECKING:
    from server.chat.request import ChatRequest

_ANY_TOKEN = 1 << 31  # without a model, token ids have no other bound


def render(
    *,
    family: Annotated[str, FAMILY],
    file: Annotated[Path, typer.Argument(help="A chat request's JSON body; - is the standard input.")] = STDIN,
    grammar: Annotated[bool, typer.Option("--grammar", help="Print the grammar of the answer instead.")] = False,
) -> None:
    """Print the exact prompt that a request becomes, or the grammar that its answer is held to."""
    from server.chat.grammar import write_grammar  # noqa: PLC0415 -- it brings the engine
    from server.chat.render import render_prompt, shown_tools  # noqa: PLC0415 -- so does this
    from server.chat.schemas.enforced import enforce_request  # noqa: PLC0415 -- so does this

    chosen, request = family_named(family), _request(file)
    prompt = render_prompt(request, shown_tools(request, chosen), chosen, chosen.prompt).text
    schemas = enforce_request(request.tools, request.tool_choice, request.response_format, request.strict_tools)
    text = write_grammar(request, chosen, schemas) if grammar else prompt
    if text is None:
        raise StartupError("the answer to this request is free: it has no grammar")
    typer.echo(text, nl=False)


def _request(file: Path) -> ChatRequest:
    from server.api.chat.request import to_chat_request  # noqa: PLC0415 -- as above
    from server.api.chat.schemas import read_request  # noqa: PLC0415 -- as above
    from server.engine.types import ServiceTerms  # noqa: PLC0415 -- as above

    body = read_json(file)
    if not isinstance(body, dict):
        raise RequestError('The body is not a JSON object; expected {"messages": […], …}.', code="invalid_json")
    return to_chat_request(read_request({"model": "any", **body}), _ANY_TOKEN, ServiceTerms())
