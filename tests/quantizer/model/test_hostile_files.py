"""Files that lie, through the front door: an answer each, whatever llama.cpp makes of them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ggufs.mutated_head import mutated
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.errors import FileFormatError
from quantizer.model.inventory import read_inventory
from server.model_files.gguf import read_header

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.native


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abc abx plain zz. " * 20)
    return path


def answer(*arguments):
    """The exit code and the last line on stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FUNCTIONGATE_KERNELS": "0"}
    command = [sys.executable, "-m", "quantizer", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


def calibration(path, text, out):
    options = ["--no-shipped", "--dialogues", 0, "--text", text, "--ctx-size", 64, "--chunks", 1, "--threads", 1]
    return ["imatrix", path, "--output", out, *options]


def test_what_llama_cpp_asserts_against_ends_in_one_line_and_a_failure(tmp_path, text):
    """A vocabulary with a token there twice: nothing is wrong with its form."""
    path = write_tiny_gguf(tmp_path / "twice.gguf")
    path.write_bytes(path.read_bytes().replace(b"<0x41>", b"<0x42>", 1))
    read_inventory(path)
    code, line = answer(*calibration(path, text, tmp_path / "imatrix.gguf"))
    assert code == 1
    assert line.startswith("functiongate-quantize: llama.cpp ended the process (SIGABRT)")
    assert not (tmp_path / "imatrix.gguf").exists()
    path = write_tiny_gguf(tmp_path / "whole.gguf")
    assert answer(*calibration(path, text, tmp_path / "imatrix.gguf"))[0] == 0


@pytest.mark.slow
def test_five_hundred_mutated_heads_are_made_into_files_or_refused(tmp_path, text):
    """Those that our own reader passes go on to llama.cpp, twice: to be quantized, and to be evaluated."""
    whole = write_tiny_gguf(tmp_path / "tiny.gguf")
    data, head = whole.read_bytes(), read_header(whole).data_offset
    rng = random.Random(20261122)
    passed, failed = 0, []
    for index in range(500):
        changed = mutated(data[:head], rng)
        path = tmp_path / f"{index:03}.gguf"
        path.write_bytes(changed + (data[head:] if len(changed) == head else b""))
        try:
            read_inventory(path)
        except FileFormatError:
            continue
        passed += 1
        made = tmp_path / "made.gguf"
        for arguments in (["quantize", path, "Q8_0", "--output", made], calibration(path, text, tmp_path / "i.gguf")):
            code, line = answer(*arguments)
            assert code == 0 or (code == 1 and line.startswith("functiongate-quantize: ")), (index, code, line)
            if code:
                failed.append(line)
        made.unlink(missing_ok=True)
    assert passed > 50
    assert failed
