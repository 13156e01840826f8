"""Optional arguments that are copied from the declaration of their tool are left out of calls.

Knows a parser's events and JSON text; no token. The law: what is told is the same call, character by character, without
some optional members, and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates import Event, ToolCallArguments, ToolCallEnd, ToolCallStart
from chat_templates.readers.json_scanner import JsonScanner, Scan
from server.chat.evidence.declaration import Declaration
from server.chat.evidence.words import share_mentioned

MAX_SHARE_SAID = 0.5  # of a copy's words: with more the conversation speaks for it


@dataclass(frozen=True, slots=True)
class CopiedArgument:
    """A warning: an optional argument was a copy of what its tool's declaration says, and was left out."""

    tool: str
    argument: str

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            f"The model copied the optional argument {self.argument!r} of {self.tool!r} from the tool's own "
            f"declaration; it was left out. Start the server with --copied-arguments allow to have it told."
        )
        return {"type": "copied_argument", "tool": self.tool, "argument": self.argument, "message": message}


class _Arguments:
    """The arguments of one call as they are read: what is told of them, and the member that is held back.

    `is_dropped` says of a member that is whole whether it is left out.
    """

    def __init__(self, declaration: Declaration, is_dropped: Callable[[str, Any], bool]) -> None:
        self._declaration = declaration
        self._is_dropped = is_dropped
        self._scanner = JsonScanner()
        self._held: str | None = None  # the member so far, and the comma before it; None while it is told
        self._key: str | None = None
        self._value_at = 0  # in what is held
        self._has_told = False  # a member
        self._is_over = False  # what follows, or is no JSON, is told as it is

    def read(self, text: str) -> str:
        """What is told now, given this much more of the arguments."""
        told = "".join(map(self._push, text))
        return told + self.flush() if self._is_candidate and not self._may_be_dropped else told

    def flush(self) -> str:
        """What is held back of a member, with the comma before it; the member is told from here on."""
        held, self._held = self._held or "", None
        if not self._has_told and held.startswith(","):
            held = held[1:].lstrip()
        self._has_told = self._has_told or bool(held)
        return held

    @property
    def _is_candidate(self) -> bool:
        return self._held is not None and self._key is not None

    @property
    def _may_be_dropped(self) -> bool:
        return self._is_candidate and self._declaration.may_be_copied(self._key or "", self._value)

    @property
    def _value(self) -> str:
        return (self._held or "")[self._value_at :]

    def _push(self, c: str) -> str:
        if self._is_over:
            return c
        depth, in_string = self._scanner.depth, self._scanner.in_string
        scan = self._scanner.push(c)
        self._is_over = scan in (Scan.DONE, Scan.INVALID)
        if scan is Scan.INVALID:
            return self.flush() + c
        if depth == 0:
            self._held = ""
            return c
        if depth == 1 and not in_string:
            if c == "," or scan is Scan.DONE:
                return self._end() + self._begin(c)
            if c == ":":
                return self._name()
        return self._keep(c)

    def _keep(self, c: str) -> str:
        if self._held is None:
            return c
        self._held += c
        return ""

    def _name(self) -> str:
        """The key of a member is whole, and a colon is read."""
        if self._held is None:
            return ":"
        self._key = json.loads(self._held.removeprefix(","), strict=False)
        self._held += ":"
        self._value_at = len(self._held)
        return "" if self._declaration.offers(self._key or "") else self.flush()

    def _end(self) -> str:
        """What is told of a member that is whole."""
        # What may not be one is not decoded: a value of any depth would be.
        if self._may_be_dropped and self._is_dropped(self._key or "", json.loads(self._value, strict=False)):
            self._held = None
        return self.flush()

    def _begin(self, c: str) -> str:
        """What is told of the comma before a member, or of the brace after the last."""
        if c != ",":
            return c
        self._held, self._key = ",", None
        return ""


class CopiedArguments:
    """A guard that leaves optional arguments out which are copies. `said` is what the conversation says, casefolded.

    Everything else passes as it comes; a member that may become a copy is held back until it is none. Refuses nothing.
    """

    def __init__(self, functions: Sequence[Mapping[str, Any]], said: Callable[[], str]) -> None:
        self._functions = {function["name"]: function for function in functions}
        self._declarations: dict[str, Declaration] = {}
        self._said = said
        self._call: _Arguments | None = None
        self._index = 0
        self._warnings: list[CopiedArgument] = []

    @property
    def warnings(self) -> tuple[CopiedArgument, ...]:
        """One for each argument of a tool that was left out."""
        return tuple(dict.fromkeys(self._warnings))

    def admit(self, event: Event) -> list[Event]:
        """See `Guard.admit`."""
        match event:
            case ToolCallStart(index, name):
                self._index, self._call = index, self._begun(name)
            case ToolCallArguments(text=text) if self._call is not None:
                return self._told(self._call.read(text))
            case ToolCallEnd():
                return [*self.end(), event]
        return [event]

    def begin(self) -> None:
        """Forget what is held back: another generation begins."""
        self._call = None

    def cut(self) -> list[Event]:
        """See `Guard.cut`: what a limit cut is told as it is."""
        return self.end()

    def end(self) -> list[Event]:
        """See `Guard.end`."""
        call, self._call = self._call, None
        return [] if call is None else self._told(call.flush())

    def _told(self, text: str) -> list[Event]:
        return [ToolCallArguments(self._index, text)] if text else []

    def _begun(self, tool: str) -> _Arguments | None:
        """What reads the arguments of a call of this tool; None if nothing of them can be a copy."""
        if tool not in self._declarations:
            self._declarations[tool] = Declaration(self._functions.get(tool, {}))
        declaration = self._declarations[tool]

        def is_dropped(argument: str, value: Any) -> bool:
            # Nobody says a schema in so many words.
            is_dropped = declaration.is_copy(argument, value) and (isinstance(value, dict) or not self._is_said(value))
            if is_dropped:
                self._warnings.append(CopiedArgument(tool, argument))
            return is_dropped

        return _Arguments(declaration, is_dropped) if declaration else None

    def _is_said(self, value: Any) -> bool:
        return share_mentioned(self._said(), value) > MAX_SHARE_SAID
