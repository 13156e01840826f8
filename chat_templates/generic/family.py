"""Any model: tools described in the system turn as text, a JSON object expected as the call.

The framing of turns is the model's own chat template where it has one (`fitted`), else ChatML. No template is
expected to know tools: they, past calls and results become plain text in system, assistant and user turns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from chat_templates.errors import TemplateFileError
from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.bare import BareCall
from chat_templates.forms.call_array import CallArray
from chat_templates.forms.python_call import PythonCall
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.generic.asking import LIST, OBJECT, PYTHON, TAGGED, Asking
from chat_templates.guard import NO_MARKERS, Guard, Markers, Prompt
from chat_templates.readers.python_scanner import PythonScanner
from chat_templates.render import (
    NO_KWARGS,
    ArgumentsAs,
    Message,
    Renderer,
    Tool,
    normalise_messages,
    prepare_tools,
    render_template,
)
from chat_templates.tools import PreparedTools
from chat_templates.turns import joined_turns, system_at_the_start

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GenericFamily(Family):
    """The family of models that no other family describes. `asking` goes with the output format."""

    asking: Asking = OBJECT

    def fitted(
        self, template: str | None, *, bos_token: str, eos_token: str, renderer: Renderer = render_template
    ) -> Family:
        """This family with a model's own framing of turns, if its template can render a user's turn; else ChatML."""
        if template is None:
            return self
        own = replace(self, template=template, bos_token=bos_token, eos_token=eos_token, renderer=renderer)
        try:
            own.render([{"role": "user", "content": "?"}])
        except TemplateFileError as error:
            log.warning("the model's own chat template is not used: %s", error)
            return self
        return own

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        markers: Markers = NO_MARKERS,
        add_generation_prompt: bool = True,
        today: date | None = None,
        template_kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> Prompt:
        """See `Family.prompt`.

        Where the template refuses the conversation, system messages behind the first turn are the user's and nobody
        speaks twice in a row; where it refuses that, a system turn is the beginning of the user's.
        """
        day = today or date.today()  # noqa: DTZ011  the user's day

        def render(turns: list[dict[str, Any]], moved: tuple[int, ...]) -> Prompt:
            guard = Guard(markers, None, turns, template_kwargs)
            variables = {
                "messages": guard.over(turns),
                "add_generation_prompt": add_generation_prompt,
                "bos_token": self.bos_token,
                "eos_token": self.eos_token,
            }
            kwargs = guard.over(template_kwargs)
            prompt = guard.prompt(self.renderer(self.template, variables, today=day, template_kwargs=kwargs))
            return replace(prompt, moved=moved)

        refusal: TemplateFileError | None = None
        for turns, moved in self._forms(normalise_messages(messages, self.arguments_as), prepare_tools(tools)):
            try:
                return render(turns, moved)
            except TemplateFileError as error:
                log.debug("the template refuses this form of the conversation: %s", error)
                refusal = error
        assert refusal is not None, "there is one form at least"
        raise refusal

    def _forms(
        self, messages: list[dict[str, Any]], tools: PreparedTools | None
    ) -> Iterator[tuple[list[dict[str, Any]], tuple[int, ...]]]:
        """The turns as they are, and then as more templates take them; each with what was moved. None comes twice."""
        turns = self._plain_turns(messages, tools)
        yield turns, ()
        seated, moved = system_at_the_start(messages)
        alternating = joined_turns(self._plain_turns(seated, tools))
        if alternating != turns:
            yield alternating, moved
        merged = _without_system_turn(alternating)
        if merged != alternating:
            yield merged, moved

    def _plain_turns(self, messages: list[dict[str, Any]], tools: PreparedTools | None) -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = []
        if tools:
            turns.append({"role": "system", "content": self.asking.describe(tools)})
        for message in messages:
            role, text = self._plain(message)
            if turns and turns[-1]["role"] == role and role in ("system", "user"):
                turns[-1]["content"] += "\n\n" + text  # many templates insist on alternating turns
            else:
                turns.append({"role": role, "content": text})
        return turns

    def _plain(self, message: Mapping[str, Any]) -> tuple[str, str]:
        if message["role"] == "tool":
            return "user", f"Result of {message.get('name') or 'the call'}: {message['content']}"
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        said = self.asking.printed(calls) if calls else None
        return message["role"], "\n".join(filter(None, [message["content"], said]))


def _without_system_turn(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(turns) < 2 or turns[0]["role"] != "system" or turns[1]["role"] != "user":
        return turns
    first = {"role": "user", "content": turns[0]["content"] + "\n\n" + turns[1]["content"]}
    return [first, *turns[2:]]


_STOP = ("<|im_end|>", "<|endoftext|>")

GENERIC = GenericFamily(
    id="generic",
    title="any other model",
    template=template_source(__package__),
    output=OutputFormat(call=BareCall(separator=", "), stop=_STOP),
    arguments_as=ArgumentsAs.OBJECT,
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    example_model="HuggingFaceTB/SmolLM2-135M-Instruct",
)
GENERIC_LIST = replace(
    GENERIC,
    id="generic-list",
    title="any other model, calls as a JSON list",
    output=OutputFormat(call=CallArray(), stop=_STOP, scanner=PythonScanner, keeps_cut_calls=True),
    asking=LIST,
)
GENERIC_TAGGED = replace(
    GENERIC,
    id="generic-tagged",
    title="any other model, calls between tags",
    output=OutputFormat(call=WrappedCall("<tool_call>", "</tool_call>"), stop=_STOP),
    asking=TAGGED,
)
GENERIC_PYTHON = replace(
    GENERIC,
    id="generic-python",
    title="any other model, calls as Python writes them",
    output=OutputFormat(call=PythonCall(), stop=_STOP, keeps_cut_calls=True),
    asking=PYTHON,
    example_model="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
)
