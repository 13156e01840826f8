"""The command line as a user meets it: verbs, tables, JSON, exit codes, one line for everything that goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ggufs.hand_made_imatrix import hand_made_imatrix, write_imatrix

from quantizer.__main__ import run
from quantizer.model.inventory import read_inventory
from quantizer.quantize import file_name
from server.version import functiongate_version

ROOT = Path(__file__).parents[3]


def test_the_version_is_the_distributions(capsys):
    assert run(["version"]) == 0
    assert capsys.readouterr().out.strip() == functiongate_version()


def test_an_unknown_verb_is_a_usage_error_in_one_line(capsys):
    assert run(["shrink"]) == 2
    error = capsys.readouterr().err
    assert "shrink" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "unneeded"),
    [
        ("version", "llama_cpp numpy jinja2"),
        ("quantize", "quantizer.measures.evaluate httpx"),
        ("plan", "quantizer.quantize"),
    ],
)
def test_a_verb_imports_no_other(verb, unneeded):
    """Importing all of them takes longer than a small model takes to quantize."""
    script = f"""
import sys
from quantizer.__main__ import run
run([{verb!r}, "--help"])
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Usage" in done.stdout
    assert not set(unneeded.split()) & set(done.stdout.split())


def test_inspect_prints_groups_and_what_is_odd(tiny, capsys):
    assert run(["inspect", str(tiny), "--metadata"]) == 0
    shown = capsys.readouterr().out
    assert "32.00 bits per weight" in shown
    assert "rows of 64 values are not blocks of 256" in shown
    assert "Q4_K -> Q5_0" in shown
    assert "llama.block_count" in shown


def test_inspect_speaks_json(tiny, capsys):
    assert run(["inspect", str(tiny), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "llama"


def test_plan_prints_the_size_and_every_substitute(tiny, capsys):
    assert run(["plan", str(tiny), "Q4_K_M", "--tensors"]) == 0
    shown = capsys.readouterr().out
    assert "bits per weight" in shown
    assert "tensors asked for Q4_K get Q5_0" in shown
    assert "blk.1.ffn_down.weight" in shown


def test_plan_speaks_json_of_several_recipes(tiny, capsys):
    assert run(["plan", str(tiny), "Q8_0", "F16", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert [plan["recipe"] for plan in plans] == ["Q8_0", "F16"]
    assert plans[0]["tensors"]["blk.0.attn_q.weight"]["type"] == "Q8_0"
    assert plans[0]["size_bytes"] == sum(plans[0]["file_bytes"])


def test_plan_reads_statistics_and_an_imatrix(wide, tmp_path, capsys):
    inventory = read_inventory(wide)
    imatrix = write_imatrix(hand_made_imatrix(inventory), tmp_path / "imatrix.gguf")
    statistics = tmp_path / "statistics.json"
    statistics.write_text(json.dumps({"zd": {tensor.name: tensor.layer or 0 for tensor in inventory.tensors}}))
    arguments = ["plan", str(wide), "tensorwise-zd-Q4_K_M", "--imatrix", str(imatrix), "--statistics", str(statistics)]
    assert run([*arguments, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["metadata"]["quantize.imatrix.dataset"] == "made by hand"
    assert plan["tensors"]["blk.1.attn_q.weight"]["type"] == "Q5_K"
    statistics.write_text('{"zd": {"blk.0.attn_q.weight": "much"}}')
    assert run(arguments) == 1
    assert "to hold numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Q4_K_M", "--on-misaligned", "refuse"], "cannot be Q4_K"),
        (["IQ2_XXS"], "needs activations"),
        (["Q4_K_XXL"], "there is no recipe"),
        (["Q8_0", "--imatrix", "MODEL"], "is no imatrix"),
        (["Q8_0", "--drop-duplicate-embedding"], "has no duplicate"),
        (["Q8_0", "Q4_0", "--heat-map", "map.png"], "name one recipe"),
    ],
)
def test_what_cannot_be_planned_is_one_line_and_exit_1(wide, tiny, capsys, arguments, words):
    model = tiny if "refuse" in arguments else wide
    assert run(["plan", str(model), *(str(model) if one == "MODEL" else one for one in arguments)]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.native
def test_quantize_makes_a_set_and_resumes_it(wide, tmp_path, capsys):
    folder = tmp_path / "set"
    assert run(["quantize", str(wide), "Q8_0", "Q4_K_M", "--output-dir", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["wide-Q4_K_M.gguf", "wide-Q8_0.gguf"]
    assert "there already" not in capsys.readouterr().out
    (folder / "wide-Q8_0.gguf").unlink()
    assert run(["quantize", str(wide), "Q8_0", "Q4_K_M", "--output-dir", str(folder)]) == 0
    made, kept = capsys.readouterr().out.splitlines()
    assert "there already" not in made
    assert "there already" in kept
    assert run(["quantize", str(wide), "Q8_0", "Q4_K_M", "--output", str(folder / "one.gguf")]) == 1


@pytest.mark.native
def test_dequantize_makes_a_marked_base(wide, tmp_path, capsys):
    small, base = tmp_path / "small.gguf", tmp_path / "base.gguf"
    assert run(["quantize", str(wide), "Q8_0", "--output", str(small)]) == 0
    assert run(["dequantize", str(small), "--output", str(base)]) == 0
    assert read_inventory(base).header.metadata["quantizer.dequantized_from"] == "Q8_0 (16)"
    assert run(["quantize", str(base), "Q4_0", "--output", str(tmp_path / "again.gguf")]) == 0
    again = read_inventory(tmp_path / "again.gguf").header.metadata
    assert again["quantizer.dequantized_from"] == "Q8_0 (16)"
    assert run(["dequantize", str(base)]) == 1
    assert "is not quantized" in capsys.readouterr().err


def test_recipes_lists_the_built_in_ones_and_checks_a_file(tmp_path, capsys):
    assert run(["recipes"]) == 0
    assert "dynamicgate1-IQ1_S" in capsys.readouterr().out
    path = tmp_path / "mine.toml"
    path.write_text('[mine]\nbase = "Q4_K_M"\n')
    assert run(["recipes", str(path), "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["mine"]
    path.write_text('[mine]\nbase = "Q4_K_MM"\n')
    assert run(["recipes", str(path)]) == 1
    assert f"{path}:2: mine: base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("smollm2-f16.gguf", "smollm2-Q4_K_M.gguf"),
        ("Model.BF16.gguf", "Model-Q4_K_M.gguf"),
        ("model-f16-00001-of-00003.gguf", "model-Q4_K_M.gguf"),
        ("qwen-q4_k_m.gguf", "qwen-q4_k_m-Q4_K_M.gguf"),
    ],
)
def test_a_file_is_called_by_its_model_and_recipe(tmp_path, model, name):
    assert file_name(tmp_path / model, "Q4_K_M") == name
