"""A wish for a thought, by the names under which the clients of several servers say it.

Knows names and values, no model: one that does not think has nothing to be kept from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from server.api.request.fields import Shape
from server.chat.request import Thinking

if TYPE_CHECKING:
    from server.api.request.ignored import IgnoredParameters
    from server.chat.request import Effort

EffortName = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Bound = Annotated[int, Field(ge=0)]

_NOTHING = "nothing of a thought is summarised, and all of it is told"


class Reasoning(Shape):
    """`reasoning` of the Responses API (`effort`) and of OpenRouter (all three). Other members have no effect."""

    model_config = ConfigDict(extra="allow")

    effort: EffortName | None = None
    enabled: bool | None = None
    max_tokens: Bound | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The members as the client sent them."""
        return self.model_dump(exclude_unset=True)

    def note_rest(self, ignored: IgnoredParameters) -> None:
        """Add the members without effect to `ignored`."""
        for name, value in (self.model_extra or {}).items():
            if value is not None:
                ignored.add(f"reasoning.{name}", _NOTHING)


class ThinkingSwitch(Shape):
    """`thinking` of Z.ai and of Anthropic, in a chat completion; true and false say its type."""

    model_config = ConfigDict(extra="allow")

    type: Literal["enabled", "disabled", "adaptive", "auto"] | None = None
    budget_tokens: Bound | None = None


def switched(value: Any) -> Any:
    """A `ThinkingSwitch`'s fields for true and false; anything else as it is."""
    return {"type": "enabled" if value else "disabled"} if isinstance(value, bool) else value


def read_thinking(*, effort: EffortName | None, max_tokens: int | None, switches: tuple[Any, ...] = ()) -> Thinking:
    """The wish: none where any of the `switches` is False, the effort is "none", or no token is left for it."""
    is_on = effort != "none" and max_tokens != 0 and not any(switch is False for switch in switches)
    hard: Effort | None = None if effort == "none" else effort
    return Thinking(is_on, hard, max_tokens) if is_on else Thinking(is_on=False)
