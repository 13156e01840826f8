"""What is measured once is not measured again, and is when anything that it was made from has changed."""

from __future__ import annotations

import json

import pytest
from ggufs.tiny_gguf import write_tiny_gguf
from rich.console import Console

from quantizer.__main__ import run
from quantizer.calibration import shipped_text
from quantizer.measures.choice import EvaluationChoice
from quantizer.measures.evaluate import evaluate
from quantizer.measures.evaluation import Evaluation, read_evaluation
from quantizer.measures.measure import Means
from quantizer.measures.text.measure import TextMeasure
from quantizer.measures.text.reference import ReferenceStore
from quantizer.progress import work_bar
from server.llama.model import Model

pytestmark = pytest.mark.native


@pytest.fixture
def means(tmp_path):
    silent = Console(quiet=True)
    return Means(ReferenceStore(tmp_path / "references"), 1, lambda what: work_bar(silent, what))


@pytest.fixture
def measured(monkeypatch):
    """The names of the files whose text was measured."""
    names, measure = [], TextMeasure.run

    def spy(self, subject, means):
        names.append(subject.path.name)
        return measure(self, subject, means)

    monkeypatch.setattr(TextMeasure, "run", spy)
    return names


def test_what_the_verb_kept_a_run_does_not_measure_again(tiny, tmp_path, means, measured, monkeypatch):
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(tmp_path / "cache"))
    text, kept = tmp_path / "t.txt", tmp_path / "tiny.evaluation.json"
    text.write_text("abc abx plain zz. " * 40)
    asked = ["--text", str(text), "--ctx-size", "64", "--threads", "1", "--json-file", str(kept)]
    assert run(["evaluate", str(tiny), *asked]) == 0
    whole = kept.read_text()
    choice = EvaluationChoice(text=text, n_ctx=64)
    assert evaluate(tiny, None, choice.measures(), means, kept).keys == read_evaluation(kept).keys
    assert run(["evaluate", str(tiny), *asked]) == 0
    assert measured == ["tiny.gguf"]
    assert kept.read_text() == whole
    text.write_text("abc abx plain zz. " * 39 + "another one, zz. ")
    evaluate(tiny, None, choice.measures(), means, kept)
    assert measured == ["tiny.gguf"] * 2


def test_an_edit_of_the_shipped_text_makes_its_figures_anew(tiny, tmp_path, means, measured, monkeypatch):
    kept, measures = tmp_path / "e.json", EvaluationChoice(n_ctx=64, max_chunks=2).measures()
    first = evaluate(tiny, None, measures, means, kept)
    assert evaluate(tiny, None, measures, means, kept) == first
    assert len(measured) == 1
    monkeypatch.setattr("quantizer.measures.text.measure.shipped_text", lambda: "An edit. " + shipped_text())
    assert evaluate(tiny, None, measures, means, kept).text.estimates != first.text.estimates
    assert len(measured) == 2


def test_an_evaluation_that_is_cut_off_leaves_what_was_there(tiny, tmp_path, means, monkeypatch):
    kept = tmp_path / "e.json"
    measures = EvaluationChoice(n_ctx=64, max_chunks=2).measures()
    evaluate(tiny, None, measures, means, kept)
    whole = kept.read_text()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(Exception, match="No space left"):
        evaluate(write_tiny_gguf(tmp_path / "o.gguf", seed=3), None, measures, means, kept)
    assert kept.read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


def test_the_model_is_opened_once_for_all_its_measures(tiny, tmp_path, means, monkeypatch):
    opened, enter = [], Model.__init__

    def spy(self, path, **options):
        opened.append(path)
        enter(self, path, **options)

    monkeypatch.setattr(Model, "__init__", spy)
    tasks = tmp_path / "t.txt"
    tasks.write_text("\n".join(["what is", "1", "one", "two", "three", "four"] * 3))
    choice = EvaluationChoice(n_ctx=64, max_chunks=2, tasks=(("hellaswag", tasks),))
    found = evaluate(tiny, None, choice.measures(), means)
    assert found.text.n_chunk == 2
    assert found.tasks["hellaswag:t.txt"].n == 3
    assert opened == [tiny]


def test_an_evaluation_is_read_as_it_was_written(tiny, means):
    found = evaluate(tiny, None, EvaluationChoice(n_ctx=64, max_chunks=2).measures(), means)
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
