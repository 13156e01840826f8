"""Ctrl-C at any moment of a verb: exit code 130 and nothing half made, or all of it if it came too late."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.imatrix.file import read_imatrix
from quantizer.measures.evaluation import read_evaluation

pytestmark = pytest.mark.native
ROOT = Path(__file__).parents[3]
N_TRIES = 6
# What a shell shows as 130: a code of ours, or the death by the signal before or after our own code runs.
INTERRUPTED = {130, -signal.SIGINT}


def hear_ctrl_c():
    """What a shell starts in the background ignores SIGINT, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "quantizer", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  the test has no threads
    )


def whole(arguments):
    """The seconds that a run takes which nothing interrupts."""
    began = time.monotonic()
    process = started([*arguments, "--overwrite"] if arguments[0] == "quantize" else arguments)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    return time.monotonic() - began


def interrupted(arguments, folder, rng):
    """Two whole runs, then runs that are interrupted at random moments: each one's exit code, words and files."""
    seconds = min(whole(arguments) for _ in range(2))  # files have to be read from the disk at first
    for _ in range(N_TRIES):
        for file in folder.iterdir():
            file.unlink()
        process = started(arguments)
        time.sleep(rng.uniform(0.1, 1) * seconds)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
        yield process.returncode, errors, {file.name for file in folder.iterdir()}


def test_collecting_an_imatrix_is_interrupted_at_any_moment(tmp_path):
    """llama.cpp calls Python for every node of the graph: what is raised there would be lost in C."""
    model, text, folder = write_tiny_gguf(tmp_path / "m.gguf"), tmp_path / "t.txt", tmp_path / "out"
    text.write_text("abc abx plain zz. " * 4000)
    folder.mkdir()
    arguments = ["imatrix", model, "-o", folder / "i.gguf", "--text", text, "--no-shipped", "--dialogues", 0]
    codes = []
    for code, errors, files in interrupted([*arguments, "--chunks", 100, "--threads", 1], folder, Random(1)):
        codes.append(code)
        assert "ctypes" not in errors
        if "i.gguf" in files:
            assert read_imatrix(folder / "i.gguf").chunk_count == 100
        else:
            assert code in INTERRUPTED
        assert files <= {"i.gguf", "i.gguf.checkpoint"}
    assert 130 in codes


def test_quantizing_is_interrupted_at_any_moment(smollm2_path, tmp_path):
    arguments = ["quantize", smollm2_path, "Q2_K", "--allow-requantize", "--threads", 1, "-o", tmp_path / "q.gguf"]
    codes = []
    for code, _, files in interrupted(arguments, tmp_path, Random(2)):
        codes.append(code)
        assert (files == {"q.gguf"} and code in {0, *INTERRUPTED}) or (not files and code in INTERRUPTED)
    assert 130 in codes


def test_evaluating_is_interrupted_at_any_moment(tmp_path, monkeypatch):
    """What is kept is whole, and the folder of references holds no half of one."""
    cache, folder, text = tmp_path / "cache", tmp_path / "out", tmp_path / "t.txt"
    monkeypatch.setenv("FUNCTIONGATE_CACHE_DIR", str(cache))
    folder.mkdir()
    text.write_text("abc abx plain zz. " * 2000)
    one, other = write_tiny_gguf(tmp_path / "a.gguf"), write_tiny_gguf(tmp_path / "b.gguf", seed=1)
    arguments = ["evaluate", one, "--reference", other, "--text", text, "--threads", 1]
    arguments += ["--decisions", 14, "--json-file", folder / "e.json"]
    codes = []
    for code, errors, files in interrupted(arguments, folder, Random(3)):
        codes.append(code)
        assert "Traceback" not in errors or code == -signal.SIGINT
        assert files <= {"e.json"}
        if files:
            assert read_evaluation(folder / "e.json").text.estimates["kld"].value > 0
        assert not [path.name for path in (cache / "references").iterdir() if ".partial" in path.name]
    assert 130 in codes


def test_loading_a_model_that_is_interrupted_is_no_damaged_model(smollm2_path):
    """Its bar is called from C too: a false answer there means to llama.cpp that it should give up."""
    script = f"""
import os, signal
from server.llama.model import Model
told = []
def progress(fraction):
    told.append(fraction)
    os.kill(os.getpid(), signal.SIGINT)
try:
    Model({str(smollm2_path)!r}, progress=progress)
except KeyboardInterrupt:
    print("interrupted", len(told))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=hear_ctrl_c,
    )
    assert (done.stdout, done.stderr) == ("interrupted 1\n", "")
