"""Texts replaced in a finished file: these bytes, and no others."""

import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.model.inventory import read_inventory
from quantizer.planning.plan import make_plan
from quantizer.planning.provenance import PLAN_KEY, SOURCE_KEY, UNKNOWN_HASH
from quantizer.planning.recipe_file import find_recipes
from quantizer.quantize import quantize
from quantizer.stamp import stamp
from server.model_files.gguf import read_header

pytestmark = pytest.mark.native


@pytest.fixture
def made(tmp_path):
    """A file as llama.cpp wrote it, with our entries in it."""
    inventory = read_inventory(write_tiny_gguf(tmp_path / "tiny.gguf"))
    return quantize(make_plan(find_recipes("Q8_0")[0], inventory), tmp_path / "made.gguf").paths[0]


def test_only_the_text_changes(made):
    before, metadata = made.read_bytes(), dict(read_header(made).metadata)
    stamp(made, read_header(made), {PLAN_KEY: "ab" * 32, SOURCE_KEY: "cd" * 32})
    after = made.read_bytes()
    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 128
    assert dict(read_header(made).metadata) == {**metadata, PLAN_KEY: "ab" * 32, SOURCE_KEY: "cd" * 32}
    stamp(made, read_header(made), {key: str(metadata[key]) for key in (PLAN_KEY, SOURCE_KEY)})
    assert made.read_bytes() == before


def test_a_text_of_another_length_has_no_place(made):
    before = made.read_bytes()
    with pytest.raises(AssertionError, match="no text of 65 bytes"):
        stamp(made, read_header(made), {PLAN_KEY: UNKNOWN_HASH + "0"})
    assert made.read_bytes() == before
