"""What a model is calibrated on: texts as chunks, each with a name that goes into the file.

Knows texts, families and vocabularies. The law: dialogues are tokenized with their markers as special tokens, which is
how a served model meets them; plain text without, unless asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantizer.calibration import generate_dialogues, render_dialogues, shipped_text
from quantizer.calibration.chunks import chunk_text
from quantizer.calibration.model_family import check_family, model_family
from quantizer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantizer.calibration.chunks import Chunks
    from server.llama.model import Model

MAX_TEXT_BYTES = 1 << 30
SHIPPED_TEXT = "functiongate:text"  # its name among the texts of an imatrix


@dataclass(frozen=True, slots=True)
class CalibrationChoice:
    """Which texts: files of the user's, the shipped one, and how many dialogues; `max_chunks` bounds each of them.

    `parse_special` is for the plain texts. `family` overrides what the file's metadata tell.
    """

    texts: tuple[Path, ...] = ()
    shipped: bool = True
    n_dialogues: int = 200
    seed: int = 1
    family: str | None = None
    parse_special: bool = False
    n_ctx: int = 512
    max_chunks: int | None = None

    def check(self) -> None:
        """Raise `DataError` for a text that cannot be read or a family that there is not: before a model is opened."""
        for path in self.texts:
            read_text(path)
        check_family(self.family)


def calibration_sources(model: Model, choice: CalibrationChoice) -> list[tuple[str, Chunks]]:
    """The chosen sources as chunks. Raises `DataError` if there is none, or one cannot be read or is too short."""
    plain = [(str(path), read_text(path)) for path in choice.texts]
    if choice.shipped:
        plain.append((SHIPPED_TEXT, shipped_text()))
    sources = [(name, _chunks(model, choice, name, text, choice.parse_special)) for name, text in plain]
    sources += [
        (name, _chunks(model, choice, name, text, parse_special=True)) for name, text in _dialogues(model, choice)
    ]
    if not sources:
        raise DataError("nothing to calibrate on: give a text, or leave the shipped text or the dialogues in")
    return sources


def read_text(path: Path) -> str:
    """A file's text, a last newline left out as llama.cpp's tools do.

    Raises `DataError` if it cannot be read, is too large or is not UTF-8.
    """
    try:
        if (size := path.stat().st_size) > MAX_TEXT_BYTES:
            raise DataError(f"{path} has {size} bytes; texts of up to {MAX_TEXT_BYTES} are read")
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise DataError(f"cannot read the text {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}: convert it") from error


def _chunks(model: Model, choice: CalibrationChoice, name: str, text: str, parse_special: bool) -> Chunks:
    return chunk_text(
        model.vocabulary,
        text,
        n_ctx=choice.n_ctx,
        max_chunks=choice.max_chunks,
        parse_special=parse_special,
        name=name,
    )


def _dialogues(model: Model, choice: CalibrationChoice) -> Iterator[tuple[str, str]]:
    if not choice.n_dialogues:
        return
    with model_family(model, choice.family) as family:
        texts = list(render_dialogues(family, generate_dialogues(choice.n_dialogues, seed=choice.seed)))
    if not texts:
        raise DataError(
            f"the family {family.id} cannot say any dialogue: calibrate on text alone (--dialogues 0), "
            f"or name another family (--family)"
        )
    # The vocabulary writes a text's first token itself.
    text = "\n".join(texts).removeprefix(model.vocabulary.bos or "")
    yield f"functiongate:dialogues:{family.id}:{choice.n_dialogues}:{choice.seed}", text
