"""How tokens are chosen: a body's fields become the engine's parameters.

Knows the wire names of both kinds of completion, which share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.api.chat.schemas import one_of
from server.engine.types import SamplingParams
from server.errors import RequestError

if TYPE_CHECKING:
    from server.api.chat.schemas import SampledRequest


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
