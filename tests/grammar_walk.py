"""Answers that a grammar allows, token by token, without a model: chosen at random, or a text that is given.

Knows constraints and vocabularies; no schema. Law: what is chosen is drawn from the mask alone, so whatever comes out
is what a model could have said. Along a text each step is done as the engine does it: what is forced, then a token.
Where the text may end no mask is made: the engine asks only whether the token that the model wants is allowed.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from server.engine.sampling.constraint import Constraint
    from server.engine.vocabulary import Vocabulary

CLOSING = b'"}]'


@dataclass
class Steps:
    """Seconds of the processor in each call along one answer; what the machine does besides is not counted."""

    mask: list[float] = field(default_factory=list)
    allows: list[float] = field(default_factory=list)
    forced: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)


class GrammarWalk:
    """Walks through grammars over one vocabulary. The same seed walks the same way."""

    def __init__(self, vocabulary: Vocabulary, seed: int = 0) -> None:
        self._vocabulary = vocabulary
        self._random = random.Random(seed)
        self._n_vocab = len(vocabulary.pieces)
        self._closes = np.array([piece[:1] != b"" and piece[0] in CLOSING for piece in vocabulary.pieces])
        self._closes[[*vocabulary.eog, *vocabulary.special.values()]] = True
        self._is_byte = np.array([len(piece) == 1 for piece in vocabulary.pieces])

    def at_random(self, constraint: Constraint, *, patience: int = 40, limit: int = 2000) -> tuple[bytes, Steps, bool]:
        """A whole answer, the steps it took, and whether it came to an end within `limit` steps.

        What ends a string, a list, or the answer is the likelier the longer it takes, from `patience` steps on nearly
        certain where it is allowed.
        """
        tokens: list[int] = []
        steps = Steps()
        for n_steps in range(limit):
            tokens += _timed(steps.forced, constraint.forced)
            if constraint.is_finished or (constraint.is_accepting and n_steps > patience):
                return self._text(tokens), steps, True
            token = self._chosen(_timed(steps.mask, constraint.mask), min(0.1 + n_steps / patience, 0.99))
            if token in self._vocabulary.eog:
                return self._text(tokens), steps, True
            _timed(steps.accept, lambda token=token: constraint.accept(token))
            tokens.append(token)
        return self._text(tokens), steps, False

    def along(self, constraint: Constraint, text: str) -> tuple[str, Steps]:
        """What of a text the constraint does not allow, "" if it allows all of it, and the steps up to there."""
        steps = Steps()
        rest = text.encode()
        while rest:
            forced = self._text(_timed(steps.forced, constraint.forced))
            if not rest.startswith(forced):
                break
            rest = rest[len(forced) :]
            token = next(iter(self._vocabulary.tokenize(rest, parse_special=True)), None)
            if token is None:
                break
            if not self._may_follow(constraint, token, steps):
                break
            _timed(steps.accept, lambda token=token: constraint.accept(token))
            rest = rest[len(self._vocabulary.pieces[token]) :]
        return rest.decode("utf-8", "replace"), steps

    def _may_follow(self, constraint: Constraint, token: int, steps: Steps) -> bool:
        if constraint.is_accepting:
            return bool(_timed(steps.allows, lambda: constraint.allows(token)))
        mask = _timed(steps.mask, constraint.mask)
        return bool(mask[token // 32] >> np.uint32(token % 32) & np.uint32(1))

    def _chosen(self, mask: np.ndarray, closing: float) -> int:
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: self._n_vocab].astype(bool)
        among = allowed
        if self._random.random() < closing:
            # What closes; where that does not end a pattern, single characters, one of which leads on.
            few = [allowed & self._closes, allowed & self._is_byte]
            self._random.shuffle(few)
            among = next((each for each in few if each.any()), allowed)
        ids = np.flatnonzero(among)
        return int(ids[self._random.randrange(len(ids))])

    def _text(self, tokens: list[int]) -> bytes:
        return b"".join(self._vocabulary.pieces[token] for token in tokens if token not in self._vocabulary.eog)


def _timed(seconds: list[float], call):
    started = time.thread_time()
    result = call()
    seconds.append(time.thread_time() - started)
    return result
