"""Drafts without a second model: what followed the last tokens before, in this prompt or in recent answers.

Pure: token arrays in, token arrays out. A draft is a guess that rides in the batch of the token before it and is
verified there; it never changes what is generated, only how many evaluations that takes. Tool calls repeat themselves:
every one opens alike, and names and values are copied from the tools list and the user's turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Tokens = NDArray[np.int32]

MAX_DRAFT = 8
"""Tokens of one draft. Each costs a third to a half of an evaluation of its own, right or wrong."""
MIN_MATCH = 2
MAX_MATCH = 8
MAX_CANDIDATES = 32
HISTORY = 4096
"""Tokens of recent answers that are remembered: a few dozen calls, searched in tens of microseconds."""
LEAD = 4
"""Tokens of the prompt remembered before each answer, so that an answer's very beginning can be drafted."""
KINDS = FREE, CONSTRAINED = range(2)
_GAP = -1

_OPTIMISM = 0.7
_LEARNING = 0.2
# A kind of match that is not drafted from is tried again some day.
_RECOVERY = 0.005


@dataclass(frozen=True, slots=True)
class Draft:
    """Guessed tokens, shape `[n]`, and the length of the match they rest on; whether the request expected them."""

    tokens: Tokens
    n_match: int
    is_expected: bool = False


class Drafter:
    """Remembers recent answers, proposes continuations, and learns how often they are right.

    The chance that the next drafted token is right is learned by the length of the match, since longer ones are surer,
    and by `kind`, one of `KINDS`: a grammar leaves less to go wrong.
    """

    def __init__(self) -> None:
        self._history: Tokens = np.empty(0, dtype=np.int32)
        self._chances = np.full((len(KINDS), MAX_MATCH + 1), _OPTIMISM)

    def remember(self, tokens: Tokens, n_prompt: int) -> None:
        """Keep a finished sequence's answer. `tokens` are prompt and answer, shape `[n]`."""
        answer = tokens[max(0, n_prompt - LEAD) :]
        self._history = np.concatenate([self._history, np.array([_GAP], dtype=np.int32), answer])[-HISTORY:]

    def find(self, tokens: Tokens, n_max: int, expected: Tokens | None = None) -> Draft:
        """A continuation of `tokens` of at most `n_max` tokens: in recent answers, in themselves, or in `expected`.

        Empty, with match 0, if nothing matches.
        """
        n_max = min(n_max, MAX_DRAFT)
        if n_max <= 0:
            return Draft(tokens[:0], 0)
        draft, n_match = _best_continuation(self._history, tokens)
        own, n_own = _best_continuation(tokens[:-1], tokens)
        if n_own > n_match:
            draft, n_match = own, n_own
        is_expected = False
        if expected is not None and len(expected):
            promised, n_promised = _best_continuation(expected, tokens)
            if n_promised >= n_match:  # who sent it knows more than the past does
                draft, n_match, is_expected = promised, n_promised, n_promised > 0
        gaps = np.flatnonzero(draft == _GAP)
        return Draft(draft[: int(gaps[0]) if len(gaps) else n_max][:n_max], n_match, is_expected)

    def worth(self, draft: Tokens, n_match: int, n_sure: int, seconds: Callable[[int], float], kind: int) -> Tokens:
        """As much of a draft as promises the most tokens a second, which may be nothing.

        The step gives `n_sure` tokens without it, and takes `seconds(n)` with `n` drafted ones.
        """
        chance = float(self._chances[kind, n_match])
        best, best_rate = 0, n_sure / seconds(0)
        expected, likelihood = float(n_sure), 1.0
        for n in range(1, len(draft) + 1):
            likelihood *= chance
            expected += likelihood
            rate = expected / seconds(n)
            if rate > best_rate:
                best, best_rate = n, rate
        if best == 0 and len(draft):
            self._chances[kind, n_match] += _RECOVERY
        return draft[:best]

    def learn(self, n_match: int, n_drafted: int, n_accepted: int, kind: int) -> None:
        """Tell how a draft fared: each token was a trial until the first that was wrong."""
        for trial in range(min(n_accepted + 1, n_drafted)):
            self._chances[kind, n_match] += _LEARNING * (float(trial < n_accepted) - self._chances[kind, n_match])


def _best_continuation(text: Tokens, tail_of: Tokens) -> tuple[Tokens, int]:
    """What follows the longest match of the end of `tail_of` in `text`, the latest of equals; and its length."""
    if len(text) <= MIN_MATCH or len(tail_of) < MIN_MATCH:
        return text[:0], 0
    ends = np.flatnonzero((text[1:-1] == tail_of[-1]) & (text[:-2] == tail_of[-2]))[-MAX_CANDIDATES:] + 1
    best, longest = -1, 0
    for end in ends[::-1].tolist():
        n = _match_length(text, end, tail_of)
        if n > longest:
            best, longest = end, n
            if n == MAX_MATCH:
                break
    return (text[best + 1 : best + 1 + MAX_DRAFT], longest) if longest else (text[:0], 0)


def _match_length(text: Tokens, end: int, tail_of: Tokens) -> int:
    """How many tokens before and at `text[end]` equal the end of `tail_of`, at most `MAX_MATCH`."""
    n = min(MAX_MATCH, end + 1, len(tail_of))
    differs = np.flatnonzero(text[end - n + 1 : end + 1] != tail_of[len(tail_of) - n :])
    return n if len(differs) == 0 else n - 1 - int(differs[-1])
