"""What every measure is: a name, what its result depends on, and a run that gives the result.

Knows models, references and where results are kept; no statistic. The law: a measure depends on the file, on its
reference, on the build, and on what `depends` says, and on nothing else: a result with the same key is the same result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from quantizer.measures.text.reference import ReferenceStore

    Bars = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True, slots=True)
class Means:
    """With what is measured. `bars` gives a progress function for a named piece of work."""

    store: ReferenceStore
    n_threads: int
    bars: Bars


@dataclass(slots=True)
class Subject:
    """The file that is measured, and the reference that it is held against, if any. A context manager.

    Opened when the first measure asks for the model; what measures in another process lets go of it before.
    """

    path: Path
    reference: Path | None
    _model: Model | None = field(default=None, init=False)

    @property
    def model(self) -> Model:
        """The open model. Raises `LlamaError` if it cannot be opened."""
        if self._model is None:
            self._model = Model(self.path)
        return self._model

    def release(self) -> None:
        """Close the model, if it is open: its memory is wanted elsewhere."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Measure(Protocol):
    """One thing to know of a file."""

    @property
    def name(self) -> str:
        """The field of an `Evaluation`; of a task, `tasks/` and what the evaluation calls it."""
        ...

    def depends(self, means: Means) -> list[Any]:
        """What the result depends on beyond the files and the build, as JSON's types."""
        ...

    def check(self, reference: Path | None) -> None:
        """Raise `QuantizerError` or a kind of it for what could not be measured: nothing is opened or begun before."""
        ...

    def run(self, subject: Subject, means: Means) -> Any:
        """The result, of the type of its field. Raises `QuantizerError` and its kinds."""
        ...
