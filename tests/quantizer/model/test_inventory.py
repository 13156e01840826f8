"""Heads of models: what they say, and that a hostile one is refused without a crash and without memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ggufs.mutated_head import mutated
from ggufs.split_gguf import split_gguf
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.errors import FileFormatError
from quantizer.model.inventory import read_inventory
from server.model_files.gguf import read_header

ROOT = Path(__file__).parents[3]
ALLOWED_BYTES = 200 << 20


def test_an_inventory_has_the_tensors_in_llama_cpps_order(tiny):
    inventory = read_inventory(tiny)
    names = [tensor.name for tensor in inventory.tensors]
    assert names[:3] == ["output.weight", "output_norm.weight", "token_embd.weight"]
    assert names[3:5] == ["blk.0.attn_k.weight", "blk.0.attn_norm.weight"]
    assert len(names) == 21
    query = inventory.by_name["blk.1.attn_q.weight"]
    assert (query.kind, query.layer, query.shape, query.n_rows, query.n_matrices) == ("attn_q", 1, (64, 64), 64, 1)
    assert query.size_bytes == 4 * query.n_values == len(inventory.data(query))


def test_the_layers_are_sorted_as_numbers_not_as_text():
    from ggufs.model_heads import HEADS, inventory_of

    layers = [tensor.layer for tensor in inventory_of(HEADS["llama3-8b"]).tensors if tensor.layer is not None]
    assert layers == sorted(layers)


def test_several_files_are_read_as_one_model(tiny):
    whole, parts = read_inventory(tiny), split_gguf(tiny, 3)
    split = read_inventory(parts[0])
    assert [(one.name, one.shape) for one in split.tensors] == [(one.name, one.shape) for one in whole.tensors]
    assert split.paths == tuple(parts)
    assert {tensor.part for tensor in split.tensors} == {0, 1, 2}
    for tensor in whole.tensors:
        assert bytes(split.data(split.by_name[tensor.name])) == bytes(whole.data(tensor))


def test_parts_that_do_not_belong_together_are_refused(tiny):
    parts = split_gguf(tiny, 3)
    with pytest.raises(FileFormatError, match="give the first"):
        read_inventory(parts[1])
    content = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(FileFormatError, match=r"not part 2 of 3"):
        read_inventory(parts[0])
    parts[1].write_bytes(content)
    parts[2].unlink()
    with pytest.raises(FileFormatError, match="No such file"):
        read_inventory(parts[0])


@pytest.mark.parametrize(
    ("key", "old", "new", "words"),
    [
        (b"llama.block_count", 2, 0, "expected 1 to 512"),
        (b"llama.block_count", 2, 513, "expected 1 to 512"),
        (b"llama.attention.head_count", 4, 1 << 31, None),
    ],
)
def test_numbers_that_would_abort_llama_cpp_are_refused(tiny, key, old, new, words):
    data = tiny.read_bytes()
    at = data.index(key) + len(key) + 4
    assert data[at : at + 4] == old.to_bytes(4, "little")
    tiny.write_bytes(data[:at] + new.to_bytes(4, "little") + data[at + 4 :])
    if words is None:
        assert read_inventory(tiny).hyperparameters.n_gqa == (1 << 31) // 4
    else:
        with pytest.raises(FileFormatError, match=words):
            read_inventory(tiny)


def test_five_hundred_mutated_heads_are_read_or_refused_in_bounded_memory(tmp_path):
    """In a process of its own with a limit on its memory: a crash or a hoard would show as its exit code."""
    whole = write_tiny_gguf(tmp_path / "tiny.gguf")
    data, head = whole.read_bytes(), read_header(whole).data_offset
    rng = random.Random(20261122)
    for index in range(500):
        changed = mutated(data[:head], rng)
        (tmp_path / f"{index:03}.gguf").write_bytes(changed + (data[head:] if len(changed) == head else b""))
    script = f"""
import json, resource, sys
from pathlib import Path
from quantizer.errors import FileFormatError
from quantizer.model.inventory import read_inventory
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + {ALLOWED_BYTES}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
read, refused = 0, []
for path in sorted(Path({str(tmp_path)!r}).glob("[0-9]*.gguf")):
    try:
        read_inventory(path)
        read += 1
    except FileFormatError as error:
        refused.append(str(error))
print(json.dumps([read, refused]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = json.loads(done.stdout)
    assert read + len(refused) == 500
    assert len(refused) > 300
    assert all("\n" not in message and ".gguf" in message for message in refused)
