"""What a human reviewed: exact prompts of every family, and what its outputs mean, at every cut."""

import dataclasses
import json
from datetime import date

import pytest
from golden_cases import golden, readings, tools_named

from chat_templates import FAMILIES, OutputParser, ParsedMessage, TemplateRequestError, fold, get_family, merge

PROMPTS = golden("prompts")
ERRORS = golden("prompt_errors")
# Rendered by the vendor's class, which adds its reasoning pseudo-tool and leaves the BOS to its tokenizer.
ALWAYS_REASONING = {"functionary-v4r/upstream_class_on_reference_test_case"}


READINGS = readings()
# What the prompt ends with when a `tool_choice` is put there; it belongs to the answer.
FUNCTIONARY_31 = {"required": "<function=", "named": "<function={name}>"}
PREFIXES = {
    "functionary-v3.1": FUNCTIONARY_31,
    "functionary-v4r": FUNCTIONARY_31,
    "functionary-v3.2": {"none": "all\n", "named": "{name}\n"},
    "functionary-v2.5": {
        "required": "<|reserved_special_token_249|>",
        "named": "<|reserved_special_token_249|>{name}\n",
    },
    "functionary-v2": {"none": "all\n<|content|>", "named": "{name}\n<|content|>"},
}


def test_every_family_with_its_own_template_has_golden_prompts_and_outputs():
    own = {name for name in FAMILIES if name != "minitron" and not name.startswith("generic")}
    assert own == {case["family"] for case in PROMPTS}
    assert own == {family for _, family in READINGS}


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case["id"])
def test_a_conversation_renders_to_the_exact_prompt(case):
    family = get_family(case["family"])
    family = dataclasses.replace(family, bos_token=case.get("bos_token", family.bos_token))
    tools = case["tools"]
    if case["id"] in ALWAYS_REASONING:
        tools = [*tools, {"type": "reasoning"}]
    prefill = case.get("prefill", "")  # a gateway's beginning of the answer, after a generation prompt
    prompt = family.render(
        case["messages"],
        tools,
        add_generation_prompt=case["add_generation_prompt"] or bool(prefill),
        today=date(2026, 11, 21),
        template_kwargs=case.get("template_kwargs") or {},
    )
    assert prompt + prefill == case["expected_prompt"]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case["id"])
def test_what_upstream_templates_choke_on_renders_or_is_refused_by_its_field(case):
    try:
        prompt = get_family(case["family"]).render(case["messages"], case["tools"])
    except TemplateRequestError as error:
        assert error.param.startswith(("messages[", "tools["))  # noqa: PT017  either outcome is right
    else:
        assert "None" not in prompt
        assert "[{'" not in prompt


def parser_of(case, family) -> OutputParser:
    names = case.get("tools_available")
    return get_family(family).parser(None if names is None else tools_named(*names))


def text_of(case) -> str:
    """The output with the beginning that a `tool_choice` had put at the end of the prompt."""
    prefixes = PREFIXES.get(case["family"], {})
    match case.get("tool_choice"):
        case {"function": {"name": name}}:
            return prefixes.get("named", "").format(name=name) + case["raw_output"]
        case choice:
            return prefixes.get(choice, "") + case["raw_output"]


def assert_means(message: ParsedMessage, case) -> None:
    assert (message.content or "").strip() == (case["expected_content"] or "").strip()
    assert (message.content is None) == (case["expected_content"] is None)
    expected = case["expected_tool_calls"]
    assert [call.name for call in message.tool_calls] == [call["name"] for call in expected]
    for call, want in zip(message.tool_calls, expected, strict=True):
        if want["arguments_is"] == "exact string":
            assert call.arguments == want["arguments"]
        else:
            assert json.loads(call.arguments) == want["arguments"]


@pytest.mark.parametrize(
    ("case", "family"), READINGS, ids=lambda value: value if isinstance(value, str) else value["id"]
)
def test_an_output_means_what_the_golden_file_says_at_every_cut_and_piece_size(case, family):
    text = text_of(case)
    was_cut = case["expected_finish_reason"] == "length"
    whole = parser_of(case, family)
    events = merge([*whole.feed(text), *whole.finish(cut=was_cut)])
    assert_means(fold(events), case)
    pieces = [[text[:i], text[i:]] for i in range(1, len(text))]
    pieces += [[text[i : i + size] for i in range(0, len(text), size)] for size in (1, 2, 3, 5, 11)]
    for cut in pieces:
        parser = parser_of(case, family)
        told = [event for piece in cut for event in parser.feed(piece)]
        assert merge([*told, *parser.finish(cut=was_cut)]) == events, cut
