"""Where a prompt stops being the same for every conversation: after the tools and the system messages.

Knows messages and a template; no token. It asks the template itself: two conversations that differ only in their first
user message share all that comes before it, whatever the family writes there and in which order.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, Any

from chat_templates import ChatTemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Messages = Sequence[Mapping[str, Any]]

REMEMBERED = 64
SYSTEM_ROLES = frozenset({"system", "developer"})


class StablePrefix:
    """Finds and remembers the prefix of (system messages, tools). Callable from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def of(
        self, messages: Messages, tools: Messages, variables: Mapping[str, Any], render: Callable[[Messages], str]
    ) -> str:
        """The text that every prompt with these system messages and tools begins with; "" if the template has none.

        `render` writes a conversation with these tools and these variables of the template.
        """
        opening = list(takewhile(lambda message: message.get("role") in SYSTEM_ROLES, messages))
        key = json.dumps([opening, list(tools), dict(variables)], default=str)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        text = _common_beginning(opening, render)
        with self._lock:
            self._known[key] = text
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return text


def _common_beginning(opening: Messages, render: Callable[[Messages], str]) -> str:
    try:
        probes = [render([*opening, {"role": "user", "content": content}]) for content in ("A", "b")]
    except ChatTemplateError:  # a template may refuse what is not the conversation at hand
        return ""
    one, other = probes
    n = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return one[:n]
