"""Every block of code that a reader is to follow is run; what it shows is compared with what comes.

Commands run in a folder with the files that the pages describe, against a server of SmolLM2. The models of the
quantizer's pages are a random one of two layers, so that its commands take seconds. In what is shown `…` stands for
anything, and what is new at each run (ids, times) for itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest
from docs.pages import GUIDES, ROOT, blocks, commands
from ggufs.hand_made_imatrix import hand_made_imatrix, write_imatrix
from ggufs.tiny_gguf import write_tiny_gguf

from chat_templates.family import Family
from quantizer.model.inventory import read_inventory
from quantizer.planning.recipe_file import read_recipes
from quantizer.set_file import read_set
from server.config import load_config

pytestmark = pytest.mark.native
BLOCKS = [block for page in GUIDES for block in blocks(page)]
# Commands that are not run here, by how they begin, and why; test_commands.py looks at their verbs and flags.
NOT_RUN = {
    "make ": "the targets set up a machine, or are these tests",
    "docker ": "tests/container/run.sh builds the image",
    "cmake ": "tests/server/llama/test_hooks.py runs the check; building llama.cpp's tools takes minutes",
    "python -m pip download ": "llama.cpp's sources, of a version that the reader chooses",
    "tar -xf llama_cpp_python": "the same sources",
    "functiongate bench tools-2k chat-1 chat-4 --against": "minutes, and a second server",
    "functiongate tune ": "minutes; tests/server/machine/test_tuning.py",
    "functiongate serve qwen2.5-coder-0.5b --ctx-size 32768": "fetches half a gigabyte",
    "functiongate bench tools-2k cold-4": "minutes, and a llama-server",
    "functiongate-quantize run ": "minutes; tests/quantizer/test_run.py, and the page's Python is run here",
    "functiongate render --family my-family": "the family is the reader's to write",
    "echo '<call>…' | functiongate parse --family my-family": "the family is the reader's to write",
    "python -m pytest tests/chat_templates/test_golden.py -k my-family": "the family is the reader's to write",
    "python tests/benchmarks/bench_bfcl.py": "minutes; its flags are looked at",
}
# What makes a command of minutes one of seconds.
SMALLER = {
    "--dialogues 200": "--dialogues 2 --chunks 2 --ctx-size 64",
    "--decisions 60 --tool-calls --speed": "--decisions 1 --speed --chunks 2 --ctx-size 64",
}
VOLATILE = {"id", "call_id", "created", "system_fingerprint", "decode_steps"}


@pytest.fixture(scope="module")
def url(smollm2_path, tmp_path_factory):
    """What `make serve` starts, on a free port."""
    command = [sys.executable, "-m", "server", "serve", smollm2_path, "--port", "0", "--alias", "smollm2-135m"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNCTIONGATE_")}
    environment = {**clean, "PYTHONPATH": str(ROOT)}
    here = tmp_path_factory.mktemp("server")
    with subprocess.Popen(command, cwd=here, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = ""
        while not (found := re.search(r"(http://\S+)/v1", said)):
            said += (line := server.stderr.readline())
            assert line, f"the server did not start: {said}"
        threading.Thread(target=server.stderr.read, daemon=True).start()  # never let it block on a full pipe
        yield found[1]
        server.terminate()
        assert server.wait(30) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the pages' commands find: programs on the path, a model, an imatrix, the files whose text a page gives."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, module in (("functiongate", "-m server"), ("functiongate-quantize", "-m quantizer"), ("python", "")):
        program = folder / ".venv" / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        program.chmod(0o755)
    base = write_tiny_gguf(folder / "model-f16.gguf", n_embd=256, n_ff=512)
    shutil.copy(base, folder / "model-q4.gguf")
    write_imatrix(hand_made_imatrix(read_inventory(base)), folder / "imatrix.gguf")
    (folder / "mine.toml").write_text(text_of("docs/add-a-recipe.md", "[careful-attention]"))
    (folder / "request.json").write_text(text_of("docs/families.md", '"tool_choice": "required"'))
    return folder


def text_of(page, phrase):
    (text,) = (block.text for block in BLOCKS if block.page == page and phrase in block.text)
    return text


def run(command, folder, url="http://127.0.0.1:8000"):
    """What a shell prints for it, in the folder, the port of the pages being the server's. It has to succeed."""
    path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    ready = command.replace("http://127.0.0.1:8000", url)
    for pages, here in SMALLER.items():
        ready = ready.replace(pages, here)
    done = subprocess.run(
        ["bash", "-c", ready], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def is_run(command):
    return not any(command.removeprefix(".venv/bin/").startswith(beginning) for beginning in NOT_RUN)


def lines(text):
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def assert_shown(shown, printed):
    """`…` is any text, also where a shown line is broken by two of them."""
    if shown.lstrip().startswith("{\n"):
        assert_values(json.loads(with_marks(shown)), json.loads(printed))
        return
    pattern = ".*".join(map(re.escape, re.split(r"…(?:\n…)*", lines(shown))))
    assert re.fullmatch(pattern, lines(printed), flags=re.DOTALL), f"shown:\n{shown}\nprinted:\n{printed}"


def with_marks(shown):
    """JSON with `…` between fields: a field of that name."""
    return re.sub(r"…(\s*)(?=([\"}]))", lambda found: f'"…": 0{"," * (found[2] == chr(34))}{found[1]}', shown)


def assert_values(shown, printed, key=""):
    """The same values, but for what `…` leaves open and what is new at each run."""
    if key in VOLATILE:
        assert type(shown) is type(printed)
    elif isinstance(shown, dict):
        wanted = {name: value for name, value in shown.items() if name != "…"}
        assert wanted.keys() <= printed.keys() if "…" in shown else wanted.keys() == printed.keys()
        for name, value in wanted.items():
            assert_values(value, printed[name], name)
    elif isinstance(shown, list):
        assert len(shown) == len(printed)
        for one, other in zip(shown, printed, strict=True):
            assert_values(one, other)
    else:
        assert shown == printed


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_commands(block, folder, url):
    printed = "".join(run(command, folder, url) for command in commands(block.text) if is_run(command))
    if block.shown is not None:
        assert_shown(block.shown, printed)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "\n$ " in f"\n{block.text}"], ids=str)
