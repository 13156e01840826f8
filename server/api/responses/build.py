"""Deltas become a response, event by event. A whole response is what the same events end with.

Pure but for the clock that it is given. The law: each item begins, grows and ends before the next one begins; the last
event has the whole response, which is the fold of all before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.answer.logprobs import token_logprobs
from server.api.responses.head import ResponseHead, usage
from server.api.responses.output import CallItem, Event, OpenItem, message, thought

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.api.http.errors import Failure
    from server.chat.request import ChatDelta, ToolCallDelta

_OURS = frozenset({None, "internal_error", "engine_failed"})
"""Codes of failures that this dialect calls "server_error"."""


class ResponseBuilder:
    """Makes one response of the deltas of an answer. `now` gives seconds since 1970.

    White space in front of the first word of a message is held until the word comes, and dropped if none does.
    """

    def __init__(self, head: ResponseHead, now: Callable[[], float]) -> None:
        self._head = head
        self._now = now
        self._output: list[dict[str, Any]] = []
        self._open: OpenItem | None = None
        self._open_kind: object = None  # "message", "thought", or the index of a call
        self._held = ""
        self._held_logprobs: list[dict[str, Any]] = []
        self._end: dict[str, Any] | None = None

    @property
    def response(self) -> dict[str, Any] | None:
        """The response when it has ended, None before."""
        return self._end

    def begin(self) -> list[Event]:
        """What is sent before anything is generated."""
        return [{"type": "response.created", "response": self._head.response("in_progress")}, self.silence()]

    def silence(self) -> Event:
        """What is sent when nothing comes: clients take it as often as it comes."""
        return {"type": "response.in_progress", "response": self._head.response("in_progress")}

    def add(self, delta: ChatDelta) -> list[Event]:
        """The events of one more delta; those of the last one end with the response."""
        if delta.finish_reason is not None:
            return self._finish(delta)
        if delta.content is not None:
            return self._say(delta.content, self._logprobs(delta))
        if delta.reasoning:
            return [*self._begin("thought"), *self._grow(delta.reasoning)]
        return [] if delta.tool_call is None else self._call(delta.tool_call)

    def fail(self, failure: Failure) -> list[Event]:
        """What is sent in place of the rest when the answer fails."""
        code = "server_error" if failure.code in _OURS else failure.code
        told = {"code": code, "message": failure.message}
        response = self._head.response("failed", self._so_far(), error=told)
        error = {"type": "error", **told, "param": failure.param}
        return [error, {"type": "response.failed", "response": response}]

    def not_stored(self, reason: str) -> Event:
        """The last event again, of a response that could not be kept."""
        assert self._end is not None, "only a response that has ended is stored"
        warning = {"type": "not_stored", "message": reason}
        self._end = {**self._end, "store": False, "warnings": [*self._end.get("warnings", ()), warning]}
        return self._last()

    def _say(self, text: str, logprobs: Sequence[dict[str, Any]]) -> list[Event]:
        if self._open_kind != "message":
            self._held += text
            self._held_logprobs += logprobs
            if not self._held.strip():
                return []
            text, logprobs = self._held, self._held_logprobs
        return [*self._begin("message"), *self._grow(text, logprobs)]

    def _logprobs(self, delta: ChatDelta) -> list[dict[str, Any]]:
        n_top = self._head.wanted.n_top
        return [] if n_top is None else token_logprobs(delta.tokens, n_top)

    def _call(self, delta: ToolCallDelta) -> list[Event]:
        events: list[Event] = []
        if delta.name is not None:
            assert delta.id is not None, "a call's first delta has its id and its name"
            head = self._head
            item = CallItem(head.tools.offered.get(delta.name), delta.name, delta.id, head.id, self._next_index())
            events += self._begin(delta.index, item)
        return events + (self._grow(delta.arguments) if delta.arguments else [])

    def _begin(self, kind: object, item: OpenItem | None = None) -> list[Event]:
        """Begin an item unless it is the one that is open; end that first."""
        if kind == self._open_kind:
            return []
        index = self._next_index()
        ended = self._close("completed")
        make = message if kind == "message" else thought
        self._open, self._open_kind = item or make(self._head.id, index), kind
        self._held, self._held_logprobs = "", []
        return [*ended, *self._open.begin()]

    def _grow(self, piece: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        assert self._open is not None, "a piece belongs to an item"
        return self._open.add(piece, logprobs)

    def _close(self, status: str) -> list[Event]:
        if self._open is None:
            return []
        events = self._open.end(status)
        self._output.append(self._open.item)
        self._open = self._open_kind = None
        return events

    def _next_index(self) -> int:
        return len(self._output) + (self._open is not None)

    def _so_far(self) -> list[dict[str, Any]]:
        return self._output if self._open is None else [*self._output, self._open.item]

    def _finish(self, delta: ChatDelta) -> list[Event]:
        assert delta.usage is not None, "the end has the usage"
        is_cut = delta.finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        events: list[Event] = []
        said = {item["type"] for item in self._so_far()}
        if said <= {"reasoning"} and not (is_cut and self._open_kind == "thought"):
            events += self._begin("message")  # an answer of nothing is an empty message
        late = self._logprobs(delta)
        if late and self._open_kind == "message":  # of tokens that were evaluated and had no text of their own
            events += self._grow("", late)
        events += self._close(status)
        told: dict[str, Any] = {"usage": usage(delta.usage)}
        if is_cut:
            told["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            told["completed_at"] = int(self._now())
        # What was left out is named by its place in the body already.
        warnings = [warning.fields() for warning in self._head.ignored]
        warnings += [self._head.places.warning(warning.fields()) for warning in delta.warnings]
        if warnings:
            told["warnings"] = warnings
        if delta.decisions is not None:
            told["decisions"] = delta.decisions.fields()
        self._end = self._head.response(status, self._output, **told)
        return [*events, self._last()]

    def _last(self) -> Event:
        assert self._end is not None, "the response has ended"
        return {"type": f"response.{self._end['status']}", "response": self._end}
