"""The tokens of an answer with their probabilities, in OpenAI's shapes.

Pure: tokens in, JSON values out. A token that the grammar forced had probability 1: its logarithm is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from server.engine.types import TokenChoice

LEAST = -9999.0
"""OpenAI's number for what is all but impossible: JSON has no infinity."""


def chat_logprobs(tokens: Iterable[TokenChoice], n_top: int) -> dict[str, Any]:
    """The `logprobs` of a choice of a chat completion."""
    return {"content": token_logprobs(tokens, n_top), "refusal": None}


def token_logprobs(tokens: Iterable[TokenChoice], n_top: int) -> list[dict[str, Any]]:
    """Each token with the `n_top` likeliest in its place. The token that ends an answer is not told."""
    return [_entry(token, n_top) for token in tokens if not token.is_end]


def text_logprobs(tokens: Sequence[TokenChoice], n_top: int) -> dict[str, Any]:
    """The `logprobs` of a choice of a text completion. Nothing is told of how likely a prompt's first token was."""
    told = [token for token in tokens if not token.is_end]
    return {
        "tokens": [_text(token.piece) for token in told],
        "token_logprobs": [None if token.is_first else _number(token.logprob) for token in told],
        "top_logprobs": [
            None if token.is_first else {_text(piece): p for piece, p in _likeliest(token, n_top)} for token in told
        ],
        "text_offset": [token.start for token in told],
    }


def _entry(token: TokenChoice, n_top: int) -> dict[str, Any]:
    top = [_named(piece, logprob) for piece, logprob in _likeliest(token, n_top)]
    return {**_named(token.piece, _number(token.logprob)), "top_logprobs": top}


def _likeliest(token: TokenChoice, n: int) -> list[tuple[bytes, float]]:
    """The likeliest tokens in a token's place, itself among them if it is one, likeliest first."""
    all_of_them = [(token.piece, token.logprob), *((other.piece, other.logprob) for other in token.others)]
    all_of_them.sort(key=lambda each: -each[1])
    return [(piece, _number(logprob)) for piece, logprob in all_of_them[:n]]


def _named(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _text(piece), "logprob": logprob, "bytes": [*piece]}


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _number(logprob: float) -> float:
    return max(logprob, LEAST)
