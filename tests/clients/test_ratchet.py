"""How llama-server's flags are read, and what the ratchet of its tests complains of."""

from __future__ import annotations

import pytest
from clients.llama_server.binary import UnmappedError, options
from clients.llama_server.ratchet import Entry, Ratchet

RATCHET = Ratchet((Entry("pass", ("a.py::test_x", "a.py::test_y[*]")), Entry("slots", ("a.py::test_z*",))), {})
FINE = {"a.py::test_x": "passed", "a.py::test_y[1-None]": "passed", "a.py::test_z[slow]": "failed"}


def test_flags_become_options():
    given = options(
        ["--port", "8123", "--hf-repo", "ggml-org/models", "--parallel", "2", "--no-slots", "--temp", "0.8"]
    )
    assert given[0] == "smollm2-135m"
    assert given[given.index("--port") + 1] == "8123"
    assert given[given.index("--parallel") + 1] == "2"
    assert "--no-slots" not in given
    assert "--temp" not in given


def test_the_family_follows_from_the_template():
    given = options(
        ["--hf-repo", "someone/Model-GGUF", "--chat-template-file", "x/meetkai-functionary-medium-v3.1.jinja"]
    )
    assert given[0] == "qwen2.5-coder-0.5b"
    assert given[given.index("--family") + 1] == "functionary-v3.1"


@pytest.mark.parametrize(
    "flags", [["--lora", "x"], ["--slots"], ["--pooling", "rank"], ["--host", "a,b"], ["--chat-template", "command-r"]]
)
def test_a_flag_that_would_change_an_answer_is_named(flags):
    with pytest.raises(UnmappedError, match=flags[0]):
        options(["--hf-repo", "ggml-org/models", *flags])


def test_a_run_as_it_was_has_nothing_to_complain_of():
    assert RATCHET.complaints(FINE) == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"a.py::test_x": "failed"}, "a.py::test_x fails, and passed before"),
        ({"a.py::test_z[slow]": "passed"}, "a.py::test_z[slow] passes now"),
        ({"a.py::test_new": "failed"}, "a.py::test_new failed, and 0 entries name it"),
    ],
)
def test_what_differs_is_named(changed, complaint):
    (told,) = RATCHET.complaints(FINE | changed)
    assert told.startswith(complaint)


def test_an_entry_of_no_test_is_named():
    rest = {test: outcome for test, outcome in FINE.items() if test != "a.py::test_x"}
    assert RATCHET.complaints(rest) == ["no test is called a.py::test_x"]
