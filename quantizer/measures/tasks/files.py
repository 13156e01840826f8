"""Benchmark tasks in llama.cpp's forms: HellaSwag's lines, WinoGrande's CSV, the binary form of ARC, MMLU, TruthfulQA.

Knows layouts; no token. A selection of tasks is llama-perplexity's: same generator, same seed, same order.
Source: `tools/perplexity/perplexity.cpp` (hellaswag_score, load_winogrande_from_csv, multiple_choice_score). One thing
is not its: there the last line of a CSV is lost where the file ends with a single newline.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantizer.calibration.sources import read_text
from quantizer.errors import DataError, FileFormatError
from quantizer.measures.tasks.mersenne import draw_and_swap, draw_in_turn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_N_ENDINGS = 4
_MAX_ANSWERS = 100  # llama.cpp's bound
_MAX_BINARY_BYTES = 1 << 30
_NUMBER = re.compile(r"\s*([+-]?\d+)")


@dataclass(frozen=True, slots=True)
class ChoiceTask:
    """A text to be continued by one of the answers; `right` are the indices of those that count."""

    question: str
    answers: tuple[str, ...]
    right: frozenset[int]


@dataclass(frozen=True, slots=True)
class BlankTask:
    """A sentence with a blank between `first` and `second`, and two words for it; `right` is 0 or 1."""

    first: str
    second: str
    choices: tuple[str, str]
    right: int


def read_hellaswag(path: Path, n_tasks: int | None = None) -> tuple[ChoiceTask, ...]:
    """`n_tasks` of the file's tasks, drawn; None is all. Six lines a task: context, index of the gold ending, endings.

    Raises `DataError` for another number of lines, or an index that is none.
    """
    lines = read_text(path).removesuffix("\n").split("\n")
    size = 2 + _N_ENDINGS
    if len(lines) % size:
        raise DataError(f"{path} has {len(lines)} lines; HellaSwag's form has {size} for each task")
    n = len(lines) // size
    return tuple(_hellaswag_task(path, i, lines[i * size :][:size]) for i in draw_in_turn(n, min(n, n_tasks or n)))


def _hellaswag_task(path: Path, i: int, lines: list[str]) -> ChoiceTask:
    number = _NUMBER.match(lines[1])
    gold = int(number[1]) if number else -1
    if not 0 <= gold < _N_ENDINGS:
        raise DataError(f"{path}: task {i} has the gold index {lines[1]!r}, which is not 0 … {_N_ENDINGS - 1}")
    return ChoiceTask(lines[0], tuple(lines[2:]), frozenset({gold}))


def read_winogrande(path: Path, n_tasks: int | None = None) -> tuple[BlankTask, ...]:
    """`n_tasks` of the file's tasks, drawn; None is all, in order. One a line: index,sentence,choice1,choice2,answer.

    Lines without a blank or without an answer are left out, as llama.cpp does. Raises `DataError` if none is left.
    """
    found = (_winogrande_task(line) for line in read_text(path).split("\n"))
    tasks = [task for task in found if task is not None]
    if not tasks:
        raise DataError(f"{path} has no line of WinoGrande's form: index,sentence with a _,choice1,choice2,answer")
    if n_tasks is None or n_tasks >= len(tasks):
        return tuple(tasks)
    return tuple(tasks[i] for i in draw_and_swap(len(tasks), n_tasks))


def _winogrande_task(line: str) -> BlankTask | None:
    commas = list(_commas_outside_quotes(line))[:4]
    if len(commas) < 4:
        return None
    index_end, sentence_end, choice1_end, choice2_end = commas
    sentence = line[index_end + 1 : sentence_end]
    if sentence.startswith('"'):
        sentence = sentence[1:-1]
    first, blank, second = sentence.partition("_")
    answer = _NUMBER.match(line[choice2_end + 1 :])
    if not blank or answer is None or int(answer[1]) not in {1, 2}:
        return None
    choices = (line[sentence_end + 1 : choice1_end], line[choice1_end + 1 : choice2_end])
    return BlankTask(first, second, choices, int(answer[1]) - 1)


def _commas_outside_quotes(line: str) -> Iterable[int]:
    is_quoted = False
    for i, character in enumerate(line):
        if character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            yield i


def read_multiple_choice(path: Path, n_tasks: int | None = None) -> tuple[ChoiceTask, ...]:
    """`n_tasks` of the file's tasks, drawn; None is all, in order. Raises `FileFormatError` if the file is damaged."""
    try:
        if (size := path.stat().st_size) > _MAX_BINARY_BYTES:
            raise FileFormatError(f"{path} has {size} bytes; files of up to {_MAX_BINARY_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"cannot read the tasks {path}: {error.strerror or error}") from error
    reader = _BinaryTasks(path, data)
    n = reader.number()
    if not 0 < n <= len(data) // 4:
        raise FileFormatError(f"{path} claims {n} tasks in {len(data)} bytes")
    positions = [reader.number() for _ in range(n)]
    if n_tasks is None or n_tasks >= n:
        return tuple(reader.task() for _ in range(n))
    return tuple(reader.task_at(positions[i]) for i in draw_and_swap(n, n_tasks))


class _BinaryTasks:
    """Reads forward through bytes; every length is checked against what is left."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._at = path, data, 0

    def number(self) -> int:
        value: int = struct.unpack("<I", self._take(4))[0]
        return value

    def task_at(self, position: int) -> ChoiceTask:
        self._at = position
        return self.task()

    def task(self) -> ChoiceTask:
        question = self._text()
        answers, right = self._answers()
        self._answers()  # those of which several are right; llama.cpp does not score them either
        if not question or not answers or not all(answers):
            raise FileFormatError(f"{self._path} has a task without a question or with an empty answer")
        return ChoiceTask(question, answers, right)

    def _answers(self) -> tuple[tuple[str, ...], frozenset[int]]:
        n = self.number()
        if n > _MAX_ANSWERS:
            raise FileFormatError(f"{self._path} has a task with {n} answers; the bound is {_MAX_ANSWERS}")
        texts = tuple(self._text() for _ in range(n))
        labels = struct.unpack(f"<{n}i", self._take(4 * n))
        return texts, frozenset(i for i, label in enumerate(labels) if label == 1)

    def _text(self) -> str:
        return self._take(self.number()).decode("utf-8", "replace")

    def _take(self, n: int) -> bytes:
        part = self._data[self._at : self._at + n]
        if len(part) < n:
            raise FileFormatError(f"{self._path} ends within a task")
        self._at += n
        return part
