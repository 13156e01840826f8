"""The verbs, through the command line, on a tiny random model."""

import json

import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.__main__ import run
from quantizer.imatrix.file import read_imatrix

pytestmark = pytest.mark.native
TEXT = "abc abx plain zz. " * 200


@pytest.fixture
def model(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_an_imatrix_is_collected_merged_and_described(model, text, tmp_path, capsys):
    one, both = tmp_path / "one.gguf", tmp_path / "both.dat"
    common = ["--text", str(text), "--no-shipped", "--ctx-size", "64", "--chunks", "2", "--threads", "1"]
    assert run(["imatrix", str(model), "-o", str(one), "--dialogues", "0", *common]) == 0
    assert run(["imatrix", "-o", str(both), "--add", str(one), "--add", str(one)]) == 0
    assert read_imatrix(one).datasets == (str(text),)
    assert read_imatrix(both).chunk_count == 4
    capsys.readouterr()
    assert run(["stats", str(one), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 2
    assert run(["stats", str(one)]) == 0
    assert "CosSim" in capsys.readouterr().out


def test_dialogues_calibrate_in_the_models_own_framing(model, tmp_path):
    out = tmp_path / "d.gguf"
    arguments = ["--dialogues", "7", "--no-shipped", "--ctx-size", "64", "--chunks", "2", "--threads", "1"]
    assert run(["imatrix", str(model), "-o", str(out), *arguments]) == 0
    assert read_imatrix(out).datasets == ("functiongate:dialogues:generic:7:1",)


def test_an_evaluation_is_a_report_with_its_conventions(model, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(tmp_path / "cache"))
    other, report = write_tiny_gguf(tmp_path / "other.gguf", seed=1), tmp_path / "report.json"
    arguments = ["--text", str(text), "--ctx-size", "64", "--chunks", "3", "--threads", "1", "--json-file", str(report)]
    assert run(["evaluate", str(other), "--reference", str(model), *arguments]) == 0
    found = json.loads(report.read_text())
    assert found["text"]["n_scored"] == 3 * 31
    assert found["text"]["kld"]["value"] > 0.1
    assert found["text"]["kld"]["error"] > 0
    assert "kld" in found["conventions"]
    assert "kld_median" in capsys.readouterr().out
    assert run(["evaluate", str(model), "--reference", str(model), *arguments]) == 0
    assert json.loads(report.read_text())["text"]["kld"]["value"] == pytest.approx(0, abs=1e-6)
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["imatrix", "-o", "x.gguf"],
        ["stats", "missing.gguf"],
        ["evaluate", "missing.gguf"],
        ["evaluate", "{model}", "--decisions", "2", "--no-text"],
        ["evaluate", "{model}", "--hellaswag", "missing.txt", "--no-text"],
        ["evaluate", "{model}", "--logits", "missing.logits"],
    ],
)
def test_what_cannot_be_done_is_one_line(model, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run([argument.format(model=model) for argument in arguments]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("functiongate-quantize: ")
