"""Our figures against llama.cpp's own tools of the same commit, on the same tokens.

FUNCTIONGATE_LLAMA_TOOLS names the folder of llama-imatrix, llama-perplexity and llama-quantize.
"""

import os
import re
import struct
import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest
from logits_writer import write_logits

from quantizer.calibration import shipped_text
from quantizer.calibration.chunks import chunk_text
from quantizer.evaluator import Evaluator
from quantizer.imatrix.collect import collect
from quantizer.imatrix.file import read_imatrix, write_imatrix
from quantizer.imatrix.statistics import tensor_statistics
from quantizer.measures.tasks.files import read_hellaswag, read_multiple_choice, read_winogrande
from quantizer.measures.tasks.score import score_blanks, score_choices
from quantizer.measures.text.divergence import measure_divergence
from quantizer.measures.text.logits_file import LogitsFile
from quantizer.measures.text.perplexity import measure_perplexity
from server.llama.library import ALL_KERNELS, NO_KERNELS
from server.llama.model import Model

TOOLS = os.environ.get("FUNCTIONGATE_LLAMA_TOOLS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.native,
    pytest.mark.skipif(TOOLS is None, reason="FUNCTIONGATE_LLAMA_TOOLS does not name llama.cpp's tools"),
]

# Four chunks of 512 are one batch of llama.cpp's tools; with another number llama-imatrix ignores the last rows of a
# batch that does not divide evenly among its sequences.
N_CHUNK = 4
PRINTED = r"(-?[\d.]+)"


