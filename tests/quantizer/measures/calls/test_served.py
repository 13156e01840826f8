import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ggufs.nan_weights import put_nan

from quantizer.errors import DataError, QuantizerError
from quantizer.measures.calls.case_files import AcceptedCall, read_cases, shipped_cases
from quantizer.measures.calls.served import NOT_FINITE, is_accepted, score_tool_calls


def accepted(name="f", **arguments):
    return AcceptedCall(name, arguments)


@pytest.mark.parametrize(
    ("calls", "accept", "is_right"),
    [
        ([], [], True),
        ([("f", {})], [], False),
        ([], [accepted()], False),
        ([("f", {"a": 1})], [accepted(a=[1, 2])], True),
        ([("f", {"a": 1.0})], [accepted(a=[1])], True),
        ([("f", {"a": True})], [accepted(a=[1])], False),
        ([("f", {"a": 3})], [accepted(a=[1, 2])], False),
        ([("g", {"a": 1})], [accepted(a=[1])], False),
        ([("f", {})], [accepted(a=[1])], False),
        ([("f", {})], [accepted(a=[1, None])], True),
        ([("f", {"a": 1, "b": 2})], [accepted(a=[1])], False),
        ([("f", {"a": "New York, NY"})], [accepted(a=["new york ny"])], True),
        ([("f", {"a": "anything"})], [accepted(a=["*"])], True),
        ([("f", {"a": [1, "X"]})], [accepted(a=[[1, "x"]])], True),
        ([("f", {"a": [1]})], [accepted(a=[[1, 2]])], False),
        ([("f", {"a": {"b": 1}})], [accepted(a=[{"b": [1, 2], "c": ["", 3]}])], True),
        ([("f", {"a": {"b": 9}})], [accepted(a=[{"b": [1, 2]}])], False),
        ([("f", {"a": 2}), ("f", {"a": 1})], [accepted(a=[1]), accepted(a=[2])], True),
        ([("f", {"a": 1}), ("f", {"a": 1})], [accepted(a=[1]), accepted(a=[2])], False),
        ([("f", "broken")], [accepted(a=[1])], False),
    ],
)
def test_right_is_what_is_accepted_and_nothing_else(calls, accept, is_right):
    assert is_accepted(calls, accept) is is_right


def test_the_shipped_cases_are_forty_of_four_kinds():
    cases = shipped_cases()
    assert len(cases) >= 40
    assert {case.category for case in cases} == {"simple", "multiple", "parallel", "irrelevance"}
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in case.tools}
        assert bool(case.accept) == (case.category != "irrelevance")
        for call in case.accept:
            assert set(call.arguments) <= set(schemas[call.name]["properties"])
            required = {name for name, values in call.arguments.items() if None not in values}
            assert set(schemas[call.name]["required"]) <= set(call.arguments)
            assert required >= set(schemas[call.name]["required"])


def test_the_leaderboards_form_is_read_with_its_answers_beside_it(tmp_path):
    parameters = {"type": "dict", "properties": {"x": {"type": "float"}, "y": {"type": "any"}}, "required": ["x"]}
    row = {"id": "simple_python_0", "question": [[{"role": "user", "content": "?"}]]}
    row["function"] = [{"name": "math.f", "description": "", "parameters": parameters}]
    answer = {"id": "simple_python_0", "ground_truth": [{"math.f": {"x": [1.5], "y": ["", 2]}}]}
    (tmp_path / "possible_answer").mkdir()
    (tmp_path / "BFCL.json").write_text(json.dumps(row) + "\n")
    (tmp_path / "possible_answer" / "BFCL.json").write_text(json.dumps(answer) + "\n")
    (case,) = read_cases(tmp_path / "BFCL.json")
    assert case.category == "simple_python"
    schema = case.tools[0]["function"]["parameters"]
    assert schema == {"type": "object", "properties": {"x": {"type": "number"}, "y": {}}, "required": ["x"]}
    assert is_accepted([("math.f", {"x": 1.5})], case.accept)


@pytest.mark.parametrize("text", ["", "{", "[1]\n", '{"id": 1}\n', '{"id": 1, "function": 3, "question": []}\n'])
def test_what_is_no_case_is_refused(tmp_path, text):
    path = tmp_path / "cases.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"cases\.jsonl"):
        read_cases(path)


@pytest.mark.native
def test_a_file_is_served_and_asked(smollm2_path):
    cases = [case for case in shipped_cases() if case.id in {"simple_2", "irrelevance_3"}]
    found = score_tool_calls(smollm2_path, cases, n_threads=2)
    assert [result.id for result in found.results] == [case.id for case in cases]
    assert all(result.n_tokens for result in found.results)
    assert sum(n for _, n in found.by_category.values()) == 2


@pytest.mark.native
def test_a_case_at_which_the_logits_are_no_numbers_has_no_answer(smollm2_f16, tmp_path):
    broken = Path(shutil.copy(smollm2_f16, tmp_path / "broken.gguf"))
    put_nan(broken, "output_norm.weight")
    found = score_tool_calls(broken, shipped_cases()[:2], n_threads=2)
    assert [result.finish_reason for result in found.results] == [NOT_FINITE] * 2
    assert (found.answered, found.accuracy, found.error, found.by_category) == ((), None, None, {})


@pytest.mark.native
def test_a_server_that_does_not_start_is_told_in_its_words(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(QuantizerError, match="did not start"):
        score_tool_calls(tmp_path / "bad.gguf", shipped_cases()[:1], n_threads=1)


def descendants(number):
    """The processes below one, by what they were called with."""
    found, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status, called = (folder / "status").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if "\nState:\tZ" not in status:
            parents.setdefault(int(status.split("\nPPid:\t")[1].split()[0]), []).append((int(folder.name), called))
    below = [number]
    while below:
        for child, called in parents.get(below.pop(), ()):
            found[child] = called
            below.append(child)
    return found


@pytest.mark.native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other kernel ends a child with its parent")
@pytest.mark.parametrize(("asked", "sign"), [("--tool-calls", b"serve"), ("--speed", b"quantizer.measures.speed")])
def test_nothing_outlives_a_measuring_process_that_is_killed(smollm2_path, asked, sign):
    """The server, or the process whose speed is measured, and what they start themselves."""
    command = [sys.executable, "-m", "quantizer", "evaluate", str(smollm2_path), "--no-text", asked]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[4], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline, found = time.monotonic() + 60, {}
    while not any(sign in called.split(b"\0") for called in found.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
        found = descendants(process.pid)
    assert any(sign in called.split(b"\0") for called in found.values())
    time.sleep(1)
    found |= descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    deadline = time.monotonic() + 5
    while (left := [one for one in found if Path(f"/proc/{one}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) >= 2
    assert not left


@pytest.mark.native
def test_what_other_servers_keep_of_their_prompts_stays(smollm2_path, tmp_path, monkeypatch):
    """They are bounded together: whatever is added pushes something out."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    score_tool_calls(smollm2_path, shipped_cases()[:1], n_threads=2)
    assert not [path.name for path in tmp_path.rglob("*") if path.is_file() and "prefix" in str(path)]