def test_sessions(block, folder):
    """A terminal's text: what was typed after `$ `, and what came."""
    assert block.language == "text"
    for typed, shown in re.findall(r"^\$ (.*(?:(?<=\\)\n.*)*)\n((?:(?!\$ ).*\n)*)", block.text, flags=re.MULTILINE):
        assert_shown(shown, run(typed, folder))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python(block, folder, url):
    if "MY_FAMILY" in block.text:
        names = {"__package__": "chat_templates.qwen25"}  # whose folder has a template
        exec(block.text, names)  # noqa: S102  the page's own code
        assert isinstance(names["MY_FAMILY"], Family)
        return
    here = folder / block.page.replace("/", "-")
    here.mkdir()
    shutil.copy(folder / "model-f16.gguf", here)
    (here / "text.txt").write_text("abc abx plain zz. " * 60)
    (here / "careful.toml").write_text((folder / "mine.toml").read_text())
    (here / "mine.toml").write_text(
        'model = "model-f16.gguf"\nrecipes = ["Q8_0", "Q4_0", "careful.toml:careful-attention"]\noutput = "files"\n'
        '[evaluation]\ntext = "text.txt"\nctx_size = 64\nchunks = 3\n'
    )
    (here / "page.py").write_text(block.text.replace("http://127.0.0.1:8000", url))
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if block.shown is not None:
        assert_shown(block.shown, done.stdout)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=str)
def test_toml(block, tmp_path):
    """By the reader that it is for: a configuration, a set, or recipes."""
    file = tmp_path / "page.toml"
    file.write_text(block.text)
    if block.text.startswith("# functiongate.toml"):
        assert load_config({}, file, {}).port == 9000
    elif re.search(r"^recipes = ", block.text, flags=re.MULTILINE):
        assert read_set("page.toml", block.text, tmp_path).recipes
    else:
        assert read_recipes(file)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "json" and not block.is_shown], ids=str
)
def test_json(block):
    """A value, a field of a request, or rows of a file, each perhaps on several lines."""
    text = f"{{{block.text}}}" if block.text.startswith('"') else block.text
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        assert value
        at += len(text[at:]) - len(text[at:].lstrip())


def test_the_message_of_a_mistake_is_the_one_that_is_shown(folder, tmp_path):
    """docs/add-a-recipe.md: a type that is none."""
    mistaken = text_of("docs/add-a-recipe.md", "[careful-attention]").replace(
        '"attn_output"], type = "Q6_K"', '"attn_output"], type = "Q6"'
    )
    (tmp_path / "mine.toml").write_text(mistaken)
    program = folder / ".venv" / "bin" / "functiongate-quantize"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    done = subprocess.run(
        [program, "recipes", "mine.toml"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert_shown(text_of("docs/add-a-recipe.md", "is no type of a tensor"), done.stderr.partition(": ")[2])


def test_every_block_is_tried():
    """Pictures and messages aside, a block is code that is run, or what the block before it shows."""
    left = [
        block
        for block in BLOCKS
        if block.language not in {"sh", "python", "toml", "json"} and not block.is_shown and "$ " not in block.text
    ]
    assert [block.page for block in left] == ["docs/add-a-recipe.md", "docs/architecture.md"]


def test_every_exception_is_one():
    typed = [
        command.removeprefix(".venv/bin/")
        for block in BLOCKS
        if block.language == "sh"
        for command in commands(block.text)
    ]
    assert all(any(command.startswith(beginning) for command in typed) for beginning in NOT_RUN)
    assert all(any(pages in command for command in typed) for pages in SMALLER)
