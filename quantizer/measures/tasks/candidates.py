"""How likely a model finds several continuations of one beginning: the beginning is computed once for all of them.

Knows tokens; no task. The law: what is asked of one group does not depend on the groups evaluated
with it, but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from quantizer.errors import DataError, NativeError
from quantizer.measures.text.log_probabilities import peak_and_log_sum
from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from server.llama.model import Model

N_PARALLEL = 4
# One pass of llama.cpp's; more tokens at a time gain nothing on a CPU, and rows of logits are large.
_MIN_BATCH = 512
_MIN_OUTPUTS = 256


@dataclass(frozen=True, slots=True)
class Query:
    """ln p of `token` right after position `position` of a sequence."""

    sequence: int
    position: int
    token: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Sequences that begin with the same `n_shared` tokens (at least one), and what is asked of them.

    Queries ask about the last shared position or later ones.
    """

    sequences: tuple[tuple[int, ...], ...]
    n_shared: int
    queries: tuple[Query, ...]

    @property
    def n_tokens(self) -> int:
        """How many tokens are evaluated: last ones too, which nothing asks about, as llama-perplexity does."""
        return self.n_shared + sum(len(sequence) - self.n_shared for sequence in self.sequences)


def shared_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all have in common; at least one of each is left out, to have something to ask about."""
    limit = min(map(len, sequences)) - 1
    n = 0
    while n < limit and len({sequence[n] for sequence in sequences}) == 1:
        n += 1
    return n


class CandidateEvaluator:
    """Evaluates groups of candidates, `n_parallel` sequences at once. A context manager.

    llama.cpp's matrix products round a little differently with the number of rows, which decides some close tasks: the
    default is llama-perplexity's.
    """

    def __init__(
        self, model: Model, groups: Sequence[Candidates], *, n_threads: int, n_parallel: int = N_PARALLEL
    ) -> None:
        if not groups:
            raise DataError("there is no task to evaluate")
        if any(group.n_shared < 1 for group in groups):
            raise DataError("candidates must have a first token in common")
        self._groups = groups
        n_shared = max(len(group.sequences) for group in groups)
        self._n_seq = max(n_shared, n_parallel)
        self._n_batch = max([_MIN_BATCH, *(group.n_tokens for group in groups)])
        self._n_outputs = max([_MIN_OUTPUTS, *(len(_outputs(group)) for group in groups)])
        self._context = Context(
            model,
            n_ctx=self._n_batch,
            n_batch=self._n_batch,
            n_ubatch=_MIN_BATCH,
            n_seq_max=self._n_seq,
            n_outputs_max=self._n_outputs,
            n_threads=n_threads,
        )
        self._batch = Batch(self._n_batch, self._n_seq, model.n_vocab, n_shared=n_shared)

    def evaluate(self, progress: Callable[[int, int], None]) -> Iterator[NDArray[np.float64]]:
        """The answers to each group's queries, in order, `[n_queries]`. `progress`: groups done, in all."""
        done = 0
        while done < len(self._groups):
            groups = self._fitting(done)
            yield from self._evaluated(groups)
            done += len(groups)
            progress(done, len(self._groups))

    def _fitting(self, start: int) -> list[Candidates]:
        groups: list[Candidates] = []
        tokens = sequences = outputs = 0
        for group in self._groups[start:]:
            tokens += group.n_tokens
            sequences += len(group.sequences)
            outputs += len(_outputs(group))
            if tokens > self._n_batch or sequences > self._n_seq or outputs > self._n_outputs:
                break
            groups.append(group)
        return groups

    def _evaluated(self, groups: Sequence[Candidates]) -> list[NDArray[np.float64]]:
        self._context.clear()
        self._batch.clear()
        rows: list[dict[tuple[int, int], int]] = []
        first_sequence = n_rows = 0
        for group in groups:
            outputs = _outputs(group)
            self._add(group, first_sequence, outputs)
            rows.append({output: n_rows + i for i, output in enumerate(outputs)})
            n_rows += len(outputs)
            first_sequence += len(group.sequences)
        status = self._context.decode(self._batch)
        if status is not DecodeStatus.OK:
            raise NativeError(f"llama.cpp did not evaluate {self._batch.n_tokens} tokens ({status.name})")
        return [self._answers(group, of) for group, of in zip(groups, rows, strict=True)]

    def _add(self, group: Candidates, first_sequence: int, outputs: Sequence[tuple[int, int]]) -> None:
        ids = range(first_sequence, first_sequence + len(group.sequences))
        n = group.n_shared
        self._batch.add(group.sequences[0][:n], 0, tuple(ids), wants_logits=(-1, n - 1) in outputs)
        for i, sequence in enumerate(group.sequences):
            wanted = np.array([(i, position) in outputs for position in range(n, len(sequence))])
            self._batch.add(sequence[n:], n, ids[i], wants_logits=wanted)

    def _answers(self, group: Candidates, rows: dict[tuple[int, int], int]) -> NDArray[np.float64]:
        answers = np.empty(len(group.queries))
        for i, query in enumerate(group.queries):
            logits = self._context.logits(rows[_output(group, query)])
            peak, log_sum = peak_and_log_sum(logits[None])
            answers[i] = float(logits[query.token] - peak[0]) - log_sum[0]
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._batch.close()
        self._context.close()


def _output(group: Candidates, query: Query) -> tuple[int, int]:
    """The sequence and position whose logits answer a query; the last shared position belongs to sequence -1."""
    return (-1 if query.position < group.n_shared else query.sequence, query.position)


def _outputs(group: Candidates) -> list[tuple[int, int]]:
    """The distinct rows of logits that a group needs, in the order in which they are evaluated."""
    return sorted({_output(group, query) for query in group.queries})
