"""How tokens are chosen: the fields that both kinds of completion share become the engine's parameters.

Knows OpenAI's wire names and llama.cpp's extras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from server.api.request.fields import Shape, validated
from server.engine.types import SamplingParams
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.api.request.fields import Unsupported

Probability = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class StreamOptions(Shape):
    """`include_obfuscation` is ignored: nothing is padded."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Drawn(Shape):
    """How tokens are drawn, in every dialect."""

    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Probability | None = None


class SampledRequest(Drawn):
    """What every kind of completion can be told. Defaults are OpenAI's: top_p 1, nothing else; see `settled`.

    Without a `model` it is the one that is served, where that answers to any name: llama-server's clients send none.
    `timeout` is this server's own: seconds after which the request is given up.
    """

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[list[StopString], Field(max_length=4), BeforeValidator(_listed)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    user: str | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None


Sampled = TypeVar("Sampled", bound=SampledRequest)


def validated_sampled(shape: type[Sampled], body: Mapping[str, Any], unsupported: Unsupported) -> Sampled:
    """The body as a shape. Raises `RequestError` as `validated` does, and for options of a stream that is none."""
    request = validated(shape, body, unsupported)
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options is only allowed with stream: true.", param="stream_options", code="invalid_value"
        )
    return request


def one_of(request: SampledRequest, first: str, second: str) -> Any:
    """The value of two names of one parameter, None if neither is given. Raises `RequestError` if both differ."""
    values = [value for name in (first, second) if (value := getattr(request, name)) is not None]
    if len(values) == 2 and values[0] != values[1]:
        raise RequestError(
            f"{first} is {values[0]} and {second} is {values[1]}, but they are two names of one parameter; send one.",
            param=first,
            code="invalid_value",
        )
    return values[0] if values else None


AnyDrawn = TypeVar("AnyDrawn", bound=Drawn)


def settled(wanted: AnyDrawn, default: float | None, *, decides: bool) -> AnyDrawn:
    """The body with a temperature: its own, else the server's `default`, else OpenAI's 1, or 0 for what is decided.

    Decided is an answer that may be a call or has to be JSON, `decides`, unless the body says how to draw it.
    """
    if wanted.temperature is not None:
        return wanted
    draws = any(each is not None for each in (wanted.top_p, wanted.top_k, wanted.min_p, wanted.seed))
    by_kind = 0.0 if decides and not draws else 1.0
    return wanted.model_copy(update={"temperature": by_kind if default is None else default})


def read_sampling(wanted: SampledRequest, n_vocab: int) -> SamplingParams:
    """The sampling parameters; what was not given keeps its default. Raises `RequestError` for wrong token ids."""
    repetition = one_of(wanted, "repetition_penalty", "repeat_penalty")
    given = {
        "temperature": wanted.temperature,
        "top_k": None if wanted.top_k is None else max(wanted.top_k, 0),  # vLLM's "off" is -1
        "top_p": wanted.top_p,
        "min_p": wanted.min_p,
        "repetition_penalty": repetition,
        "presence_penalty": wanted.presence_penalty,
        "frequency_penalty": wanted.frequency_penalty,
        # Generators take unsigned seeds; OpenAI's are signed. Distinct seeds stay distinct.
        "seed": None if wanted.seed is None else wanted.seed % 2**64,
        "logit_bias": _logit_bias(wanted.logit_bias or {}, n_vocab),
    }
    return SamplingParams(**{name: value for name, value in given.items() if value is not None})


def _logit_bias(bias: dict[str, float], n_vocab: int) -> dict[int, float]:
    read = {}
    for text, value in bias.items():
        is_id = text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < n_vocab
        if not is_id:
            raise RequestError(
                f"Invalid logit_bias: {text!r} is not a token id; ids are 0 to {n_vocab - 1}.",
                param="logit_bias",
                code="invalid_value",
            )
        read[int(text)] = value
    return read
