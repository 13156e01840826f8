"""POST /tokenize and /detokenize, in llama-server's shapes.

Knows numbers and text, no vocabulary: that is the served model's. The law: what is not UTF-8 is told as bytes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.http.body import read_object
from server.api.request.fields import Shape, invalid, validated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.api.state import ServingState, Tokens

TokenId = Annotated[int, Field(ge=0)]


class TokenizeBody(Shape):
    """`content` is text, or texts and ids mixed. `add_special` puts the token in front that begins a text."""

    content: str | list[str | TokenId]
    model: str | None = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(Shape):
    """The ids to write as text."""

    tokens: list[TokenId]
    model: str | None = None


@dataclass(frozen=True, slots=True)
class TokenEndpoints:
    """Answers with the state's model's tokens."""

    state: ServingState
    max_body_bytes: int

    async def tokenize(self, request: Request) -> Response:
        """The ids of a text, with their pieces if they are wanted."""
        wanted = validated(TokenizeBody, await read_object(request, self.max_body_bytes))
        tokens = self._tokens(wanted.model)
        ids = await asyncio.to_thread(_ids, tokens, wanted)
        if not wanted.with_pieces:
            return JSONResponse({"tokens": ids})
        pieces = zip(ids, tokens.pieces(ids), strict=True)
        return JSONResponse({"tokens": [{"id": token, "piece": _told(piece)} for token, piece in pieces]})

    async def detokenize(self, request: Request) -> Response:
        """The text of ids."""
        wanted = validated(DetokenizeBody, await read_object(request, self.max_body_bytes))
        pieces = _pieces(self._tokens(wanted.model), wanted.tokens, "tokens")
        return JSONResponse({"content": b"".join(pieces).decode("utf-8", "replace")})

    def _tokens(self, name: str | None) -> Tokens:
        model = self.state.require_ready() if name is None else self.state.require_named(name)
        return model.tokens


def _ids(tokens: Tokens, wanted: TokenizeBody) -> list[int]:
    """The ids of all parts, one after the other; the special token in front is in front of the first alone."""
    parts = [wanted.content] if isinstance(wanted.content, str) else wanted.content
    ids: list[int] = []
    for i, part in enumerate(parts):
        if isinstance(part, int):
            _pieces(tokens, [part], f"content[{i}]")
            ids.append(part)
        else:
            ids += tokens.of(part, add_special=wanted.add_special and i == 0, parse_special=wanted.parse_special)
    return ids


def _pieces(tokens: Tokens, ids: Sequence[int], at: str) -> list[bytes]:
    try:
        return tokens.pieces(ids)
    except IndexError as error:
        raise invalid(at, f"{error.args[0]} is not a token id; ids are below {tokens.n_vocab}") from None


def _told(piece: bytes) -> Any:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)
