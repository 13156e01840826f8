"""Sets of recipes: what a file may say, and what is refused with its place."""

from pathlib import Path

import pytest

from quantizer.errors import RecipeError
from quantizer.planning.recipe_file import find_recipes
from quantizer.set_file import WhenQuantized, builtin_sets, find_set, read_set

LEAST = 'model = "a.gguf"\nrecipes = ["Q8_0"]\n'


def test_the_least_set_evaluates_the_shipped_text_without_an_imatrix():
    found = read_set("mine.toml", LEAST, Path("/there"))
    assert found.model == "/there/a.gguf"
    assert found.output == found.report == Path("/there/mine")
    assert found.calibration is None
    assert found.imatrix is None
    assert found.evaluation.with_text
    assert not found.evaluation.cases
    assert found.when_quantized is WhenQuantized.DEQUANTIZE


def test_everything_that_a_file_says_is_heard(tmp_path):
    path = tmp_path / "all.toml"
    path.write_text(
        'model = "hf:o/r/x.gguf"\nname = "X"\noutput = "out"\nrecipes = ["Q8_0", "my.toml:mine"]\n'
        '[base]\nwhen_quantized = "refuse"\ndrop_duplicate_embedding = true\n'
        '[imatrix]\ntexts = ["t.txt"]\nshipped = false\ndialogues = 3\nseed = 4\nfamily = "generic"\n'
        "parse_special = true\nctx_size = 128\nchunks = 5\n"
        '[evaluation]\ntext = "e.txt"\nctx_size = 64\nchunks = 6\ndecisions = 7\nhellaswag = "h.txt"\n'
        'multiple_choice = ["arc.bin", "mmlu.bin"]\ntasks = 8\ntool_calls = true\ncase_count = 2\nspeed = true\n'
        '[report]\nfolder = "r"\ntitle = "T"\n'
    )
    found = find_set(str(path))
    assert found.model == "hf:o/r/x.gguf"
    assert found.recipes == ("Q8_0", f"{tmp_path}/my.toml:mine")
    assert (found.name, found.title) == ("X", "T")
    assert (found.output, found.report) == (tmp_path / "out", tmp_path / "r")
    assert found.when_quantized is WhenQuantized.REFUSE
    assert found.drop_duplicate_embedding
    calibration, evaluation = found.calibration, found.evaluation
    assert calibration.texts == (tmp_path / "t.txt",)
    assert (calibration.n_dialogues, calibration.seed, calibration.n_ctx, calibration.max_chunks) == (3, 4, 128, 5)
    assert (evaluation.n_ctx, evaluation.max_chunks, evaluation.n_dialogues, evaluation.n_tasks) == (64, 6, 7, 8)
    assert [kind for kind, _ in evaluation.tasks] == ["hellaswag", "multiple-choice", "multiple-choice"]
    assert len(evaluation.cases) == 2


def test_an_imatrix_that_exists_is_taken_as_it_is():
    found = read_set("mine", LEAST + '[imatrix]\nfile = "i.gguf"\n', Path())
    assert found.imatrix == Path("i.gguf")
    assert found.calibration is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = [", "mine"),
        ('recipes = ["Q8_0"]', "model: missing"),
        ('model = "a.gguf"', "recipes: names none"),
        (LEAST + "modle = 1", "modle: no such key; one of base"),
        (LEAST + "[evaluation]\nchunk = 1", r"\[evaluation\] chunk: no such key"),
        (LEAST + "[evaluation]\nchunks = 0", r"\[evaluation\] chunks: expected a whole number from 1 on, not 0"),
        (LEAST + "[evaluation]\nchunks = true", "not True"),
        (LEAST + '[evaluation]\nspeed = "yes"', "expected true or false"),
        (LEAST + '[base]\nwhen_quantized = "ignore"', "none of dequantize, requantize, refuse"),
        (LEAST + '[imatrix]\nfile = "i.gguf"\nchunks = 3', "chunks: no such key"),
        (LEAST + "base = 3", "expected a table"),
    ],
)
def test_what_can_be_misunderstood_is_refused_with_its_place(text, words):
    with pytest.raises(RecipeError, match=words):
        read_set("mine", text, Path())


def test_an_unknown_set_is_told_which_there_are(tmp_path):
    with pytest.raises(RecipeError, match=r"one of .*smollm2"):
        find_set("smollm3")
    with pytest.raises(RecipeError, match="cannot be read"):
        find_set(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", sorted(builtin_sets()))
def test_every_built_in_set_names_recipes_that_exist(name):
    assert all(find_recipes(recipe) for recipe in find_set(name).recipes)
