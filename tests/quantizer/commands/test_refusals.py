"""Wrong input is refused in one line before a model is opened or anything is made; a listing shows what is refused."""

from __future__ import annotations

import json

import pytest
from ggufs.split_gguf import split_gguf
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.__main__ import run
from server.llama.model import Model

SET = """
model = "tiny.gguf"
recipes = ["Q8_0"]
output = "out"
[imatrix]
dialogues = 1
{imatrix}
[evaluation]
{evaluation}
"""


@pytest.fixture
def here(tiny, tmp_path, monkeypatch):
    """The working directory, with tiny.gguf in it. Opening a model, or quantizing one, is a failure of the test."""

    def fail(*_, **__):
        raise AssertionError("work has begun")

    monkeypatch.setattr(Model, "__init__", fail)
    monkeypatch.setattr("quantizer.quantize.run", fail)
    monkeypatch.chdir(tmp_path)
    return tiny.parent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "MODEL", "--text", "none.txt"], "cannot read the text none.txt"),
        (["evaluate", "MODEL", "--hellaswag", "none.txt"], "cannot read the text none.txt"),
        (["evaluate", "MODEL", "--hellaswag", "five.txt"], "HellaSwag's form"),
        (["evaluate", "MODEL", "--multiple-choice", "none.bin"], "cannot read the tasks none.bin"),
        (["evaluate", "MODEL", "--logits", "none.logits"], "cannot read the logits none.logits"),
        (["evaluate", "MODEL", "--cases", "none.jsonl"], "cannot read the text none.jsonl"),
        (["evaluate", "MODEL", "--decisions", "2"], "--reference"),
        (["evaluate", "MODEL", "--tool-calls", "--family", "nobodys"], "nobodys"),
        (["evaluate", "MODEL", "--json-file", "no/x.json"], "there is no folder no"),
        (["evaluate", "MODEL", "--reference", "none.gguf"], "none.gguf"),
        (["imatrix", "MODEL", "-o", "no/i.gguf"], "there is no folder no"),
        (["imatrix", "MODEL", "-o", "i.gguf", "--text", "none.txt"], "cannot read the text none.txt"),
        (["imatrix", "MODEL", "-o", "i.gguf", "--family", "nobodys"], "nobodys"),
        (["quantize", "MODEL", "Q8_0", "--output-dir", "five.txt/in"], "five.txt is a file"),
        (["quantize", "MODEL", "Q8_0", "-o", "five.txt/q.gguf"], "five.txt is a file"),
        (["quantize", "MODEL", "Q8_0", "Q1_0"], "cannot be Q1_0"),
        (["dequantize", "MODEL", "-o", "five.txt/q.gguf"], "five.txt is a file"),
        (["plan", "MODEL", "Q8_0", "--heat-map", "no/map.svg"], "there is no folder no"),
        (["inspect", "MODEL", "--heat-map", "no/map.svg"], "there is no folder no"),
        (["stats", "five.txt", "--plot", "no/map.svg"], "there is no folder no"),
        (["report", "MODEL", "MODEL", "--output-dir", "five.txt/out"], "five.txt is a file"),
        (["run", "set.toml", "--output-dir", "five.txt/out"], "five.txt is a file"),
    ],
)
def test_what_would_fail_in_the_end_is_refused_at_once(here, capsys, arguments, words):
    (here / "five.txt").write_text("\n".join("12345"))
    (here / "set.toml").write_text(SET.format(imatrix="", evaluation=""))
    before = set(here.iterdir())
    assert run(["tiny.gguf" if one == "MODEL" else one for one in arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert set(here.iterdir()) == before


@pytest.mark.parametrize(
    ("part", "line", "words"),
    [
        ("evaluation", 'txt = "a"', "[evaluation] txt: no such key"),
        ("evaluation", 'text = "none.txt"', "none.txt"),
        ("evaluation", 'winogrande = "none.csv"', "none.csv"),
        ("evaluation", 'cases = "none.jsonl"', "none.jsonl"),
        ("evaluation", 'family = "nobodys"\ndecisions = 2', "nobodys"),
        ("imatrix", "dialogs = 3", "[imatrix] dialogs: no such key"),
        ("imatrix", 'texts = ["none.txt"]', "none.txt"),
        ("imatrix", 'family = "nobodys"', "nobodys"),
    ],
)
def test_a_set_that_would_fail_in_the_end_is_refused_at_once(here, capsys, part, line, words):
    (here / "set.toml").write_text(SET.format(**{"imatrix": "", "evaluation": "", part: line}))
    assert run(["run", "set.toml"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (here / "out").exists()


def test_a_recipe_that_does_not_fit_hides_no_others_plan(tiny, capsys):
    assert run(["plan", str(tiny), "Q8_0", "Q1_0", "F16"]) == 0
    shown = capsys.readouterr().out
    assert "Q1_0 does not fit" in shown
    assert "64 values a row are not whole blocks of 128" in shown
    assert shown.index("Q8_0:") < shown.index("Q1_0 does not fit") < shown.index("F16:")
    assert run(["plan", str(tiny), "Q8_0", "Q1_0", "--json"]) == 0
    made, refused = json.loads(capsys.readouterr().out)
    assert made["size_bytes"] > 0
    assert refused["recipe"] == "Q1_0"
    assert "cannot be Q1_0" in refused["refused"]


@pytest.mark.native
def test_the_sizes_of_a_split_model_are_those_of_all_its_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(tmp_path / "cache"))
    whole = write_tiny_gguf(tmp_path / "m.gguf")
    first, *others = split_gguf(whole, 3)
    (tmp_path / "text.txt").write_text("abc abx plain zz. " * 40)
    asked = ["--text", str(tmp_path / "text.txt"), "--ctx-size", "64", "--threads", "1", "--json"]
    assert run(["evaluate", str(first), *asked]) == 0
    found = json.loads(capsys.readouterr().out)["model"]
    assert found["file_bytes"] == sum(path.stat().st_size for path in (first, *others))
    assert run(["evaluate", str(whole), *asked]) == 0
    other = json.loads(capsys.readouterr().out)["model"]
    assert (found["tensor_bytes"], found["bits_per_weight"]) == (other["tensor_bytes"], other["bits_per_weight"])


@pytest.mark.parametrize(
    "verb", [["inspect"], ["plan", "F16"], ["quantize", "F16"], ["dequantize"], ["evaluate"], ["imatrix"], ["report"]]
)
def test_every_verb_that_takes_a_model_takes_a_catalogue_name(tiny, tmp_path, monkeypatch, verb):
    """The name is looked up; whatever comes of it then is the verb's own matter."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def resolve(name, **_):
        asked.append(name)
        return tiny

    name, *others = verb
    monkeypatch.setattr(f"quantizer.commands.{ {'dequantize': 'quantize'}.get(name, name) }.resolve", resolve)
    monkeypatch.setattr(Model, "__init__", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    others += {"imatrix": ["-o", "i.gguf"], "report": ["x.gguf"]}.get(name, [])
    run([name, "smollm2-135m", *others])
    assert asked[0] == "smollm2-135m"
