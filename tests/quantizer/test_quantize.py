"""Files made: what is written is what was planned, under its name whole or not at all, and not twice."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ggufs.hand_made_imatrix import hand_made_imatrix
from ggufs.split_gguf import split_gguf
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.errors import FileFormatError, NativeError, PlanError
from quantizer.model.duplicate import DROPPED_KEY, duplicate_cosine, without_duplicate
from quantizer.model.inventory import read_inventory
from quantizer.native.quantize import anchored
from quantizer.native.rows import are_finite, dequantized
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe_file import builtin_recipes, find_recipes
from quantizer.planning.types import TARGETS
from quantizer.quantize import quantize

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.native


def plan_of(name, inventory, **options):
    return make_plan(find_recipes(name)[0], inventory, **options)


def statistics_of(inventory):
    return {name: {tensor.name: 1.0 for tensor in inventory.tensors} for name in ("zd", "cossim", "energy")}


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_every_recipe_is_written_as_planned_to_the_byte(wide, tmp_path, name):
    """Types and sizes are compared by `quantize` itself; here also by hand."""
    inventory = read_inventory(wide)
    plan = plan_of(name, inventory, imatrix=hand_made_imatrix(inventory), statistics=statistics_of(inventory))
    (path,) = quantize(plan, tmp_path / "made.gguf").paths
    assert path.stat().st_size == plan.size_bytes
    assert {tensor.name: tensor.type for tensor in read_inventory(path).tensors} == plan.types


@pytest.mark.parametrize("name", ["Q4_K_M", "IQ1_S", "Q2_0", "MXFP4_MOE", "F16", "dynamicgate3-IQ2_M"])
@pytest.mark.parametrize("is_tied", [False, True])
def test_rows_that_fit_no_block_are_written_as_planned_too(tmp_path, name, is_tied):
    inventory = read_inventory(write_tiny_gguf(tmp_path / "tiny.gguf", is_tied=is_tied, chat_template=None))
    plan = plan_of(name, inventory, imatrix=hand_made_imatrix(inventory))
    (path,) = quantize(plan, tmp_path / "made.gguf").paths
    assert path.stat().st_size == plan.size_bytes
    assert bool(plan.substitutions) == (name not in ("MXFP4_MOE", "F16"))


def test_the_file_says_how_it_was_made(wide, tmp_path):
    inventory = read_inventory(wide)
    plan = plan_of("dynamicgate1-IQ1_S", inventory, imatrix=hand_made_imatrix(inventory))
    said = read_inventory(quantize(plan, tmp_path / "made.gguf").paths[0]).header.metadata
    assert said["quantizer.recipe"] == "dynamicgate1-IQ1_S"
    assert said["quantizer.recipe.sha256"] == plan.recipe.digest
    assert said["quantizer.source.file"] == "wide.gguf"
    assert said["quantizer.source.sha256"] == hashlib.sha256(wide.read_bytes()).hexdigest()
    assert set(str(said["quantizer.plan.sha256"])) > {"0"}
    assert said["quantizer.imatrix.sha256"] == "ab" * 32
    assert (said["quantize.imatrix.dataset"], said["quantize.imatrix.chunks_count"]) == ("made by hand", 7)
    assert said["quantizer.family"] == "generic"
    assert said["general.file_type"] == plan.recipe.base.id
    assert "quantizer.requantized" not in said


def test_a_file_made_by_the_same_plan_is_kept_and_another_is_not_overwritten(wide, tmp_path):
    inventory, target = read_inventory(wide), tmp_path / "made.gguf"
    first = quantize(plan_of("Q8_0", inventory), target)
    stamp = target.stat().st_mtime_ns
    again = quantize(plan_of("Q8_0", inventory), target)
    assert (first.is_kept, again.is_kept, target.stat().st_mtime_ns) == (False, True, stamp)
    with pytest.raises(PlanError, match="--overwrite"):
        quantize(plan_of("Q4_0", inventory), target)
    assert target.stat().st_mtime_ns == stamp
    quantize(plan_of("Q4_0", inventory), target, overwrite=True)
    assert read_inventory(target).by_name["blk.0.attn_q.weight"].type.name == "Q4_0"


def test_a_file_of_another_source_is_not_taken_for_ours(wide, tmp_path):
    target = tmp_path / "made.gguf"
    quantize(plan_of("Q8_0", read_inventory(wide)), target)
    write_tiny_gguf(wide, seed=1, n_embd=256, n_ff=512)
    with pytest.raises(PlanError, match="not made by this plan"):
        quantize(plan_of("Q8_0", read_inventory(wide)), target)


def test_steps_are_told_once_for_each_tensor(wide, tmp_path):
    steps = []
    quantize(plan_of("Q4_K_M", read_inventory(wide)), tmp_path / "made.gguf", on_step=steps.append)
    assert [step.index for step in steps] == list(range(1, 22))
    assert {step.count for step in steps} == {21}
    assert steps[-1].tensor == "blk.1.ffn_up.weight"


def test_a_failure_in_c_leaves_nothing_and_says_why(wide, tmp_path):
    """The architecture is unknown to llama.cpp alone: its exception must come back as ours."""
    data = wide.read_bytes().replace(b"llama", b"lama?", 1)
    wide.write_bytes(data.replace(b"llama.", b"lama?."))
    inventory = read_inventory(wide)
    with pytest.raises(NativeError, match="unknown model architecture"):
        quantize(plan_of("Q8_0", inventory), tmp_path / "made.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.gguf"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_before_a_grid_aborts_on_them(wide, tmp_path, value):
    inventory = read_inventory(wide)
    tensor = inventory.by_name["blk.1.ffn_down.weight"]
    data = bytearray(wide.read_bytes())
    at = inventory.header.data_offset + tensor.offset + 400
    data[at : at + 4] = np.float32(value).tobytes()
    wide.write_bytes(data)
    plan = plan_of("IQ2_XXS", read_inventory(wide), imatrix=hand_made_imatrix(inventory))
    with pytest.raises(FileFormatError, match=r"blk\.1\.ffn_down\.weight.*no finite numbers"):
        quantize(plan, tmp_path / "made.gguf")
    assert not (tmp_path / "made.gguf").exists()


def test_activations_that_are_no_numbers_never_reach_c(wide, tmp_path):
    inventory = read_inventory(wide)
    imatrix = hand_made_imatrix(inventory)
    imatrix.imatrix.entries["blk.0.attn_q.weight"].sums[0, 3] = np.nan
    with pytest.raises(NativeError, match=r"blk\.0\.attn_q\.weight"):
        quantize(plan_of("Q4_K_M", inventory, imatrix=imatrix), tmp_path / "made.gguf")


def test_a_source_that_vanishes_while_it_is_hashed_leaves_nothing(wide, tmp_path, monkeypatch):
    def fail(path):
        raise FileFormatError(f"cannot read {path}")

    monkeypatch.setattr("quantizer.quantize.model_sha256", fail)
    with pytest.raises(FileFormatError, match="cannot read"):
        quantize(plan_of("Q8_0", read_inventory(wide)), tmp_path / "made.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.gguf"]


def test_two_processes_cannot_make_one_file(wide, tmp_path):
    inventory, entered, leave = read_inventory(wide), threading.Event(), threading.Event()

    def wait(_step):
        entered.set()
        leave.wait(20)

    plan = plan_of("Q8_0", inventory)
    first = threading.Thread(target=quantize, args=(plan, tmp_path / "made.gguf"), kwargs={"on_step": wait})
    first.start()
    assert entered.wait(20)
    try:
        with pytest.raises(PlanError, match="another process is making"):
            quantize(plan_of("Q8_0", inventory), tmp_path / "made.gguf")
    finally:
        leave.set()
        first.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.gguf", "wide.gguf"]


def test_a_split_model_becomes_one_file_or_as_many_as_it_was(wide, tmp_path):
    parts = split_gguf(wide, 3)
    inventory = read_inventory(parts[0])
    joined = quantize(plan_of("Q4_K_M", inventory), tmp_path / "joined.gguf")
    kept = quantize(plan_of("Q4_K_M", inventory, keep_split=True), tmp_path / "kept.gguf")
    assert [path.name for path in kept.paths] == [f"kept-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
    assert tuple(path.stat().st_size for path in kept.paths) == kept.plan.file_bytes
    left, right = read_inventory(joined.paths[0]), read_inventory(kept.paths[0])
    assert left.header.split is None
    for tensor in left.tensors:
        assert bytes(left.data(tensor)) == bytes(right.data(right.by_name[tensor.name])), tensor.name
    assert quantize(plan_of("Q4_K_M", inventory, keep_split=True), tmp_path / "kept.gguf").is_kept


def duplicated(path):
    """A model whose output is its embedding, once more."""
    inventory = read_inventory(write_tiny_gguf(path, n_embd=256, n_ff=512))
    data = bytearray(path.read_bytes())
    embedding, output = (inventory.by_name[name] for name in ("token_embd.weight", "output.weight"))
    start = inventory.header.data_offset
    data[start + output.offset : start + output.offset + output.size_bytes] = bytes(inventory.data(embedding))
    path.write_bytes(data)
    return path


def test_a_duplicated_embedding_is_left_out_and_the_better_copy_kept(tmp_path):
    source = duplicated(tmp_path / "source.gguf")
    twice = quantize(
        make_plan(
            find_recipes("IQ3_XXS")[0], read_inventory(source), imatrix=hand_made_imatrix(read_inventory(source))
        ),
        tmp_path / "twice.gguf",
    ).paths[0]
    inventory = read_inventory(twice)
    assert (inventory.by_name["token_embd.weight"].type.name, inventory.by_name["output.weight"].type.name) == (
        "IQ3_S",
        "Q5_K",
    )
    cosine = duplicate_cosine(inventory)
    assert cosine is not None
    assert cosine > 0.95
    single = without_duplicate(inventory)
    plan = plan_of("F16", single, allow_requantize=True)
    made = read_inventory(quantize(plan, tmp_path / "single.gguf").paths[0])
    assert made.is_tied
    assert made.size_bytes == plan.size_bytes
    assert str(made.header.metadata[DROPPED_KEY]).startswith("token_embd.weight (IQ3_S)")
    kept = dequantized(TARGETS["Q5_K"], inventory.data(inventory.by_name["output.weight"]))
    written = made.data(made.by_name["token_embd.weight"]).view(np.float16)
    assert np.array_equal(kept.astype(np.float16), written)
    assert not list(tmp_path.glob(".*"))


def test_an_output_of_its_own_is_no_duplicate(wide):
    inventory = read_inventory(wide)
    cosine = duplicate_cosine(inventory)
    assert cosine is not None
    assert abs(cosine) < 0.2
    with pytest.raises(PlanError, match="has no duplicate"):
        without_duplicate(inventory)


@pytest.mark.parametrize("name", sorted({"Q4_0", "Q8_0", "Q6_K", "IQ4_XS", "BF16", "F16", "F32"}))
def test_dequantized_values_are_near_those_that_were_quantized(wide, tmp_path, name):
    inventory = read_inventory(wide)
    recipe = f'[r]\nbase = "Q8_0"\nrules = [{{ match = "", type = "{name}" }}]\n'
    (tmp_path / "r.toml").write_text(recipe)
    made = read_inventory(quantize(plan_of(str(tmp_path / "r.toml"), inventory), tmp_path / "made.gguf").paths[0])
    tensor = made.by_name["blk.0.ffn_down.weight"]
    assert tensor.type.name == name
    values = dequantized(tensor.type, made.data(tensor))
    original = inventory.data(inventory.by_name[tensor.name]).view(np.float32)
    assert np.linalg.norm(values - original) < 0.1 * np.linalg.norm(original)
    assert are_finite(tensor.type, made.data(tensor))


def test_data_of_no_whole_blocks_does_not_cross():
    with pytest.raises(NativeError, match="17 bytes are not whole blocks of Q8_0"):
        dequantized(TARGETS["Q8_0"], np.zeros(17, np.uint8))


def test_a_pattern_is_found_in_its_own_name_alone():
    assert anchored("blk.1.attn_q.weight") == r"^blk\.1\.attn_q\.weight$"


def test_the_model_itself_is_never_overwritten(wide):
    content = wide.read_bytes()
    with pytest.raises(PlanError, match="the model itself"):
        quantize(plan_of("Q8_0", read_inventory(wide)), wide, overwrite=True)
    assert wide.read_bytes() == content


def test_a_disk_too_small_is_said_before_anything_is_written(wide, tmp_path, monkeypatch):
    plan = plan_of("Q8_0", read_inventory(wide))
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=plan.size_bytes - 1))
    with pytest.raises(PlanError, match="bytes free"):
        quantize(plan, tmp_path / "made.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.gguf"]


def _hear_ctrl_c():
    """What a shell starts in the background ignores SIGINT, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_at_once_and_leaves_nothing(tmp_path):
    source = write_tiny_gguf(tmp_path / "source.gguf", n_embd=1024, n_ff=8192)
    command = [sys.executable, "-m", "quantizer", "quantize", str(source), "Q4_K_M", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "made.gguf")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509  the test has no threads
    )
    while process.poll() is None and not (tmp_path / ".made.partial.gguf").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["source.gguf"]


