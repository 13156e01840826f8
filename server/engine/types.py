"""What travels between the engine and its callers: frozen, slotted, free of text formats and of pointers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.engine.decision import Decision
    from server.engine.sampling.constraint import Constraint


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a token is chosen from a row of logits. The defaults switch every filter off.

    `temperature` 0 is greedy. `top_k` 0 is off. `seed` None draws a fresh one per request. Penalties follow
    OpenAI (presence, frequency: subtracted from logits, over generated tokens) and llama.cpp
    (`repetition_penalty`: divides positive and multiplies negative logits of tokens seen, over the prompt's
    last 64 tokens and the generated ones).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceTerms:
    """How a request is served, which changes no answer.

    Requests of different owners take turns. `timeout_s` counts from acceptance. Under a `cache_key` the whole prompt is
    kept for the next request, in place of what was kept under it before.
    """

    owner: str = ""
    timeout_s: float | None = None
    cache_key: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to generate. `max_tokens` None means as many as the context holds.

    `n_others` is how many runners-up of each token are told with it in `GenerationChunk.choices`; None tells nothing
    of tokens. They are weighed under the grammar's mask or, without `weighs_mask`, among all tokens. With
    `weighs_prompt` the prompt's tokens are told before them; such a prompt shares nothing with others. The first
    `n_prefix` tokens are likely to begin other requests too (tools, system prompts): they are kept longest, and beyond
    the process. `expected` is what the answer will probably repeat: it is drafted from, and changes no answer.
    """

    tokens: tuple[int, ...]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    decision: Decision | None = None
    n_prefix: int = 0
    terms: ServiceTerms = ServiceTerms()
    n_others: int | None = None
    weighs_mask: bool = True
    weighs_prompt: bool = False
    expected: tuple[int, ...] = ()


class FinishReason(StrEnum):
    """Why a generation ended: the model or a stop string or the grammar (STOP), or a limit (LENGTH)."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class GenerationUsage:
    """Counts of one generation, in tokens.

    `cached` of the `prompt` tokens were not prefilled; of the `completion` tokens `forced` were appended by
    the grammar without a decision. `decode_steps` counts the model evaluations that this sequence waited for
    after its prompt was prefilled. Of the tokens that were drafted from what the request expected, `expected` came true
    and `unexpected` did not.
    """

    prompt: int
    cached: int
    completion: int
    forced: int
    decode_steps: int
    expected: int = 0
    unexpected: int = 0

    def and_then(self, later: GenerationUsage) -> GenerationUsage:
        """The counts of one answer that two generations made: the prompt is the first one's."""
        return GenerationUsage(
            self.prompt,
            self.cached,
            self.completion + later.completion,
            self.forced + later.forced,
            self.decode_steps + later.decode_steps,
            self.expected + later.expected,
            self.unexpected + later.unexpected,
        )

    def besides(self, later: GenerationUsage) -> GenerationUsage:
        """The counts of an answer beside which a generation was made that is none of it: its steps alone count."""
        return replace(self, decode_steps=self.decode_steps + later.decode_steps)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that was not chosen, by its bytes. `is_end`: the answer would have ended; there are no bytes then."""

    piece: bytes
    logprob: float
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of an answer, and what it was chosen from.

    `start` is where it begins in the answer's text, in characters; a token in the middle of a character begins where
    that does. `logprob` is the natural logarithm of its probability under the grammar's mask, with every bias and
    penalty, before the temperature. A token that the grammar forced (`is_forced`) had probability 1. `others` are the
    likeliest that were not chosen, likeliest first; all tokens that end the answer (`is_end`) are one. `call` is the
    probability that a call begins here, where that was open. A token of the prompt begins somewhere in the prompt's
    text, and was weighed without bias and penalty; its first one (`is_first`) stands behind nothing, and has no
    probability.
    """

    start: int
    piece: bytes
    logprob: float = 0.0
    others: tuple[Alternative, ...] = ()
    is_forced: bool = False
    is_end: bool = False
    is_first: bool = False
    call: float | None = None


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """A piece of a generation. The last one, and only it, has a `finish_reason`. `usage` is what was counted so far.

    `text` is whole UTF-8, never part of a stop string, and may be empty. `choices` are the tokens since the last chunk,
    for requests that want them; the text of the last ones may come with a later chunk. `prompt` is all of the prompt's
    tokens, in the first chunk of a request that wants them. `stop` is the stop string that ended the generation, in its
    last chunk.
    """

    text: str
    finish_reason: FinishReason | None = None
    usage: GenerationUsage | None = None
    choices: tuple[TokenChoice, ...] = ()
    prompt: tuple[TokenChoice, ...] = ()
    stop: str | None = None
