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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

from chat_templates import Family, get_family
from chat_templates.render import ArgumentsAs, environment

pytestmark = pytest.mark.slow

TEMPLATES = {
    "functionary-v3.1": "meetkai-functionary-medium-v3.1",
    "functionary-v3.2": "meetkai-functionary-medium-v3.2",
    "hermes-2-pro": "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "qwen2.5": "Qwen-Qwen2.5-7B-Instruct",
    "qwen3": "Qwen-Qwen3-0.6B",
    "llama-3.1": "meta-llama-Llama-3.1-8B-Instruct",
    "llama-3.2": "meta-llama-Llama-3.2-3B-Instruct",
    "mistral-nemo": "mistralai-Mistral-Nemo-Instruct-2407",
    "mistral-small-3.2": "Mistral-Small-3.2-24B-Instruct-2506",
    "granite-4.0": "ibm-granite-granite-4.0",
    "granite-4.1": "ibm-granite-granite-4.1",
}
# Ours prints the model's own text, theirs the object of it: the same, since the text is JSON as Hugging Face prints it.
PRINTS_OBJECTS = {"functionary-v3.1"}
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


@pytest.mark.parametrize("family_id", TEMPLATES)
def test_a_conversation_is_rendered_as_by_the_vendor(folder, family_id):
    family = get_family(family_id)
    source = (folder / f"{TEMPLATES[family_id]}.jinja").read_text(encoding="utf-8")
    n_compared = 0

    @settings(max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(messages=conversations(), offered=tools())
    def compare(messages, offered):
        nonlocal n_compared
        try:
            theirs = by_vendor(source, family, messages, offered)
        except TemplateError:  # two calls in a turn, where the format has one: ours rewrites the conversation
            return
        assert family.render(messages, offered, today=TODAY) == theirs
        n_compared += 1

    compare()
    assert n_compared >= MIN_COMPARED
