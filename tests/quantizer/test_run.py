"""A set from end to end: on a random model what a rerun does and leaves alone, on SmolLM2 what a user gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from quantizer.__main__ import run as command
from quantizer.calibration.sources import CalibrationChoice
from quantizer.errors import PlanError
from quantizer.measures.calls.served import served
from quantizer.measures.choice import EvaluationChoice
from quantizer.measures.measure import Means
from quantizer.measures.speed import SpeedMeasure
from quantizer.measures.text.measure import TextMeasure
from quantizer.measures.text.reference import ReferenceStore
from quantizer.progress import work_bar
from quantizer.run import run
from quantizer.set_file import RecipeSet, find_set

pytestmark = pytest.mark.native
ROOT = Path(__file__).parents[2]
RECIPES = ("Q8_0", "Q4_0", "Q4_K_L")
N_STAGES = 4 + 2 * len(RECIPES)


class Killed(BaseException):
    """What ends a run in the middle, as an interrupt would."""


@pytest.fixture
def small_set(tmp_path):
    """Three files of a random model, measured over a text of its own tokens."""
    text = tmp_path / "text.txt"
    text.write_text("abc abx plain zz. " * 60)
    return RecipeSet(
        model="tiny.gguf",
        recipes=RECIPES,
        output=tmp_path / "out",
        report=tmp_path / "out" / "report",
        name="tiny",
        calibration=CalibrationChoice(texts=(text,), shipped=False, n_dialogues=0, n_ctx=64, max_chunks=2),
        evaluation=EvaluationChoice(text=text, n_ctx=64, max_chunks=3),
    )


@pytest.fixture
def means(tmp_path):
    """One thread, silence, and a store of its own."""
    from rich.console import Console

    silent = Console(quiet=True)
    return Means(ReferenceStore(tmp_path / "references"), 1, lambda what: work_bar(silent, what))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder):
    made = [path for path in folder.iterdir() if path.suffix == ".gguf" or path.name.endswith(".evaluation.json")]
    return {path.name: path.stat().st_mtime_ns for path in made}


def test_a_run_makes_everything_and_a_second_one_nothing(small_set, means, wide, monkeypatch):
    stages = []
    first = run(small_set, wide, means, on_stage=stages.append)
    assert [stage.index for stage in stages] == list(range(1, N_STAGES + 1))
    assert {stage.count for stage in stages} == {N_STAGES}
    assert [path.name for path in first.files] == [f"tiny-{recipe}.gguf" for recipe in RECIPES]
    assert first.base == wide
    assert [each.name for each in first.report.matched] == ["Q4_K_L"]
    assert first.report.base_was is None
    before, made = times(small_set.output), contents(small_set.output)
    monkeypatch.setattr("quantizer.run.collect", None)
    monkeypatch.setattr(TextMeasure, "run", None)
    run(small_set, wide, means)
    assert times(small_set.output) == before
    assert contents(small_set.output) == made


def test_a_run_that_was_killed_at_any_stage_is_completed_by_the_next(small_set, means, wide):
    """The lock goes, nothing half-made stays under a final name, and the end is the same."""
    killed = replace(small_set, output=small_set.output / "k", report=small_set.output / "k" / "report")
    for stop in range(1, N_STAGES + 1):

        def on_stage(stage, stop=stop):
            if stage.index == stop:
                raise Killed

        with pytest.raises(Killed):
            run(killed, wide, means, on_stage=on_stage)
    run(killed, wide, means)
    whole = replace(small_set, output=small_set.output / "w", report=small_set.output / "w" / "report")
    run(whole, wide, means)
    assert contents(killed.output) == contents(whole.output)


def test_a_measure_that_is_added_is_the_only_one_made(small_set, means, wide, monkeypatch):
    run(small_set, wide, means)
    asked = []

    def watched(kind):
        measure = kind.run

        def spy(self, subject, means):
            asked.append(self.name)
            return measure(self, subject, means)

        monkeypatch.setattr(kind, "run", spy)

    watched(TextMeasure)
    watched(SpeedMeasure)
    more = replace(small_set, evaluation=replace(small_set.evaluation, with_speed=True))
    run(more, wide, means)
    assert asked == ["speed"] * (1 + len(RECIPES))
    run(small_set, wide, means)
    assert "speed" not in json.loads((small_set.output / "tiny-Q4_0.evaluation.json").read_text())
    again = replace(small_set, evaluation=replace(small_set.evaluation, max_chunks=2))
    run(again, wide, means)
    assert asked[1 + len(RECIPES) :] == ["text"] * len(RECIPES)


def test_an_evaluation_that_is_damaged_is_made_anew(small_set, means, wide):
    run(small_set, wide, means)
    path = small_set.output / "tiny-Q4_0.evaluation.json"
    whole = path.read_text()
    for damaged in ("", "{", "[]", '{"keys": {"text": "x"}}', whole[: len(whole) // 2]):
        path.write_text(damaged)
        run(small_set, wide, means)
        assert path.read_text() == whole


def test_a_recipe_that_is_added_leaves_the_other_files_alone(small_set, means, wide):
    run(small_set, wide, means)
    before = times(small_set.output)
    done = run(replace(small_set, recipes=(*RECIPES, "Q5_0")), wide, means)
    after = times(small_set.output)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"tiny-Q5_0.gguf", "tiny-Q5_0.evaluation.json"}
    assert len(done.report.files) == 4


def test_a_quantized_model_becomes_a_base_that_says_so(small_set, means, wide, tmp_path):
    small = tmp_path / "small-Q8_0.gguf"
    assert command(["quantize", str(wide), "Q8_0", "--output", str(small)]) == 0
    done = run(replace(small_set, recipes=("Q4_0",)), small, means)
    assert done.base.name == "tiny-dequantized-F16.gguf"
    assert done.report.base_was == "Q8_0 (16)"
    assert "itself quantized" in done.written.html.read_text()


def test_two_runs_do_not_share_a_folder(small_set, means, wide):
    def on_stage(_):
        with pytest.raises(PlanError, match="another run is at work"):
            run(small_set, wide, means)

    run(replace(small_set, recipes=("Q8_0",)), wide, means, on_stage=on_stage)


def test_a_strangers_file_is_not_replaced(small_set, means, wide):
    small_set.output.mkdir()
    shutil.copy(wide, small_set.output / "tiny-Q8_0.gguf")
    with pytest.raises(PlanError, match="was not made by this plan"):
        run(small_set, wide, means)


def test_a_recipe_that_cannot_be_made_is_told_before_any_file_is(small_set, means, wide):
    with pytest.raises(PlanError, match="there twice"):
        run(replace(small_set, recipes=("Q8_0", "Q8_0")), wide, means)
    with pytest.raises(PlanError, match="made with activations"):
        run(replace(small_set, recipes=("Q8_0", "Q4_K_L"), calibration=None), wide, means)
    assert not list(small_set.output.glob("tiny-*.gguf"))


@pytest.mark.slow
def test_killed_twenty_times_at_any_moment_a_run_leaves_nothing_wrong(wide, tmp_path):
    """Kills that no handler sees; in the end everything is as if nothing had happened."""
    text = tmp_path / "text.txt"
    text.write_text("abc abx plain zz. " * 400)
    (tmp_path / "set.toml").write_text(
        f'model = "{wide}"\nname = "tiny"\nrecipes = ["Q8_0", "Q4_0", "Q4_K_L"]\noutput = "out"\n'
        f'[imatrix]\ntexts = ["{text}"]\nshipped = false\ndialogues = 0\nctx_size = 64\n'
        f'[evaluation]\ntext = "{text}"\nctx_size = 64\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FUNCTIONGATE_CACHE_DIR": str(tmp_path / "cache")}
    arguments = [sys.executable, "-m", "quantizer", "run", str(tmp_path / "set.toml"), "--threads", "1"]
    started = time.monotonic()
    subprocess.run(arguments, env=environment, check=True, capture_output=True)
    took = time.monotonic() - started
    whole = contents(tmp_path / "out")
    for i in range(20):
        if i % 5 == 0:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        child = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took * (0.25 + 0.75 * i / 20))
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(arguments, env=environment, check=True, capture_output=True)
    found = {name: data for name, data in contents(tmp_path / "out").items() if ".partial" not in name}
    assert found == whole


@pytest.fixture(scope="module")
def smollm2_run(smollm2_path, tmp_path_factory):
    """The built-in set from the command line in a process of its own; its folder and its seconds."""
    folder = tmp_path_factory.mktemp("smollm2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FUNCTIONGATE_CACHE_DIR": str(folder / "cache")}
    arguments = [sys.executable, "-m", "quantizer", "run", "smollm2", "--model", str(smollm2_path)]
    started = time.monotonic()
    subprocess.run([*arguments, "--output-dir", str(folder / "out")], env=environment, check=True, cwd=folder)
    return folder / "out", time.monotonic() - started


def test_smollm2s_set_is_made_in_four_minutes(smollm2_run):
    folder, seconds = smollm2_run
    assert seconds < 240
    report = json.loads((folder / "report.json").read_text())
    assert report["base_was_quantized"].startswith("Q4_1")
    assert [each["name"] for each in report["files"]] == ["Q4_0", "dynamicgate3-Q4_K", "Q5_0"]
    assert [each["name"] for each in report["matched_bytes"]] == ["dynamicgate3-Q4_K"]
    assert all(each["evaluation"]["text"]["kld"]["value"] > 0 for each in report["files"])
    assert all(each["evaluation"]["speed"]["decode"] > 0 for each in report["files"])


def test_a_file_of_the_run_is_served_and_calls_a_tool(smollm2_run):
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body = {
        "model": "measured",
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": city}}],
        "tool_choice": "required",
        "temperature": 0,
    }
    with served(smollm2_run[0] / "SmolLM2-135M-Instruct-Q4_0.gguf", n_threads=2) as url:
        answer = httpx.post(f"{url}/chat/completions", json=body, timeout=60).raise_for_status().json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert isinstance(json.loads(call["function"]["arguments"])["city"], str)


def test_the_report_opens_in_a_browser(smollm2_run, tmp_path):
    """Headless Chromium parses, lays out and writes back what it made of the page."""
    names = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip(f"no browser on the PATH: {', '.join(names)} (Debian: apt-get install chromium)")
    page = smollm2_run[0] / "report.html"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,5000", f"--user-data-dir={tmp_path}"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom"]
    found = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "<title>SmolLM2-135M-Instruct: what smaller files lost</title>" in found.stdout
    for heading in ("Sizes", "Perplexity", "Divergence from the base", "Tool calls", "At matched bytes"):
        assert f"<h2>{heading}</h2>" in found.stdout
    assert found.stdout.count("</table>") >= 6
    assert found.stdout.count("</svg>") >= 5


def test_the_built_in_set_is_small_enough_for_a_laptop():
    found = find_set("smollm2")
    assert len(found.recipes) == 3
    assert found.evaluation.max_chunks * found.evaluation.n_ctx <= 4096
