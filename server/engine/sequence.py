"""One request on its way through the engine: the one mutable object of a generation.

Knows tokens and counts. Only the engine thread touches it, but for `is_cancelled`, which any thread may set.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

from server.engine.decision import OpenDecision
from server.engine.detokenizer import Detokenizer
from server.engine.sampling.draft import LEAD
from server.engine.sampling.logprobs import Logprobs, Weighed
from server.engine.sampling.sampler import Sampler
from server.engine.sampling.weighed_prompt import WeighedPrompt
from server.engine.types import Alternative, GenerationUsage, TokenChoice

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from numpy.typing import NDArray

    from server.engine.kv_cache.prefix_store import StoredBeginning
    from server.engine.sampling.constraint import Constraint
    from server.engine.types import GenerationRequest
    from server.engine.vocabulary import Vocabulary


class Phase(Enum):
    """Where a sequence stands. A preempted one waits again."""

    WAITING = auto()
    PREFILLING = auto()
    DECODING = auto()
    ENDED = auto()


class Sequence:
    """A prompt and its growing answer.

    tokens   | prompt ........ | generated: sampled and forced |
    computed | these are in memory .......... | pending ...... |
    """

    __slots__ = (
        "_buffer",
        "_choices",
        "_logprobs",
        "_vocabulary",
        "_weighed",
        "_weighs_mask",
        "constraint",
        "deadline",
        "decision",
        "detokenizer",
        "expected",
        "id",
        "is_cancelled",
        "max_tokens",
        "n_cached",
        "n_computed",
        "n_decode_steps",
        "n_expected",
        "n_forced",
        "n_passed_over",
        "n_prefix",
        "n_prompt",
        "n_tokens",
        "n_unexpected",
        "phase",
        "pieces",
        "sampler",
        "slot",
        "stored",
        "terms",
        "timeout_s",
        "was_preempted",
        "weighed_prompt",
    )

    def __init__(
        self,
        id: int,  # noqa: A002 - the field's name
        request: GenerationRequest,
        n_ctx: int,
        vocabulary: Vocabulary,
    ) -> None:
        self.id = id
        self._vocabulary = vocabulary
        self.n_prompt = self.n_tokens = len(request.tokens)
        self.weighed_prompt = _weighed_prompt(request, vocabulary)
        n_prefix = self.n_prompt if request.terms.cache_key else min(request.n_prefix, self.n_prompt)
        self.n_prefix = 0 if self.is_private else n_prefix
        self.terms = request.terms
        self.timeout_s = self.deadline = math.inf
        limit = n_ctx - self.n_prompt
        self.max_tokens = limit if request.max_tokens is None else min(request.max_tokens, limit)
        self._buffer = np.empty(self.n_prompt + 256, dtype=np.int32)
        self._buffer[: self.n_prompt] = request.tokens
        # The request may be submitted again: its constraint stays where it is.
        self.constraint = None if request.constraint is None else request.constraint.fork()
        self.sampler = Sampler(request.sampling, self.tokens)
        self.decision = OpenDecision(request.decision)
        self._logprobs = None if request.n_others is None else Logprobs(request.n_others, vocabulary.eog)
        self._weighs_mask = request.weighs_mask
        lead = request.tokens[-LEAD:] if request.expected else ()
        self.expected = np.array([*lead, *request.expected], dtype=np.int32)
        self.n_expected = 0
        self.n_unexpected = 0
        self._weighed: Weighed | None = None
        self._choices: list[TokenChoice] = []
        self.detokenizer = Detokenizer(request.stop)
        self.phase = Phase.WAITING
        self.is_cancelled = False
        self.was_preempted = False
        self.slot: int | None = None
        self.stored: StoredBeginning | None = None
        self.pieces: list[str] = []
        self.n_computed = 0
        self.n_cached: int | None = None
        self.n_forced = 0
        self.n_decode_steps = 0
        self.n_passed_over = 0

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Prompt and generated tokens, shape `[n_tokens]`. A view: valid until the next `append`."""
        return self._buffer[: self.n_tokens]

    @property
    def n_generated(self) -> int:
        """Tokens after the prompt."""
        return self.n_tokens - self.n_prompt

    @property
    def n_pending(self) -> int:
        """Tokens that are not in memory yet."""
        return self.n_tokens - self.n_computed

    @property
    def n_left(self) -> int:
        """How many more tokens may be generated."""
        return self.max_tokens - self.n_generated

    @property
    def is_private(self) -> bool:
        """Whether its memory is nobody else's. The few rows of a step that weighs take other kernels than prompts."""
        return self.weighed_prompt is not None

    @property
    def weighs(self) -> bool:
        """Whether the prompt's own tokens are still to be weighed: all of its rows are wanted."""
        return self.weighed_prompt is not None and not self.weighed_prompt.is_whole

    @property
    def usage(self) -> GenerationUsage:
        """The counts so far."""
        return GenerationUsage(
            prompt=self.n_prompt,
            cached=self.n_cached or 0,
            completion=self.n_generated,
            forced=self.n_forced,
            decode_steps=self.n_decode_steps,
            expected=self.n_expected,
            unexpected=self.n_unexpected,
        )

    def append(self, tokens: Tokens[int]) -> None:
        """Add generated tokens."""
        n = self.n_tokens + len(tokens)
        if n > len(self._buffer):
            self._buffer = np.concatenate([self.tokens, np.empty(n, dtype=np.int32)])
        self._buffer[self.n_tokens : n] = tokens
        self.n_tokens = n
        self.sampler.record(tokens)
        self.decision.record(tokens)

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The next token for `logits`, shape `[n_vocab]`. Where it decides what the answer is, the constraint changes.

        Raises as `Sampler.sample` does.
        """
        row = self.sampler.row(logits, self.decision)
        token = self.sampler.choose(row, self.constraint)
        self._weigh(row, self.constraint, token)
        commitment = self.decision.commit(token, self.tokens[self.n_prompt :])
        if commitment is None:
            return token
        self.constraint = commitment
        row = self.sampler.row(logits)
        token = self.sampler.choose(row, commitment)
        self._weigh(row, commitment, token)
        return token

    def feed(self, token: int, *, is_end: bool) -> None:
        """Take the text of one more token of the answer, before `append`. One that was not chosen was forced."""
        if self._logprobs is not None:
            self._choices.append(self._choice(token, is_end=is_end))
        if not is_end:
            self.pieces.append(self.detokenizer.feed(self._vocabulary.pieces[token]))

    def take_text(self) -> str:
        """The text that became ready since the last call."""
        text = "".join(self.pieces)
        self.pieces.clear()
        return text

    def take_prompt(self) -> tuple[TokenChoice, ...]:
        """The prompt's tokens once they were weighed, if the request wants them and none has taken them."""
        return () if self.weighed_prompt is None else self.weighed_prompt.take()

    def take_choices(self) -> tuple[TokenChoice, ...]:
        """The tokens since the last call, if the request wants them."""
        if not self._choices:
            return ()
        choices = tuple(self._choices)
        self._choices.clear()
        return choices

    def _weigh(self, row: NDArray[np.float32], constraint: Constraint | None, token: int) -> None:
        """Remember what the token was chosen from. What it commits to keeps the probability that it would."""
        if self._logprobs is None:
            return
        before, beginnings = self._weighed, self.decision.beginnings
        mask = constraint if self._weighs_mask else None
        self._weighed = self._logprobs.weigh(row, mask, token, beginnings)
        if before is not None:
            self._weighed = replace(self._weighed, call=before.call)

    def _choice(self, token: int, *, is_end: bool) -> TokenChoice:
        pieces, eog, start = self._vocabulary.pieces, self._vocabulary.eog, self.detokenizer.n_decoded
        piece = b"" if is_end else pieces[token]
        weighed, self._weighed = self._weighed, None
        if weighed is None:
            return TokenChoice(start, piece, is_forced=True, is_end=is_end)
        others = tuple(
            Alternative(b"", logprob, is_end=True) if other in eog else Alternative(pieces[other], logprob)
            for other, logprob in weighed.others
        )
        return TokenChoice(start, piece, weighed.logprob, others, is_end=is_end, call=weighed.call)


def _weighed_prompt(request: GenerationRequest, vocabulary: Vocabulary) -> WeighedPrompt | None:
    if request.n_others is None or not request.weighs_prompt:
        return None
    return WeighedPrompt(request.tokens, request.n_others, vocabulary.pieces)
