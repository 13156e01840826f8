"""Arch-Function-Chat as data.

Sources: the prompts in Katanemo's gateway (`model_server/src/core/function_calling.py`, 2025) and the model's README;
the framing of turns is Qwen2.5's. Its GGUFs' templates say nothing of the format, so the family goes by the model's
name.
"""

from typing import Any

from chat_templates.events import ToolCallStart
from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.answer_object import AnswerObject
from chat_templates.parser import OutputParser
from chat_templates.readers.python_scanner import PythonScanner
from chat_templates.readers.state import OfferedNames
from chat_templates.render import ArgumentsAs

OUTPUT = OutputFormat(
    call=AnswerObject(
        text_keys=("response", "clarification"), silent_keys=("required_functions",), fence=("```json\n", "\n```")
    ),
    stop=("<|im_end|>", "<|endoftext|>"),
    passes_unknown_names=True,
    keeps_cut_calls=True,
    scanner=PythonScanner,
)


def with_names_of_results(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the results of calls that stand in the text of the turn before them, as the gateway's history has it."""
    named = []
    called: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            called = _names_called(message["content"])
        elif message["role"] == "tool" and called:
            name = called.pop(0)
            named.append({**message, "name": message.get("name") or name})
            continue
        named.append(message)
    return named


def _names_called(text: str) -> list[str]:
    parser = OutputParser(OUTPUT, OfferedNames(None))
    return [event.name for event in [*parser.feed(text), *parser.finish()] if isinstance(event, ToolCallStart)]


ARCH_FUNCTION_CHAT = Family(
    id="arch-function-chat",
    title="Katanemo Arch-Function-Chat",
    template=template_source(__package__),
    output=OUTPUT,
    arguments_as=ArgumentsAs.OBJECT,
    names=("arch-function-chat",),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    prepare=with_names_of_results,
    example_model="katanemo/Arch-Function-Chat-3B",
    evidence="S",
)
