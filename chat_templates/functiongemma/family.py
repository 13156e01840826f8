"""FunctionGemma as data: the developer's turn declares the tools, calls and results stand within the model's turn.

Sources: Google's documentation of the format, and the template and the printer of calls in its runtime for devices
(LiteRT-LM). The vendor's own template was not at hand: declarations are Gemma 4's with FunctionGemma's quote, as the
documentation prints them. Without a system message the developer's turn has the sentence that the documentation calls
essential.
"""

from __future__ import annotations

import json
from typing import Any

from chat_templates.errors import TemplateRequestError
from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.member_list import MemberListCall
from chat_templates.gemma4.declaration import Notation
from chat_templates.gemma4.family import with_results_in_turns
from chat_templates.render import ArgumentsAs

NOTATION = Notation("<escape>", null="null")


def result(content: str) -> str:
    """What a tool answered: the members of an object, any other text as a value."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    return NOTATION.called(told if isinstance(told, dict) else {"value": content})


def answered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results in the turns that called, with the model's words to them.

    Raises `TemplateRequestError` for calls before other words than their results, which this format cannot show.
    """
    turns: list[dict[str, Any]] = []
    for turn in with_results_in_turns(messages):
        last = turns[-1] if turns else {}
        if last.get("tool_calls") and not last["results"]:
            raise TemplateRequestError(
                f"messages[{last['index']}] calls tools and has no result: this model has no place for that.",
                param=f"messages[{last['index']}]",
            )
        turns.append(turn)
    return turns


FUNCTIONGEMMA = Family(
    id="functiongemma",
    title="FunctionGemma",
    template=template_source(__package__),
    output=OutputFormat(
        call=MemberListCall("<start_function_call>", "<end_function_call>", NOTATION.quote),
        stop=("<end_of_turn>", "<start_function_response>", "<eos>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=answered,
    system_first=True,
    markers=("<start_of_turn>", "<start_function_declaration>", "<start_function_call>"),
    bos_token="<bos>",  # noqa: S106  a token of the vocabulary
    eos_token="<end_of_turn>",  # noqa: S106
    special_tokens=frozenset({"<start_function_call>", "<end_function_call>", NOTATION.quote}),
    variables={"notation": NOTATION, "result": result},
    example_model="unsloth/functiongemma-270m-it-GGUF",
    evidence="D",
)
