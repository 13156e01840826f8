"""What reads the events of an answer before they are told, and why it does not let some be.

Knows a parser's events; no token. The law: an event passes once and in its order, whole or without an
argument that is left out, or the generation is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from chat_templates import Event
from server.chat.decisions.record import LowConfidence


@dataclass(frozen=True, slots=True)
class RepeatedCall:
    """A warning: the answer would have made a call again that has its result."""

    tool: str

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            f"The model called {self.tool!r} again, which had answered that call or failed too often; it was not made. "
            f"Start the server with --repeat-calls allow to let it."
        )
        return {"type": "repeated_call", "tool": self.tool, "message": message}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A warning: the answer would have been nothing, or a result as it came."""

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            "After a result the model printed the result, a call of no tool, or nothing; it was held to text. "
            "Start the server with --repeat-calls allow to let it."
        )
        return {"type": "no_answer", "message": message}


@dataclass(frozen=True, slots=True)
class UngroundedCall:
    """A warning: the answer would have called a tool with values of which the conversation has no word."""

    tool: str

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            f"The model called {self.tool!r} with arguments that are nowhere in the conversation; that call was not "
            f"made. Start the server with --ungrounded-calls allow to let it."
        )
        return {"type": "ungrounded_call", "tool": self.tool, "message": message}


@dataclass(frozen=True, slots=True)
class UnaskedCall:
    """One more call that the question does not ask for. The answer ends without it; nobody needs to be told."""

    tool: str


Refusal = RepeatedCall | NoAnswer | UngroundedCall | UnaskedCall | LowConfidence


class Guard(Protocol):
    """What reads the events of an answer before they are told."""

    def admit(self, event: Event) -> list[Event] | Refusal:
        """The events that may be told now, none while they are held; or why a call is not to be made."""
        ...

    def cut(self) -> list[Event] | Refusal:
        """What is held back where a limit cut the answer; or why a call is not to be made."""
        ...

    def end(self) -> list[Event] | Refusal:
        """What is held back where the model ended its answer; or why the answer is none."""
        ...
