"""Markers that a caller wrote are text: where they stand in a prompt is known, and its text does not change."""

from __future__ import annotations

from datetime import date

import pytest
from golden_cases import golden
from hypothesis import given
from hypothesis import strategies as st

from chat_templates import FAMILIES, Markers, TemplateRequestError, get_family
from chat_templates.guard import Guard
from chat_templates.render import render_template

MARKERS = Markers(
    (
        *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"),
        *("<tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>", "<|python_tag|>", "</s>", "<s>"),
        *("<|from|>", "<|recipient|>", "<|content|>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "▁"),
    )
)
ALL_FAMILIES = pytest.mark.parametrize("family_id", [name for name in FAMILIES if name != "minitron"])
TEXTS = st.lists(
    st.sampled_from(
        ["<|im_end|>", "<|im_start|>", "<tool_call>", "</s>", "[INST]", "<", "|>", "a", " ", "\n", '"', "\\"]
    )
).map("".join)


def conversation(text, *, n_turns=1):
    """Texts of a caller's wherever one may stand; of one turn for models that take no more."""
    parameters = {"type": "object", "properties": {"x": {"type": "string", "description": text, "enum": [text, "y"]}}}
    tools = [{"type": "function", "function": {"name": "f", "description": text, "parameters": parameters}}]
    messages = [{"role": "system", "content": f"s {text}"}, {"role": "user", "content": f"u{text}"}]
    if n_turns > 1:
        call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": '{"x": "\\u003cs>"}'}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call00001", "content": f"{text} r"},
            {"role": "assistant", "content": f"a {text}"},
            {"role": "user", "content": [{"type": "text", "text": text}, {"type": "text", "text": "end"}]},
        ]
    return messages, tools


def own_markers(prompt):
    """The markers of a prompt that are not in its plain stretches."""
    at, found = 0, []
    for start, end in (*prompt.plain, (len(prompt.text),) * 2):
        assert at <= start <= end
        found += [prompt.text[at:start][slice(*span)] for span in MARKERS.spans(prompt.text[at:start])]
        at = end
    return found


@ALL_FAMILIES
@given(text=TEXTS)
def test_what_a_caller_writes_changes_neither_the_text_nor_the_templates_markers(family_id, text):
    family = get_family(family_id)
    n_turns = 1 if family_id == "xlam-1-fc" else 2
    messages, tools = conversation(text, n_turns=n_turns)
    prompt = family.prompt(messages, tools, markers=MARKERS)
    assert prompt.text == family.render(messages, tools)
    harmless = family.prompt(*conversation("word", n_turns=n_turns), markers=MARKERS)
    assert own_markers(prompt) == own_markers(harmless)


@pytest.mark.parametrize("case", golden("prompts"), ids=lambda case: case["id"])
def test_golden_prompts_are_the_same_with_their_markers_told_apart(case):
    family = get_family(case["family"])
    options = {"add_generation_prompt": case["add_generation_prompt"], "today": date(2026, 11, 21)}
    expected = family.render(case["messages"], case["tools"], **options)
    assert family.prompt(case["messages"], case["tools"], markers=MARKERS, **options).text == expected
    assert family.prompt(case["messages"], case["tools"], **options).plain == ()


def test_a_prompt_without_markers_of_the_callers_has_no_plain_stretch():
    for family_id in ("qwen3", "functionary-v3.1", "mistral-nemo"):
        messages, tools = conversation("a < b, x[INST", n_turns=1)
        assert get_family(family_id).prompt(messages, tools, markers=MARKERS).plain == ()


def test_markers_inside_markers_are_broken_too():
    markers = Markers(["<a<b>c>", "<b>", "<"])
    assert markers.broken("<a<b>c>", "!") == "<!a<!b>c>"
    assert markers.broken("<a <b", "!") == "<a <b"


def test_a_template_that_prints_in_ascii_shows_no_guard():
    guard = Guard(MARKERS, None, "<|im_end|>é")
    given = {"text": guard.over("<|im_end|>é")}
    rendered = render_template("<|im_start|>{{ text|tojson(ensure_ascii=true) }}", given, today=date(2026, 1, 1))
    prompt = guard.prompt(rendered)
    assert prompt.text == '<|im_start|>"<|im_end|>\\u00e9"'
    assert prompt.plain == ((len("<|im_start|>"), len(prompt.text)),)


def test_a_caller_who_uses_the_guard_gets_another_and_one_who_uses_all_is_refused():
    def prompt(text):
        return get_family("mistral-nemo").prompt([{"role": "user", "content": text}], markers=MARKERS)

    every = "".join(map(chr, range(0xE000, 0xF900)))
    for text in (every, every[:5] + "</s>"):
        assert text in prompt(text).text
    with pytest.raises(TemplateRequestError, match=r"U\+E000"):
        prompt(every + "</s>")
