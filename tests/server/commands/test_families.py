"""`families`, `render` and `parse`, as typed."""

from __future__ import annotations

import json

import pytest
from golden_cases import readings
from typer.testing import CliRunner

from chat_templates import FAMILIES, get_family
from server.__main__ import PROGRAM, run

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
BODY = {"messages": [{"role": "user", "content": "Weather in Zürich?"}], "tools": [WEATHER]}


@pytest.fixture
def typed():
    def invoke(*arguments, text=""):
        done = CliRunner().invoke(
            PROGRAM.app(PROGRAM.verbs), list(arguments), input=text, env={"COLUMNS": "900"}, catch_exceptions=False
        )
        assert done.exit_code == 0
        return done.stdout

    return invoke


@pytest.fixture
def file(tmp_path):
    def write(value, name="body.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def test_families_lists_every_family_for_people_and_machines(typed):
    shown = typed("families")
    rows = json.loads(typed("families", "--json"))
    assert [row["id"] for row in rows] == list(FAMILIES)
    for row in rows:
        # Brackets and quotes as they are: the table does not read them as its own markup.
        for text in (row["id"], *row["markers"], (row["call"] or "").replace("\n", "\\n")):
            assert text in shown
        assert row["evidence"] == get_family(row["id"]).evidence
    calls = {row["id"]: row["call"] for row in rows}
    assert calls["functionary-v3.1"] == '<function=get_weather>{"city": "Paris"}</function><|eom_id|>'
    assert calls["qwen2.5"].startswith('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}')
    assert calls["minitron"] is None


@pytest.mark.parametrize("source", ["file", "dash", "nothing"])
def test_render_prints_the_exact_prompt(typed, file, source):
    arguments = {"file": [file(BODY)], "dash": ["-"], "nothing": []}[source]
    assert typed("render", "--family", "qwen2.5", *arguments, text=json.dumps(BODY)) == get_family("qwen2.5").render(
        BODY["messages"], BODY["tools"]
    )


def test_render_reads_every_form_that_the_server_reads(typed):
    obsolete = {"messages": BODY["messages"], "functions": [WEATHER["function"]]}
    assert typed("render", "--family", "qwen2.5", text=json.dumps(obsolete)) == typed(
        "render", "--family", "qwen2.5", text=json.dumps(BODY)
    )
    hidden = typed("render", "--family", "qwen2.5", text=json.dumps(BODY | {"tool_choice": "none"}))
    assert "get_weather" not in hidden


def test_render_prints_the_grammar_of_the_choice(typed):
    tools = [WEATHER, {"type": "function", "function": {"name": "now"}}]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}
    body = BODY | {"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}
    text = typed("render", "--family", "qwen2.5", "--grammar", text=json.dumps(body))
    assert text.startswith("%llguidance")
    assert "now" in text
    assert "get_weather" not in text


FREE = [
    (case, family) for case, family in readings() if case.get("tools_available") is None and not case.get("tool_choice")
]


@pytest.mark.parametrize(("case", "family"), FREE, ids=lambda value: value if isinstance(value, str) else value["id"])
def test_parse_reads_what_the_golden_files_read(typed, case, family):
    was_cut = case["expected_finish_reason"] == "length"
    answer = json.loads(typed("parse", "--family", family, *(["--cut"] if was_cut else []), text=case["raw_output"]))
    names = [call["function"]["name"] for call in answer["tool_calls"]]
    assert names == [call["name"] for call in case["expected_tool_calls"]]
    assert answer["finish_reason"] == ("length" if was_cut else "tool_calls" if names else "stop")


def test_parse_knows_the_offered_tools_and_the_cut(typed, file):
    text = 'So:\n{"name": "get_weather", "arguments": {"city": "Par'
    arguments = ("parse", "--family", "qwen2.5", "--cut")
    answer = json.loads(typed(*arguments, "--tools", file([WEATHER]), text=text))
    assert answer["finish_reason"] == "length"
    assert answer["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Par'}
    other = {"type": "function", "function": {"name": "other"}}
    answer = json.loads(typed(*arguments, "--tools", file({"tools": [other]}), text=text))
    assert (answer["tool_calls"], answer["content"]) == ([], text)


@pytest.mark.parametrize(
    ("arguments", "content", "code", "part"),
    [
        (["render"], BODY, 2, "--family"),
        (["render", "--family", "gpt"], BODY, 1, "known families: functionary-v4r"),
        (["render", "--family", "qwen2.5"], "{", 1, "not JSON"),
        (["render", "--family", "qwen2.5"], "[]", 1, "not a JSON object"),
        (["render", "--family", "qwen2.5"], {"messages": []}, 1, "messages is empty"),
        (["render", "--family", "qwen2.5"], BODY | {"tempratur": 1}, 1, "Unknown parameter: 'tempratur'"),
        (["render", "--family", "minitron"], BODY, 1, "/v1/completions"),
        (["render", "--family", "qwen2.5"], BODY | {"tools": [{"type": "code_interpreter"}]}, 1, "code_interpreter"),
        (["render", "--family", "qwen2.5", "--grammar"], {"messages": BODY["messages"]}, 1, "no grammar"),
        (["parse", "--family", "gpt"], "", 1, "known families"),
        (["parse", "--family", "qwen2.5", "--tools", "absent.json"], "", 1, "cannot read absent.json"),
    ],
)
def test_what_is_wrong_is_one_clear_line(capsys, file, *, arguments, content, code, part):
    assert run([*arguments, file(content)]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert part in told.err
    assert told.err.startswith("functiongate: ")
    assert told.err.count("\n") == 1


def test_a_file_that_is_not_there_or_not_text_or_has_no_tools_is_one_clear_line(capsys, file, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for arguments, part in (
        (["render", "--family", "qwen2.5", "absent.json"], "cannot read absent.json"),
        (["parse", "--family", "qwen2.5", str(binary)], "not UTF-8"),
        (["parse", "--family", "qwen2.5", "--tools", file("{}")], "has no tools"),
    ):
        assert run(arguments) == 1
        assert part in capsys.readouterr().err
