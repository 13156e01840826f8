"""What came before a request: items of stored responses and conversations, and references to them, made items again.

Knows the store, and asks it in a thread. The law: what a request goes on from is found whole, or the request is
refused by the field that names it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.request.fields import text
from server.api.responses.head import item_id, place_of
from server.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.api.responses.items import Placed
    from server.api.responses.schemas import ResponsesRequest
    from server.api.responses.stored.store import ResponseStore, Turn


@dataclass(frozen=True, slots=True)
class Given:
    """The items of a request: its `own`, references replaced, and all of the conversation with their places."""

    own: list[dict[str, Any]]
    placed: list[Placed]


@dataclass(frozen=True, slots=True)
class History:
    """What one owner's requests can go on from. Without a store that is nothing."""

    store: ResponseStore | None
    owner: str

    async def given(self, wanted: ResponsesRequest) -> Given:
        """The items of a request and of what it goes on from.

        Raises `RequestError`, or `NotFoundError` for what is not stored.
        """
        before = await self._before(wanted)
        if isinstance(wanted.input, str):
            own = [{"type": "message", "role": "user", "content": wanted.input}]
            return Given(own, [*before, ("input", own[0])])
        own = [await self.resolved(item, f"input[{i}]") for i, item in enumerate(wanted.input or ())]
        return Given(own, [*before, *((f"input[{i}]", item) for i, item in enumerate(own))])

    async def _before(self, wanted: ResponsesRequest) -> list[Placed]:
        if wanted.previous_response_id is not None:
            store = self._require("previous_response_id")
            turns = await asyncio.to_thread(store.chain, self.owner, wanted.previous_response_id)
            if turns is None:
                raise NotFoundError(
                    f"The response {wanted.previous_response_id!r}, or one that it went on from, is not stored here. "
                    f"Send the whole conversation as input.",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
            return _placed(turns, "previous_response_id")
        if wanted.conversation_id is not None:
            store = self._require("conversation")
            found = await asyncio.to_thread(store.conversation, self.owner, wanted.conversation_id)
            if found is None:
                raise NotFoundError(
                    f"There is no conversation {wanted.conversation_id!r}; begin one with POST /v1/conversations.",
                    param="conversation",
                    code="conversation_not_found",
                )
            return _placed(found[1], "conversation")
        return []

    async def resolved(self, item: dict[str, Any], at: str) -> dict[str, Any]:
        """An item, or the one that a reference refers to. Raises `RequestError`."""
        if not _is_reference(item):
            return item
        store = self._require(at)
        wanted = text(item, "id", at)
        place = place_of(wanted)
        if place is not None:
            owner_id, is_input, i = place
            turn = await asyncio.to_thread(store.get, self.owner, f"resp_{owner_id}")
            items = [] if turn is None else input_of(turn) if is_input else output_of(turn)
            if i < len(items) and items[i]["id"] == wanted:
                return items[i]
        raise RequestError(
            f"Invalid {at}.id: there is no stored item {wanted!r}. Send the item itself.",
            param=f"{at}.id",
            code="item_not_found",
        )

    def _require(self, param: str) -> ResponseStore:
        if self.store is None:
            raise RequestError(
                f"{param} refers to what is stored, and this server stores nothing; send the whole conversation as "
                f"input, or start the server without --store 0.",
                param=param,
                code="unsupported_parameter",
            )
        return self.store


def input_of(turn: Turn) -> list[dict[str, Any]]:
    """The items of a stored request as lists show them: with ids, contents as parts."""
    return [_shown(item, turn.id, i) for i, item in enumerate(turn.input)]


def output_of(turn: Turn) -> list[dict[str, Any]]:
    """The items of a stored answer."""
    return [] if turn.response is None else list(turn.response["output"])


def _shown(item: Mapping[str, Any], turn_id: str, i: int) -> dict[str, Any]:
    kind = item.get("type") or "message"
    shown = {**item, "type": kind, "id": item.get("id") or item_id(kind, turn_id, i, is_input=True)}
    shown.setdefault("status", "completed")
    if kind == "message" and isinstance(item.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        extra: dict[str, Any] = {"annotations": []} if part == "output_text" else {}
        shown["content"] = [{"type": part, "text": item["content"], **extra}]
    return shown


def _is_reference(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "item_reference" or (item.get("type") is None and set(item) - {"type"} == {"id"})


def _placed(turns: Sequence[Turn], at: str) -> list[Placed]:
    return [(at, item) for turn in turns for item in (*turn.input, *output_of(turn))]