@pytest.mark.slow
def test_a_run_killed_at_any_point_leaves_nothing_under_the_name_and_the_next_completes(tmp_path):
    """Fifty times kill -9 between the first file that is opened and the last rename; then one run to the end."""
    source = write_tiny_gguf(tmp_path / "source.gguf", n_embd=512, n_ff=4096)
    target = tmp_path / "made.gguf"
    command = [sys.executable, "-m", "quantizer", "quantize", str(source), "Q4_K_M", "--threads", "1"]
    command += ["--output", str(target)]

    def start():
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (tmp_path / ".made.gguf.lock").exists():
            time.sleep(0.001)
        return process, time.monotonic()

    process, opened = start()
    assert process.wait() == 0
    duration_s, size_bytes = time.monotonic() - opened, target.stat().st_size
    rng, interrupted = random.Random(50), 0
    for _ in range(50):
        target.unlink(missing_ok=True)
        (tmp_path / ".made.gguf.lock").unlink(missing_ok=True)
        process, _ = start()
        time.sleep(rng.uniform(0, duration_s))
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
        if target.exists():
            assert target.stat().st_size == size_bytes
            assert read_inventory(target).by_name["blk.1.ffn_up.weight"].type.name == "Q4_K"
    assert interrupted >= 25
    target.unlink(missing_ok=True)
    process, _ = start()
    assert process.wait() == 0
    assert target.stat().st_size == size_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.gguf", "source.gguf"]
