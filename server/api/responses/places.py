"""Where in a Responses body the messages and tools of a `ChatRequest` came from.

Pure: paths in, paths out. The law: whatever refuses a request or warns about it names the place that the client wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.errors import ContextLengthError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOL = re.compile(r"\btools\[(\d+)\](?:\.function)?")
_MESSAGE = re.compile(r"\bmessages\[(\d+)\](?:\.tool_calls\[(\d+)\](?:\.function)?)?")
_FORMAT = re.compile(r"\bresponse_format(?:\.json_schema)?\b")
_WHOLE = {"messages": "input", "max_tokens": "max_output_tokens"}


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Where one message stood: its own place, and those of its calls, which are items of their own."""

    at: str
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a request's messages and tools, in their order."""

    messages: tuple[MessagePlace, ...] = ()
    tools: tuple[str, ...] = ()

    def here(self, text: str) -> str:
        """A text in which every path of a chat request is the one of this dialect."""
        text = _TOOL.sub(lambda found: _at(self.tools, found[1]) or found[0], text)
        text = _MESSAGE.sub(self._message, text)
        return _FORMAT.sub("text.format", text)

    def refusal(self, error: RequestError) -> RequestError:
        """The same refusal with this dialect's places."""
        if isinstance(error, ContextLengthError):
            return too_long(error)
        param = error.param and _WHOLE.get(error.param, self.here(error.param))
        return RequestError(self.here(error.message), param=param, code=error.code)

    def warning(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The same warning likewise."""
        told = ("path", "param", "message")
        return {name: self.here(value) if name in told else value for name, value in fields.items()}

    def _message(self, found: re.Match[str]) -> str:
        i = int(found[1])
        if i >= len(self.messages):
            return found[0]
        place = self.messages[i]
        return place.at if found[2] is None else _at(place.calls, found[2]) or place.at


def too_long(error: ContextLengthError) -> RequestError:
    """The refusal of a prompt that does not fit, with the size of a context that it fits with room for an answer."""
    size = 1 << (error.n_prompt * 5 // 4 - 1).bit_length()
    return RequestError(
        f"This model's maximum context length is {error.n_ctx} tokens, but {error.n_prompt} are taken by the "
        f"instructions, input and tools. Send less, or start the server with --ctx-size {size}.",
        param="input",
        code=error.code,
    )


def _at(places: tuple[str, ...], index: str) -> str | None:
    return places[int(index)] if int(index) < len(places) else None
