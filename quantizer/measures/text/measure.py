"""The measure of a text: perplexity, and with a reference divergence from it.

Knows where a text and a reference come from; the figures are `perplexity`'s and `divergence`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantizer.calibration import shipped_text
from quantizer.calibration.chunks import Chunks, chunk_text
from quantizer.calibration.sources import SHIPPED_TEXT, read_text
from quantizer.measures.evaluation import TextResult
from quantizer.measures.text.divergence import measure_divergence
from quantizer.measures.text.logits_file import LogitsFile
from quantizer.measures.text.perplexity import measure_perplexity
from quantizer.model.hashing import file_sha256
from server.llama.model import Model

if TYPE_CHECKING:
    from pathlib import Path

    from quantizer.measures.measure import Means, Subject
    from quantizer.measures.text.divergence import Reference


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """Over chunks of `path`, None for the shipped text, or over those of llama-perplexity's file of `logits`."""

    path: Path | None = None
    n_ctx: int = 512
    max_chunks: int | None = None
    logits: Path | None = None

    @property
    def name(self) -> str:
        """Its field."""
        return "text"

    def depends(self, _means: Means) -> list[Any]:
        """The text itself, not its name: a text that is edited is another one."""
        if self.logits is not None:
            return ["logits", file_sha256(self.logits)]
        return [self._text_sha256(), self.n_ctx, self.max_chunks]

    def check(self, _reference: Path | None) -> None:
        """Raises `DataError` for a text that cannot be read, `FileFormatError` for a file that holds no logits."""
        if self.logits is not None:
            LogitsFile.open(self.logits, bos=None)
        else:
            self._text()

    def run(self, subject: Subject, means: Means) -> TextResult:
        """Raises `QuantizerError` and its kinds."""
        expected = self._expected(subject, means)
        if expected is None:
            chunks = self._chunks(subject.model)
            with means.bars("perplexity") as progress:
                found = measure_perplexity(subject.model, chunks, n_threads=means.n_threads, progress=progress)
            return self._result(chunks, estimates={"ppl": found.estimate()}, not_finite=found.n_not_finite)
        with means.bars("divergence") as progress:
            divergence = measure_divergence(subject.model, expected, n_threads=means.n_threads, progress=progress)
        return self._result(
            expected.chunks,
            estimates=divergence.estimates(),
            not_finite=divergence.n_not_finite,
            kld_by_chunk=divergence.kld_by_chunk(),
        )

    def _expected(self, subject: Subject, means: Means) -> Reference | None:
        if self.logits is not None:
            return LogitsFile.open(self.logits, bos=subject.model.vocabulary.bos_token)
        if subject.reference is None:
            return None
        with Model(subject.reference) as weights, means.bars("reference") as progress:
            return means.store.get(weights, self._chunks(weights), n_threads=means.n_threads, progress=progress)

    def _chunks(self, model: Model) -> Chunks:
        return chunk_text(
            model.vocabulary, self._text(), n_ctx=self.n_ctx, max_chunks=self.max_chunks, name=self._text_name()
        )

    def _text(self) -> str:
        return shipped_text() if self.path is None else read_text(self.path)

    def _text_name(self) -> str:
        return SHIPPED_TEXT if self.path is None else str(self.path)

    def _text_sha256(self) -> str:
        return hashlib.sha256(self._text().encode("utf-8", "surrogatepass")).hexdigest()

    def _result(self, chunks: Chunks, **measured: Any) -> TextResult:
        return TextResult(
            name=self._text_name() if self.logits is None else str(self.logits),
            text_sha256=self._text_sha256() if self.logits is None else None,
            n_ctx=chunks.n_ctx,
            n_chunk=chunks.n_chunk,
            n_scored=chunks.n_chunk * chunks.n_scored,
            tokens=chunks.key,
            **measured,
        )
