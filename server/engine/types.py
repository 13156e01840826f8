"""What travels between the engine and its callers: frozen, slotted, free of text formats and of pointers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.engine.sampling.constraint import Constraint


class Vocabulary(Protocol):
    """A model's tokens. Implemented by `server.llama.vocabulary.Vocabulary` and by the tests' byte tokenizer."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of each token id, markers and control tokens visible, pieces of any length."""
        ...

    @property
    def special(self) -> Mapping[str, int]:
        """Token ids of the control tokens and user-defined markers by their text, `<tool_call>` for example."""
        ...

    @property
    def eog(self) -> frozenset[int]:
        """The ids that end a generation."""
        ...

    @property
    def eos(self) -> int:
        """The id written to end a text; a member of `eog`."""
        ...

    @property
    def bos(self) -> str | None:
        """The text of the token to put in front of every prompt, or None if the model wants none."""
        ...

    def tokenize(self, text: bytes, *, parse_special: bool) -> list[int]:
        """Token ids of UTF-8 text, nothing added. With `parse_special` marker texts become their tokens."""
        ...


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
class Decision:
    """Which way an answer goes is decided by its first token of weight; this makes some of those likelier.

    `offset` is added to the logits of `tokens` at the beginning of the answer, after tokens of `passes` (white space)
    for as long as only they came, and again after one of `reopens` (the end of a thought).

    With a `commitment`, choosing one of `tokens` there commits: the answer goes on under that constraint, and the token
    itself is chosen again under it. It follows the tokens before the decision if it allows them, else it begins here.
    """

    tokens: tuple[int, ...]
    offset: float
    passes: frozenset[int] = frozenset()
    reopens: frozenset[int] = frozenset()
    commitment: Constraint | None = None


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

    The first `n_prefix` tokens are likely to begin other requests too (tools, system prompts): they are kept longest,
    and beyond the process.
    """

    tokens: tuple[int, ...]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    decision: Decision | None = None
    n_prefix: int = 0
    terms: ServiceTerms = ServiceTerms()


class FinishReason(StrEnum):
    """Why a generation ended: the model or a stop string or the grammar (STOP), or a limit (LENGTH)."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class GenerationUsage:
    """Counts of one generation, in tokens.

    `cached` of the `prompt` tokens were not prefilled; of the `completion` tokens `forced` were appended by
    the grammar without a decision. `decode_steps` counts the model evaluations that this sequence waited for
    after its prompt was prefilled.
    """

    prompt: int
    cached: int
    completion: int
    forced: int
    decode_steps: int


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """A piece of a generation. The last one, and only it, has `finish_reason` and `usage`.

    `text` is whole UTF-8, never part of a stop string, and may be empty.
    """

    text: str
    finish_reason: FinishReason | None = None
    usage: GenerationUsage | None = None
