"""How far a model's predictions are from a reference's, token by token: llama-perplexity's `--kl-divergence`.

Knows predictions and logits; no file. Conventions: KLD is D(reference ‖ model) in nats over the tokens to which the
reference gives more than e^-16; Δp is p(model) - p(reference) of the text's own token; the ln-ratio is the mean
-ln p of the model less the reference's. Source: `tools/perplexity/perplexity.cpp` (kl_divergence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from quantizer.errors import DataError
from quantizer.evaluator import Evaluator
from quantizer.measures.estimate import Estimate, bootstrap_errors
from quantizer.measures.text.log_probabilities import RowBlocks, peak_and_log_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from quantizer.calibration.chunks import Chunks
    from server.llama.model import Model

# Below it the reference's probabilities do not count; llama.cpp's files end there.
MIN_LOG_PROBABILITY = -16.0
KLD_QUANTILES = {
    "99.9%": 0.999,
    "99%": 0.99,
    "95%": 0.95,
    "90%": 0.9,
    "10%": 0.1,
    "5%": 0.05,
    "1%": 0.01,
    "0.1%": 0.001,
}
DELTA_QUANTILES = {**KLD_QUANTILES, "75%": 0.75, "25%": 0.25}
_NAMES = (
    *("ppl", "ppl_base", "ln_ratio", "ppl_ratio", "ppl_difference", "rho", "kld"),
    *(f"kld_{name}" for name in ("max", "median", "min", *KLD_QUANTILES)),
    *("delta_p", "delta_p_rms", *(f"delta_p_{name}" for name in ("max", "median", "min", *DELTA_QUANTILES))),
    "same_top",
)


@dataclass(frozen=True, slots=True)
class Predictions:
    """A reference's predictions at some positions. `log_p` holds what is above e^-16, `mask` where it belongs.

    `nll` and `top` are `[n_rows]`: -ln p of the text's token, and the likeliest token. `mask` is `[n_rows, n_vocab]`;
    `log_p` is flat, row after row.
    """

    nll: NDArray[np.float32]
    top: NDArray[np.int32]
    mask: NDArray[np.bool_]
    log_p: NDArray[np.float32]


class ReferenceChunk(Protocol):
    """The reference's predictions at the scored positions of one chunk."""

    def rows(self, rows: slice) -> Predictions:
        """Those of some positions."""
        ...


