"""The fields of a text completion's body. `user` and `stream_options.include_obfuscation` are ignored.

Knows OpenAI's wire names. The law: a parameter is honoured, documented as ignored, or refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from server.api.request.fields import NOTHING
from server.api.request.sampling import SampledRequest, validated_sampled
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_N = 8  # answers to one prompt


class CompletionRequestBody(SampledRequest):
    """The body of POST /v1/completions. A prompt is text or token ids; several are a list. 16 tokens by default."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None


def read_completion_request(body: Mapping[str, Any]) -> CompletionRequestBody:
    """The validated fields of a text completion's body. Raises `RequestError` as `validated` does."""
    request = validated_sampled(CompletionRequestBody, body, NOTHING)
    if request.echo and request.logprobs is not None and request.suffix:
        raise RequestError(
            "A prompt with a suffix is not what the model reads; logprobs of an echo want a prompt alone.",
            param="suffix",
            code="unsupported_parameter",
        )
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise RequestError(
            f"best_of is {request.best_of} and n is {request.n or 1}; every answer is returned, so leave best_of out.",
            param="best_of",
            code="unsupported_parameter",
        )
    return request
