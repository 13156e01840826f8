"""A request becomes the text of its prompt, by its family's template or the file's own.

Knows messages and templates; no token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chat_templates import NO_MARKERS, Family, Markers, Prompt, TemplateFileError, TemplateRequestError
from chat_templates.tools import PreparedTools
from server.chat.grammar import offered_tools
from server.chat.request import ChatRequest
from server.chat.thinking import template_variables
from server.errors import RequestError


class Render(Protocol):
    """Messages and tools as a prompt: `Family.prompt`, of the model's family or of its file's own template."""

    def __call__(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        markers: Markers,
        template_kwargs: Mapping[str, Any],
    ) -> Prompt:
        """The prompt. Raises `TemplateRequestError` and `TemplateFileError`."""
        ...


@dataclass(frozen=True, slots=True)
class MovedSystem:
    """A warning: system messages, these of the request's, are shown to the model as the user's."""

    indices: tuple[int, ...]

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        first, more = f"messages[{self.indices[0]}]", len(self.indices) - 1
        message = (
            f"{first} is shown to the model as the user's: its format has a place for a system message at the "
            f"beginning only.{f' So are {more} more of its kind.' if more else ''}"
        )
        return {"type": "system_moved", "path": first, "message": message}


def shown_tools(request: ChatRequest, family: Family) -> PreparedTools | None:
    """The tools that the model is shown, as its template reads them; None if there are none.

    Raises `RequestError` for tools that the family cannot take.
    """
    for i, tool in enumerate(request.tools):
        kind = tool.get("type", "function")
        if kind != "function" and kind not in family.pseudo_tools:
            raise RequestError(
                f"Tools of type {kind!r} are not understood by models of the family {family.id}.",
                param=f"tools[{i}].type",
            )
    try:
        return family.prepare_tools(offered_tools(request))
    except TemplateRequestError as error:
        raise RequestError(error.message, param=error.param) from error


def render_prompt(
    request: ChatRequest, tools: PreparedTools | None, family: Family, render: Render, markers: Markers = NO_MARKERS
) -> Prompt:
    """The prompt of a request for models of `family`, by its own template or the file's.

    `tools` are those that the model is shown. `markers` are the special tokens of the model's vocabulary, which are
    text where the caller wrote them. Raises `RequestError` for messages and conversations that the family or the
    template cannot take.
    """
    variables = template_variables(request, family)
    try:
        return render(request.messages, tools, markers=markers, template_kwargs=variables)
    except TemplateRequestError as error:
        raise RequestError(error.message, param=error.param) from error
    except TemplateFileError as error:
        raise RequestError(f"The model's chat template refuses this conversation. {error}", param="messages") from error
