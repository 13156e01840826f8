"""Files whose logits are no numbers: counted, in no mean, told everywhere, and never judged as if they were whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ggufs.nan_weights import put_nan

from quantizer.__main__ import run
from quantizer.errors import DataError
from quantizer.measures.calls.decisions import DecisionDivergence
from quantizer.measures.evaluation import evaluation_path, read_evaluation
from quantizer.measures.text.divergence import Divergence
from quantizer.measures.text.perplexity import Perplexity

pytestmark = pytest.mark.native
TEXT = "abc abx plain zz. " * 10 + "Q " * 40 + "abc abx plain zz. " * 20
# In F16, since ggml makes zeros of what is no number where it quantizes activations, on some processors.
RECIPE = '[mine]\nbase = "F16"\n[[mine.rules]]\nkind = "attn_q"\ntype = "Q8_0"\n'
HELLASWAG = "\n".join(
    line for i in range(6) for line in ("what is", "1", "one", "two", "three", "a Q and more" if i == 2 else "four")
)


def strict(text):
    """JSON without the words that are none."""

    def refuse(word):
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def measured(wide, tmp_path, monkeypatch):
    """Makes stock files on both sides of a third one, damages that, evaluates and reports; returns the folder."""
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "tasks.txt").write_text(HELLASWAG)
    (tmp_path / "mine.toml").write_text(RECIPE)
    recipes = ["Q8_0", "F16", str(tmp_path / "mine.toml")]
    assert run(["quantize", str(wide), *recipes, "--output-dir", str(tmp_path)]) == 0

    def measure(tensor, row=0):
        files = [tmp_path / f"wide-{name}.gguf" for name in ("Q8_0", "mine", "F16")]
        put_nan(files[1], tensor, row)
        asked = ["--text", str(tmp_path / "text.txt"), "--ctx-size", "64", "--threads", "1", "--decisions", "3"]
        asked += ["--hellaswag", str(tmp_path / "tasks.txt")]
        for file in files:
            kept = ["--json-file", str(evaluation_path(file))]
            assert run(["evaluate", str(file), "--reference", str(wide), *asked, *kept]) == 0
        assert run(["report", str(wide), *map(str, files), "--output-dir", str(tmp_path / "report")]) == 0
        return tmp_path

    return measure


def test_a_file_of_which_nothing_is_a_number_is_broken(measured, capsys):
    folder = measured("output_norm.weight")
    shown = capsys.readouterr().out
    found = read_evaluation(folder / "wide-mine.evaluation.json")
    assert found.text.not_finite == found.text.n_scored
    assert found.text.estimates["kld"] is None
    assert found.decisions.not_finite == found.decisions.decisions
    assert (found.tasks["hellaswag:tasks.txt"].accuracy, found.tasks["hellaswag:tasks.txt"].not_finite) == (None, 6)
    assert "no number" in shown
    assert "broken: text without a number" in shown
    report = strict((folder / "report" / "report.json").read_text())
    (judged,) = report["matched_bytes"]
    assert (judged["name"], judged["kld"], judged["error"]) == ("mine", None, None)
    assert judged["verdict"].startswith("broken")
    strict((folder / "wide-mine.evaluation.json").read_text())
    page = (folder / "report" / "report.md").read_text()
    assert "mine is broken: its logits are no numbers at" in page
    assert "nan" not in page.lower().replace("nan_", "")


def test_positions_without_a_number_are_counted_and_in_no_mean(measured):
    """One token's embedding is NaN: it has no number and, on some processors, what follows it in its chunk has none."""
    folder = measured("token_embd.weight", row=3 + ord("Q"))
    found, whole = (read_evaluation(folder / f"wide-{name}.evaluation.json") for name in ("mine", "F16"))
    assert 0 < found.text.not_finite < found.text.n_scored / 2
    assert np.isfinite(found.text.estimates["kld"].value)
    assert whole.text.not_finite == 0
    assert found.text.estimates["kld"].error > 0
    assert found.tasks["hellaswag:tasks.txt"].not_finite == 1
    assert found.tasks["hellaswag:tasks.txt"].n == 5
    report = strict((folder / "report" / "report.json").read_text())
    assert report["matched_bytes"][0]["verdict"].startswith("broken")
    broken = next(file for file in report["files"] if file["name"] == "mine")
    assert broken["dominated_by"] is None
    assert not any(file["dominated_by"] == "mine" for file in report["files"])


def test_a_reference_that_gives_no_numbers_is_refused(wide, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(tmp_path / "cache"))
    assert run(["quantize", str(wide), "Q8_0", "--output", str(tmp_path / "q.gguf")]) == 0
    put_nan(wide, "output_norm.weight")
    (tmp_path / "text.txt").write_text(TEXT)
    asked = ["--reference", str(wide), "--text", str(tmp_path / "text.txt"), "--ctx-size", "64", "--threads", "1"]
    for more in ([], ["--no-text", "--decisions", "3"]):
        assert run(["evaluate", str(tmp_path / "q.gguf"), *asked, *more]) == 1
        assert "gives no numbers in" in capsys.readouterr().err.splitlines()[-1]
    assert not [path for path in (tmp_path / "cache" / "references").iterdir() if path.is_file()]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_means_are_those_of_the_numbers_alone(value):
    rng = np.random.default_rng(1)
    columns = {name: rng.random((4, 8)).astype(np.float32) for name in ("nll", "nll_base", "kld", "delta_p")}
    whole = Divergence(**columns, same_top=rng.random((4, 8)) > 0.5)
    columns["kld"] = columns["kld"].copy()
    columns["kld"][1, :] = value
    found = Divergence(**columns, same_top=whole.same_top)
    without = Divergence(
        **{n: np.delete(c, 1, axis=0) for n, c in columns.items()}, same_top=np.delete(whole.same_top, 1, 0)
    )
    assert found.n_not_finite == 8
    assert found.estimates() == without.estimates()
    assert found.kld_by_chunk() == (*whole.kld_by_chunk()[:1], None, *whole.kld_by_chunk()[2:])
    nll = columns["nll"].astype(np.float64)
    nll[2, 3] = value
    assert Perplexity(nll).n_not_finite == 1
    assert Perplexity(nll).estimate().value == pytest.approx(np.exp(np.delete(nll.ravel(), 19).mean()))
    assert Perplexity(np.full((2, 3), value)).estimate() is None
    decided = DecisionDivergence(np.array([1, value]), np.array([True, False]), np.array([2, value]), np.array([0, 1]))
    assert decided.n_not_finite == 1
    assert decided.estimates()["decision_kld"].value == 1


def test_an_evaluation_with_a_word_for_no_number_is_refused(tmp_path):
    path = tmp_path / "x.evaluation.json"
    path.write_text('{"model": {"name": "x"}, "text": {"ppl": {"value": NaN}}}')
    with pytest.raises(DataError, match="holds NaN, which is no number"):
        read_evaluation(path)