class Reference(Protocol):
    """The predictions of a reference model for chunks of text."""

    @property
    def chunks(self) -> Chunks:
        """The text."""
        ...

    @property
    def n_vocab(self) -> int:
        """The number of tokens it predicts."""
        ...

    def read(self) -> Iterator[ReferenceChunk]:
        """Chunk after chunk, one in memory at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Divergence:
    """Per scored token, each of shape `[n_chunk, n_scored]`; `same_top` is whether the likeliest tokens agree.

    Positions at which the model's logits are no numbers are counted, and are no part of any figure.
    """

    nll: NDArray[np.float32]
    nll_base: NDArray[np.float32]
    kld: NDArray[np.float32]
    delta_p: NDArray[np.float32]
    same_top: NDArray[np.bool_]

    def estimates(self) -> dict[str, Estimate | None]:
        """Every measure by name, with both errors where they are defined; None if no position has a number.

        `ppl`, `ppl_base`, `ln_ratio`, `ppl_ratio`, `ppl_difference`, `rho`, `kld`, `kld_median`, `kld_max`, `kld_min`,
        `kld_<quantile>`, `delta_p`, `delta_p_rms`, `delta_p_median`, …, `same_top`.
        """
        usable = np.flatnonzero(self._is_finite.any(axis=1))
        if not len(usable):
            return dict.fromkeys(_NAMES)
        values, token_errors = self._measures(usable), self._token_errors()
        errors = bootstrap_errors(lambda chosen: self._measures(usable[chosen]), len(usable))
        return {name: Estimate(value, errors.get(name), token_errors.get(name)) for name, value in values.items()}

    @property
    def n_not_finite(self) -> int:
        """How many positions the model has no numbers for."""
        return int(np.count_nonzero(~self._is_finite))

    def kld_by_chunk(self) -> tuple[float | None, ...]:
        """The mean divergence of each chunk; None for one without any number."""
        rows = (kld[is_finite] for kld, is_finite in zip(self.kld, self._is_finite, strict=True))
        return tuple(float(row.mean(dtype="f8")) if row.size else None for row in rows)

    @property
    def _is_finite(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.isfinite(self.nll) & np.isfinite(self.kld) & np.isfinite(self.delta_p)
        return found

    def _measures(self, chosen: NDArray[np.intp]) -> dict[str, float]:
        is_finite = self._is_finite[chosen]
        nll, base, kld, delta = (
            values[chosen][is_finite].astype(np.float64) for values in (self.nll, self.nll_base, self.kld, self.delta_p)
        )
        ln_ratio = float(nll.mean() - base.mean())
        ppl, ppl_base = float(np.exp(nll.mean())), float(np.exp(base.mean()))
        return {
            "ppl": ppl,
            "ppl_base": ppl_base,
            "ln_ratio": ln_ratio,
            "ppl_ratio": float(np.exp(ln_ratio)),
            "ppl_difference": ppl - ppl_base,
            "rho": _correlation(nll, base),
            "kld": float(kld.mean()),
            **_distribution("kld", kld, KLD_QUANTILES),
            "delta_p": float(delta.mean()),
            "delta_p_rms": float(np.sqrt(np.mean(delta**2))),
            **_distribution("delta_p", delta, DELTA_QUANTILES),
            "same_top": float(self.same_top[chosen][is_finite].mean()),
        }

    def _token_errors(self) -> dict[str, float]:
        """Standard errors as if tokens were independent, propagated to first order, as llama-perplexity prints them."""
        is_finite = self._is_finite
        nll, base, kld, delta = (
            values[is_finite].astype(np.float64) for values in (self.nll, self.nll_base, self.kld, self.delta_p)
        )
        n = nll.size
        if n < 2:
            return {}
        s, s_base = _mean_error(nll), _mean_error(base)
        covariance = float(np.mean(nll * base) - nll.mean() * base.mean()) / (n - 1)
        ppl, ppl_base = float(np.exp(nll.mean())), float(np.exp(base.mean()))
        ln_ratio = float(np.sqrt(max(0.0, s**2 + s_base**2 - 2 * covariance)))
        difference = (ppl * s) ** 2 + (ppl_base * s_base) ** 2 - 2 * ppl * ppl_base * covariance
        rms = float(np.sqrt(np.mean(delta**2)))
        same = float(self.same_top[is_finite].mean())
        return {
            "ppl": ppl * s,
            "ppl_base": ppl_base * s_base,
            "ln_ratio": ln_ratio,
            "ppl_ratio": float(np.exp(nll.mean() - base.mean())) * ln_ratio,
            "ppl_difference": float(np.sqrt(max(0.0, difference))),
            "kld": _mean_error(kld),
            "delta_p": _mean_error(delta),
            "delta_p_rms": 0.5 / rms * _mean_error(delta**2) if rms > 0 else 0.0,
            "same_top": float(np.sqrt(same * (1 - same) / (n - 1))),
        }


def measure_divergence(
    model: Model,
    reference: Reference,
    *,
    n_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Divergence:
    """Evaluate the reference's chunks and compare. Raises `DataError` if the vocabularies differ in size."""
    chunks = reference.chunks
    if reference.n_vocab != model.n_vocab:
        raise DataError(
            f"the reference predicts {reference.n_vocab} tokens and {model.path.name} {model.n_vocab}: "
            f"compare models of one vocabulary"
        )
    shape = (chunks.n_chunk, chunks.n_scored)
    found = Divergence(
        nll=np.empty(shape, np.float32),
        nll_base=np.empty(shape, np.float32),
        kld=np.empty(shape, np.float32),
        delta_p=np.empty(shape, np.float32),
        same_top=np.empty(shape, np.bool_),
    )
    scored = slice(chunks.first_scored, chunks.n_ctx - 1)
    with (
        Evaluator(model, n_ctx=chunks.n_ctx, n_outputs=chunks.n_scored, n_threads=n_threads) as evaluator,
        RowBlocks(n_threads) as blocks,
    ):
        for i, expected in enumerate(reference.read()):
            logits, targets = evaluator.logits(chunks.evaluated(i), scored), chunks.targets(i)

            def one(rows: slice, i: int = i, expected: ReferenceChunk = expected) -> None:
                parts = compare(logits[rows], targets[rows], expected.rows(rows))  # noqa: B023  map() ends in this turn
                for name, part in parts.items():
                    getattr(found, name)[i, rows] = part

            blocks.map(one, *logits.shape)
            progress(i + 1, chunks.n_chunk)
    return found


def compare(
    logits: NDArray[np.float32], targets: NDArray[np.int32], expected: Predictions
) -> Mapping[str, NDArray[np.float32] | NDArray[np.bool_]]:
    """The fields of a `Divergence` for some rows of logits."""
    peak, log_sum = peak_and_log_sum(logits)
    n_kept = expected.mask.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(n_kept)[:-1]])
    with np.errstate(invalid="ignore"):  # of logits that are no numbers
        log_total = peak + log_sum.astype(np.float32)
        nll = log_total - logits[np.arange(len(targets)), targets]
        surprise = expected.log_p - logits[expected.mask] + np.repeat(log_total, n_kept)
        kld = np.add.reduceat(np.exp(expected.log_p) * surprise, starts, dtype=np.float64)
    return {
        "nll": nll,
        "nll_base": expected.nll,
        "kld": kld.astype(np.float32),
        "delta_p": np.exp(-nll) - np.exp(-expected.nll),
        "same_top": logits.argmax(axis=1) == expected.top,
    }


def _mean_error(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(max(0.0, float(np.mean(values * values)) - float(values.mean()) ** 2) / (values.size - 1)))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    spread = float(a.std() * b.std())
    return float(np.mean(a * b) - a.mean() * b.mean()) / spread if spread > 0 else 1.0


def _distribution(name: str, values: NDArray[np.float64], quantiles: Mapping[str, float]) -> dict[str, float]:
    wanted = {f"{name}_max": 1.0, f"{name}_median": 0.5, f"{name}_min": 0.0}
    wanted |= {f"{name}_{label}": q for label, q in quantiles.items()}
    ordered = np.sort(values, axis=None)
    return {label: _quantile(ordered, q) for label, q in wanted.items()}


def _quantile(ordered: NDArray[np.float64], q: float) -> float:
    """Between the two nearest values, the position rounded to float32 as llama-perplexity has it."""
    position = np.float32(q) * np.float32(len(ordered) - 1)
    i = int(position)
    part = float(position) - i
    return float((1 - part) * ordered[i] + part * ordered[min(i + 1, len(ordered) - 1)])
