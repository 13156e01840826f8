"""Oracles: three hundred conversations of each family, rendered by the vendor's own template as Hugging Face renders.

`make test-templates` names the folder of templates that comes with llama.cpp's source. Nothing of it is copied here.
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ggufs.tiny_gguf import write_tiny_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

from chat_templates import Family, detect_family, get_family
from chat_templates.render import ArgumentsAs, environment
from server.llama.model import Model

pytestmark = pytest.mark.slow

TEMPLATES = {
    "meetkai-functionary-medium-v3.1": "functionary-v3.1",
    "meetkai-functionary-medium-v3.2": "functionary-v3.2",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes-2-pro",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes-2-pro",
    "Qwen-Qwen2.5-7B-Instruct": "qwen2.5",
    "Qwen-Qwen3-0.6B": "qwen3",
    "google-gemma-4-31B-it": "gemma-4",
    "openbmb-MiniCPM5-1B": "minicpm5",
    "openai-gpt-oss-120b": "gpt-oss",
    "Qwen3-Coder": "qwen3-coder",
    "Qwen3.5-4B": "qwen3.5",
    "meta-llama-Llama-3.1-8B-Instruct": "llama-3.1",
    "meta-llama-Llama-3.3-70B-Instruct": "llama-3.1",
    "meta-llama-Llama-3.2-3B-Instruct": "llama-3.2",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-nemo",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-small-3.2",
    "mistralai-Ministral-3-14B-Reasoning-2512": "ministral-3",
    "LFM2-8B-A1B": "lfm2",
    "LFM2.5-Instruct": "lfm2.5",
    "LFM2.5-8B-A1B": "lfm2.5-thinking",
    "ibm-granite-granite-4.0": "granite-4.0",
    "ibm-granite-granite-4.1": "granite-4.1",
}
# Other people's templates for a family's models, which differ from the vendor's in details of the prompt.
VARIATIONS = {"google-gemma-4-31B-it-interleaved": "gemma-4"}
# Ours prints the model's own text, theirs the object of it: the same, since the text is JSON as Hugging Face prints it.
PRINTS_OBJECTS = {"functionary-v3.1"}
# Their templates leave calls to the caller, who writes them behind the answer's text.
PRINTS_CONTENT = {"lfm2", "lfm2.5"}
# Theirs prints texts between quotes whatever is in them, ours what Python reads as that text.
PRINTS_QUOTES = {"lfm2.5-thinking"}
# Theirs prints the first call of a turn alone, ours each with its result.
PRINTS_ONE_CALL = {"gpt-oss"}
WANTS_A_LIST = {"hermes-2-pro"}  # its template fails where there are no tools
TODAY = date(2026, 11, 27)
MIN_COMPARED = 100

texts = st.text(st.sampled_from("abcdefgh {}\"'\n.,é東"), min_size=1, max_size=30).map(lambda s: f"x{s}y")
names = st.sampled_from(["get_weather", "find", "send_mail"])
values = st.one_of(texts, st.integers(-99, 99), st.booleans(), st.none(), st.lists(texts, max_size=2))
arguments = st.dictionaries(st.sampled_from(["city", "days", "to"]), values, max_size=3)
properties = st.dictionaries(
    st.sampled_from(["city", "days", "to"]),
    st.sampled_from([{"type": "string", "description": "A <b> & c."}, {"type": "integer"}, {"enum": ["a", "b"]}]),
    max_size=3,
)


@st.composite
def tools(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for name in draw(st.lists(names, unique=True, max_size=3)):
        schema = {"type": "object", "properties": draw(properties), "required": []}
        function = {"name": name, "description": draw(texts), "parameters": schema}
        made.append({"type": "function", "function": function})
    return made


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A system message or none, questions, answers, calls with their results; the last word is not the assistant's."""
    told: list[dict[str, Any]] = []
    if draw(st.booleans()):
        told.append({"role": "system", "content": draw(texts)})
    n_calls = 0
    for _ in range(draw(st.integers(0, 2))):
        told.append({"role": "user", "content": draw(texts)})
        for _ in range(draw(st.integers(0, 2))):
            calls = []
            for _ in range(draw(st.integers(1, 2))):
                function = {"name": draw(names), "arguments": json.dumps(draw(arguments), ensure_ascii=False)}
                calls.append({"id": f"call{n_calls:05}", "type": "function", "function": function})
                n_calls += 1
            told.append({"role": "assistant", "content": draw(st.one_of(st.none(), texts)), "tool_calls": calls})
            told += [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
        told.append({"role": "assistant", "content": draw(texts)})
    told.append({"role": "user", "content": draw(texts)})
    return told


@pytest.fixture(scope="module")
def folder() -> Path:
    given = os.environ.get("FUNCTIONGATE_TEMPLATES")
    if given is None:
        pytest.fail("the vendors' templates are fetched by `make test-templates`, which names their folder")
    return Path(given)


def by_vendor(source: str, family: Family, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
    """What the vendor's template makes of messages as Hugging Face passes them."""
    passed = [{**message, "content": message["content"] or ""} for message in messages]
    if family.arguments_as is ArgumentsAs.OBJECT or family.id in PRINTS_OBJECTS:
        passed = [_with_objects(message) for message in passed]
    if family.id in PRINTS_CONTENT:
        passed = [_with_calls_in_content(message, family) for message in passed]
    return (
        environment(TODAY)
        .from_string(source)
        .render(
            messages=passed,
            tools=tools or ([] if family.id in WANTS_A_LIST else None),
            add_generation_prompt=True,
            bos_token=family.bos_token,
            eos_token=family.eos_token,
        )
    )


def _with_objects(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the arguments of its calls as objects."""
    if "tool_calls" not in message:
        return message
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [{"function": {**f, "arguments": json.loads(f["arguments"])}} for f in functions]
    return {**message, "tool_calls": [{**a, **b} for a, b in zip(message["tool_calls"], calls, strict=True)]}


def _with_calls_in_content(message: dict[str, Any], family: Family) -> dict[str, Any]:
    """The message with its calls at the end of its text."""
    if "tool_calls" not in message:
        return message
    calls = family.variables["called"](message["tool_calls"])
    return {**message, "content": f"{message['content']}<|tool_call_start|>[{calls}]<|tool_call_end|>"}


def _has_quotes(messages: list[dict[str, Any]]) -> bool:
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    values = [v for call in calls for v in json.loads(call["function"]["arguments"]).values()]
    return any(isinstance(value, str) and not set(value).isdisjoint("'\n") for value in values)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_is_rendered_as_by_the_vendor(folder, name):
    family = get_family(TEMPLATES[name])
    source = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    n_compared = 0

    @settings(max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(messages=conversations(), offered=tools())
    def compare(messages, offered):
        nonlocal n_compared
        if family.id in PRINTS_QUOTES and _has_quotes(messages):
            return
        if family.id in PRINTS_ONE_CALL and any(len(message.get("tool_calls", ())) > 1 for message in messages):
            return
        try:
            theirs = by_vendor(source, family, messages, offered)
        except TemplateError:  # two calls in a turn, where the format has one: ours rewrites the conversation
            return
        assert family.render(messages, offered, today=TODAY) == theirs
        n_compared += 1

    compare()
    assert n_compared >= MIN_COMPARED


SCHEMAS = st.recursive(
    st.one_of(
        st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "array", "object")]),
        st.sampled_from([{}, {"type": ["string", "null"]}, {"type": "string", "nullable": True}, {"type": "null"}]),
        st.sampled_from([{"type": "string", "enum": ["a", "b"]}, {"type": "string", "description": "A <b> & c."}]),
        st.sampled_from([{"type": "string", "default": "x"}, {"type": "integer", "default": 3, "description": "N"}]),
        st.sampled_from([{"type": "string", "enum": ["a"], "default": "a"}, {"type": "array", "nullable": True}]),
    ),
    lambda part: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, part),
        st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(st.sampled_from(["p", "q", "r"]), part, max_size=3),
            st.lists(st.sampled_from(["p", "q", "r"]), unique=True),
        ),
        st.builds(lambda parts: {"oneOf": parts}, st.lists(part, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)


@given(parameters=st.dictionaries(st.sampled_from(["a", "b", "c"]), SCHEMAS, min_size=1, max_size=3))
@settings(max_examples=500, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_gpt_oss_declares_nested_parameters_as_its_vendor_does(folder, parameters):
    source = (folder / "openai-gpt-oss-120b.jinja").read_text(encoding="utf-8")
    schema = {"type": "object", "properties": parameters, "required": ["a"]}
    offered = [{"type": "function", "function": {"name": "f", "description": "F.", "parameters": schema}}]
    messages = [{"role": "user", "content": "?"}]
    family = get_family("gpt-oss")
    assert family.render(messages, offered, today=TODAY) == by_vendor(source, family, messages, offered)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_file_with_the_vendors_template_is_of_its_family(folder, name, tmp_path):
    """A GGUF file with a vocabulary, read as the server reads it."""
    source = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    path = write_tiny_gguf(tmp_path / "tiny.gguf", chat_template=source)
    with Model(path, vocab_only=True) as model:
        assert detect_family(model.metadata).id == TEMPLATES[name]


def test_a_familys_template_is_known_and_no_other(folder):
    sources = {path.stem: path.read_text("utf-8") for path in folder.glob("*.jinja")}
    known = {name: detect_family({"tokenizer.chat_template": source}).id for name, source in sources.items()}
    named = {name: family for name, family in known.items() if not family.startswith("generic")}
    assert named == {**TEMPLATES, **VARIATIONS}
