"""The fields of a request for embeddings. `user` is ignored.

Knows OpenAI's wire names. The law: a parameter is honoured, documented as ignored, or refused by name.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from server.api.request.fields import Shape, invalid, validated

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSUPPORTED: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {"dimensions": ((), "a vector has the model's own length")}
)
MAX_TEXTS = 2048  # OpenAI's


class EmbeddingRequest(Shape):
    """The body of POST /v1/embeddings. A text is a string or token ids; several are a list."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


def read_embedding_request(body: Mapping[str, Any]) -> EmbeddingRequest:
    """The validated fields. Raises `RequestError` as `validated` does, and for no texts or too many."""
    request = validated(EmbeddingRequest, body, UNSUPPORTED)
    n = len(request.input)
    if n == 0:
        raise invalid("input", "it is empty; send at least one text")
    if isinstance(request.input, list) and not isinstance(request.input[0], int) and n > MAX_TEXTS:
        raise invalid("input", f"it has {n} texts; one request has at most {MAX_TEXTS}")
    return request


def texts(request: EmbeddingRequest) -> list[str | tuple[int, ...]]:
    """The texts of a request, in order."""
    if isinstance(request.input, str):
        return [request.input]
    ids = tuple(part for part in request.input if isinstance(part, int))
    if ids:
        return [ids]
    return [part if isinstance(part, str) else tuple(part) for part in request.input if not isinstance(part, int)]