def tool(name, *arguments):
    command = [str(Path(TOOLS) / name), *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    output = found.stdout + found.stderr
    assert found.returncode == 0, output[-2000:]
    return output


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(shipped_text())
    return path


@pytest.fixture(scope="module")
def model(smollm2_path):
    with Model(smollm2_path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def chunks(model):
    return chunk_text(model.vocabulary, shipped_text(), max_chunks=N_CHUNK)


@pytest.fixture(scope="module")
def smaller(smollm2_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("smaller") / "q3_k_m.gguf"
    tool("llama-quantize", "--allow-requantize", smollm2_path, path, "Q3_K_M", 2)
    return path


def test_every_tensor_of_the_imatrix_is_equal(model, chunks, text, tmp_path):
    path = tmp_path / "theirs.gguf"
    tool("llama-imatrix", "-m", model.path, "-f", text, "-o", path, "--chunks", N_CHUNK, "--process-output", "--no-ppl")
    theirs, ours = read_imatrix(path), collect(model, [("text", chunks)], n_threads=2)
    assert theirs.chunk_count == ours.chunk_count
    assert set(ours.entries) - set(theirs.entries) == {"token_embd.weight"}
    for name, entry in theirs.entries.items():
        np.testing.assert_array_equal(ours.entries[name].counts, entry.counts)
        np.testing.assert_allclose(ours.entries[name].sums, entry.sums, rtol=1e-4, err_msg=name)


def test_the_statistics_are_equal_as_printed(model, chunks, tmp_path):
    path = tmp_path / "i.gguf"
    write_imatrix(path, collect(model, [("text", chunks)], n_threads=2))
    theirs = printed_statistics(model.path, path)
    assert len(theirs) >= 50
    ours = {(found.layer, found.kind): found for found in tensor_statistics(read_imatrix(path))}
    for key, row in theirs.items():
        f = ours[key]
        values = [f.total, f.minimum, f.maximum, f.mean, f.deviation, 100 * f.active, f.n, f.entropy]
        values += [100 * f.normalised_entropy, 100 * f.zd, f.cosine]
        assert values == pytest.approx(row, rel=1e-4, abs=0.0051)


def printed_statistics(model, path):
    """The longest of several prints: the tool ends without waiting for the thread that writes its log."""
    row = rf"^\S+ I\s+(\d+)\t(\w+)\s*\t\s*{PRINTED}\t" + rf"\s*{PRINTED}%?\t" * 9 + rf"\s*{PRINTED}$"
    longest = []
    for _ in range(60):
        printed = tool("llama-imatrix", "-m", model, "--in-file", path, "--show-statistics")
        longest = max(longest, re.findall(row, printed, re.MULTILINE), key=len)
        if "weighted average" in printed:
            break
    return {(int(found[0]), found[1]): [float(value) for value in found[2:]] for found in longest}


@pytest.mark.parametrize("suffix", ["gguf", "dat"])
def test_llama_quantize_reads_our_files(model, chunks, tmp_path, suffix):
    path = tmp_path / f"i.{suffix}"
    write_imatrix(path, collect(model, [("text", chunks)], n_threads=2))
    out = tmp_path / "q.gguf"
    printed = tool("llama-quantize", "--allow-requantize", "--imatrix", path, model.path, out, "IQ4_NL", 2)
    assert "loaded 211 importance matrix entries" in printed
    assert "did not find weights" not in printed


def test_the_perplexity_is_equal_as_printed(model, chunks, text):
    printed = tool("llama-perplexity", "-m", model.path, "-f", text, "--chunks", N_CHUNK, "-b", 512)
    ppl, error = re.search(rf"PPL = {PRINTED} \+/- {PRINTED}", printed).groups()
    ours = measure_perplexity(model, chunks, n_threads=2).estimate()
    assert ours.value == pytest.approx(float(ppl), abs=2e-4)
    assert ours.token_error == pytest.approx(float(error), abs=2e-5)


def test_every_figure_of_divergence_is_equal_as_printed(model, smaller, text, tmp_path):
    base = tmp_path / "base.logits"
    tool("llama-perplexity", "-m", model.path, "-f", text, "--chunks", N_CHUNK, "--save-all-logits", base)
    printed = tool("llama-perplexity", "-m", smaller, "--kl-divergence-base", base, "--kl-divergence")
    with Model(smaller) as loaded:
        found = measure_divergence(loaded, LogitsFile.open(base, bos=None), n_threads=2).estimates()
    percent = 100.0
    rows = {
        "Mean PPL(Q)": ("ppl", 1),
        "Mean PPL(base)": ("ppl_base", 1),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": ("rho", percent),
        "Mean ln(PPL(Q)/PPL(base))": ("ln_ratio", 1),
        "Mean PPL(Q)/PPL(base)": ("ppl_ratio", 1),
        "Mean PPL(Q)-PPL(base)": ("ppl_difference", 1),
        "Mean    KLD": ("kld", 1),
        "Maximum KLD": ("kld_max", 1),
        "99.9%   KLD": ("kld_99.9%", 1),
        "99.0%   KLD": ("kld_99%", 1),
        "95.0%   KLD": ("kld_95%", 1),
        "90.0%   KLD": ("kld_90%", 1),
        "Median  KLD": ("kld_median", 1),
        "10.0%   KLD": ("kld_10%", 1),
        " 5.0%   KLD": ("kld_5%", 1),
        " 1.0%   KLD": ("kld_1%", 1),
        " 0.1%   KLD": ("kld_0.1%", 1),
        "Minimum KLD": ("kld_min", 1),
        "Mean    Δp": ("delta_p", percent),
        "Maximum Δp": ("delta_p_max", percent),
        "99.9%   Δp": ("delta_p_99.9%", percent),
        "99.0%   Δp": ("delta_p_99%", percent),
        "95.0%   Δp": ("delta_p_95%", percent),
        "75.0%   Δp": ("delta_p_75%", percent),
        "Median  Δp": ("delta_p_median", percent),
        "25.0%   Δp": ("delta_p_25%", percent),
        " 1.0%   Δp": ("delta_p_1%", percent),
        "Minimum Δp": ("delta_p_min", percent),
        "RMS Δp": ("delta_p_rms", percent),
        "Same top p": ("same_top", percent),
    }
    for label, (name, scale) in rows.items():
        value, error = re.search(
            rf"^{re.escape(label)}\s*:\s*{PRINTED}%?(?: ± +{PRINTED})?", printed, re.MULTILINE
        ).groups()
        digits = len(value.partition(".")[2])
        assert scale * found[name].value == pytest.approx(float(value), abs=2 * 10**-digits, rel=1e-6), label
        if error is not None:
            digits = len(error.partition(".")[2])
            assert scale * found[name].token_error == pytest.approx(float(error), abs=2 * 10**-digits), label


def test_our_logits_file_is_theirs_but_for_single_steps(model, chunks, text, tmp_path):
    theirs, ours = tmp_path / "theirs.logits", tmp_path / "ours.logits"
    tool("llama-perplexity", "-m", model.path, "-f", text, "--chunks", N_CHUNK, "--save-all-logits", theirs, "-b", 512)
    scored = slice(chunks.first_scored, chunks.n_ctx - 1)
    with Evaluator(model, n_ctx=chunks.n_ctx, n_outputs=chunks.n_scored, n_threads=2) as evaluator:
        rows = (evaluator.logits(chunks.evaluated(i), scored) for i in range(chunks.n_chunk))
        write_logits(ours, chunks, model.n_vocab, rows)
    a, b = (np.fromfile(path, dtype="<u2").astype(np.int32) for path in (theirs, ours))
    assert a.shape == b.shape
    assert np.mean(a != b) < 1e-3
    assert np.quantile(np.abs(a - b), 0.9999) <= 1


def sentences(rng):
    who = rng.choice(["The chef", "A boy", "The old sailor", "My neighbour", "The nurse", "A dog"])
    what = rng.choice(["opens the window and", "reads the letter aloud and", "runs to the bus stop and"])
    ends = [
        "finds that it is raining.",
        "closes the door quietly.",
        "eats seventeen ladders.",
        "notices the time.",
        "goes.",
    ]
    return f"{who} {what}", rng.sample(ends, 4)


@pytest.fixture
def same_kernels(model, monkeypatch, tmp_path):
    """The tools load the bindings' libraries, and both use the kernels of our own.

    A score is a comparison of sums of logarithms, and a near tie falls as it is rounded. ggml's kernels round by what
    is batched together, which is the tool's affair; ours do not.
    """
    folder = Path(model.library.folder)
    if b"functiongate_matmul" not in (folder / "libggml-cpu.so").read_bytes():
        pytest.skip("the bindings are built without kernels of our own")
    for library in folder.glob("lib*.so"):
        (tmp_path / library.name).symlink_to(library)
        (tmp_path / f"{library.name}.0").symlink_to(library)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("FUNCTIONGATE_KERNELS", "1")
    model.library.set_kernels(ALL_KERNELS)
    yield
    model.library.set_kernels(NO_KERNELS)


@pytest.mark.usefixtures("same_kernels")
@pytest.mark.parametrize("n_tasks", [None, 10])
def test_hellaswags_score_is_equal(model, tmp_path, n_tasks):
    rng, path = Random(7), tmp_path / "hellaswag.txt"
    tasks = [sentences(rng) for _ in range(30)]
    path.write_text("".join("\n".join([q, str(rng.randrange(4)), *ends, ""]) for q, ends in tasks))
    printed = tool("llama-perplexity", "-m", model.path, "-f", path, "--hellaswag", "--hellaswag-tasks", n_tasks or 30)
    accuracy, low, high = re.findall(rf"^\d+\t{PRINTED}%\t\[{PRINTED}%, {PRINTED}%\]", printed, re.MULTILINE)[-1]
    ours = score_choices(model, read_hellaswag(path, n_tasks), n_threads=2)
    assert 100 * ours.accuracy == pytest.approx(float(accuracy), abs=1e-7)
    assert [100 * bound for bound in ours.interval] == pytest.approx([float(low), float(high)], abs=1e-4)


@pytest.mark.usefixtures("same_kernels")
@pytest.mark.parametrize("n_tasks", [None, 100])
def test_winograndes_score_is_equal(model, tmp_path, n_tasks):
    rng, path = Random(8), tmp_path / "winogrande.csv"
    forms = [
        "{a} lent {b} a book because _ had read it twice.",
        "{a} thanked {b} after _.",
        "{a} asked {b} whether _ can.",
    ]
    rows = []
    for i in range(110):
        a, b = rng.sample(["Sarah", "Maria", "Tom", "Anna", "the cat", "the old man"], 2)
        rows.append(f"{i},{rng.choice(forms).format(a=a, b=b)},{a},{b},{rng.choice([1, 2])}")
    # A second newline, because the tool loses the last line without it.
    path.write_text("\n".join(rows) + "\n\n")
    drawn = ["--winogrande-tasks", n_tasks] if n_tasks else []
    printed = tool("llama-perplexity", "-m", model.path, "-f", path, "--winogrande", *drawn)
    accuracy, error = re.search(rf"Final Winogrande score\(\d+ tasks\): {PRINTED} \+/- {PRINTED}", printed).groups()
    ours = score_blanks(model, read_winogrande(path, n_tasks), n_threads=2)
    assert 100 * ours.accuracy == pytest.approx(float(accuracy), abs=1e-4)
    assert 100 * ours.error == pytest.approx(float(error), abs=1e-4)


@pytest.mark.usefixtures("same_kernels")
@pytest.mark.parametrize("n_tasks", [None, 100])
def test_multiple_choices_score_is_equal(model, tmp_path, n_tasks):
    rng, path = Random(9), tmp_path / "tasks.bin"
    path.write_bytes(binary_tasks(rng, 105))
    drawn = ["--multiple-choice-tasks", n_tasks] if n_tasks else []
    printed = tool("llama-perplexity", "-m", model.path, "-bf", path, "--multiple-choice", *drawn)
    accuracy, error = re.search(rf"Final result: {PRINTED} \+/- {PRINTED}", printed).groups()
    ours = score_choices(model, read_multiple_choice(path, n_tasks), n_threads=2)
    assert 100 * ours.accuracy == pytest.approx(float(accuracy), abs=1e-4)
    assert 100 * ours.error == pytest.approx(float(error), abs=1e-4)


def binary_tasks(rng, n):
    def text(value):
        return struct.pack("<I", len(value)) + value.encode()

    bodies = []
    for _ in range(n):
        question, answers = sentences(rng)
        gold = rng.randrange(4)
        labels = [int(i == gold) for i in range(4)]
        mc1 = struct.pack("<I", 4) + b"".join(map(text, answers)) + struct.pack("<4i", *labels)
        bodies.append(text(question) + mc1 + struct.pack("<I", 0))
    positions = [4 + 4 * n + sum(map(len, bodies[:i])) for i in range(n)]
    return struct.pack(f"<I{n}I", n, *positions) + b"".join(bodies)
