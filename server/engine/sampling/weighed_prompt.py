"""The tokens of a prompt with the probabilities that the model gave them, as its rows of logits come.

Knows rows, tokens and pieces; no sequence and no memory. The law: each token is weighed once, in order, by the row of
the token before it, without bias, penalty or grammar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.engine.detokenizer import Detokenizer
from server.engine.sampling.logprobs import Logprobs
from server.engine.types import Alternative, TokenChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class WeighedPrompt:
    """The choices of one prompt, shape `[n]` of tokens whose bytes are `pieces`; `n_others` runners-up of each."""

    def __init__(self, tokens: Sequence[int], n_others: int, pieces: Sequence[bytes]) -> None:
        self._tokens = tuple(tokens)
        self._pieces = pieces
        # Of a prompt every token is one of many: none ends anything.
        self._logprobs = Logprobs(n_others, eog=())
        self._text = Detokenizer()
        self._choices: list[TokenChoice] = []
        self._n_weighed = 0
        self._add(TokenChoice(0, pieces[self._tokens[0]], is_first=True))

    @property
    def is_whole(self) -> bool:
        """Whether all were weighed."""
        return self._n_weighed == len(self._tokens)

    def weigh(self, position: int, row: NDArray[np.float32]) -> None:
        """Take the row of logits of the token at a position, shape `[n_vocab]`. One that was taken is passed over."""
        if position + 1 != self._n_weighed or self.is_whole:
            return
        token = self._tokens[position + 1]
        weighed = self._logprobs.weigh(row, None, token)
        others = tuple(Alternative(self._pieces[other], logprob) for other, logprob in weighed.others)
        self._add(TokenChoice(self._text.n_decoded, self._pieces[token], weighed.logprob, others))

    def take(self) -> tuple[TokenChoice, ...]:
        """All tokens, once; none before all were weighed."""
        if not self.is_whole:
            return ()
        choices = tuple(self._choices)
        self._choices.clear()
        return choices

    def _add(self, choice: TokenChoice) -> None:
        self._choices.append(choice)
        self._text.feed(choice.piece)
        self._n_weighed += 1
