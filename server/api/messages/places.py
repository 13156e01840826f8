"""Where things stand in a client's body, though the chat service was asked with other words.

Knows the paths of both; no message and no tool. The law: a refusal and a warning name the place as its client wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.chat.schemas.enforced import RESPONSE_PATH
from server.errors import RequestError

_MESSAGE = re.compile(r"messages\[(\d+)\](?:\.content(?:\[\d+\])?)?")
_PARAMETERS = re.compile(r"tools\[(\d+)\](?:\.function(\.parameters)?)?")


@dataclass(frozen=True, slots=True)
class Places:
    """The client's places of the messages and of the tools of a `ChatRequest`, in their order."""

    messages: tuple[str, ...]
    tools: tuple[str, ...]
    response_format: str = "output_config.format.schema"

    def told(self, text: str) -> str:
        """A text with the places in it as the client wrote them."""
        text = _MESSAGE.sub(lambda found: self._of(self.messages, found), text)
        text = _PARAMETERS.sub(self._tool, text)
        return text.replace(RESPONSE_PATH, self.response_format)

    def refusal(self, error: RequestError) -> RequestError:
        """A refusal of the chat service, in the client's words."""
        if error.param is None or type(error) is not RequestError:
            return error
        return RequestError(self.told(error.message), param=self.told(error.param), code=error.code)

    def _tool(self, found: re.Match[str]) -> str:
        return self._of(self.tools, found) + (".input_schema" if found[2] else "")

    @staticmethod
    def _of(places: tuple[str, ...], found: re.Match[str]) -> str:
        i = int(found[1])
        return places[i] if i < len(places) else found[0]
