"""The routes of conversations: names under which responses follow each other.

What is said in one is stored as turns; see `server.api.responses.stored.store`. Without a store there are none.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.http.body import read_object
from server.api.request.fields import Shape, validated
from server.api.request.ignored import IgnoredParameters
from server.api.request.terms import owner_of
from server.api.responses.head import new_id
from server.api.responses.items import read_items
from server.api.responses.stored.history import History, input_of, output_of
from server.api.responses.stored.listing import listing, read_paging
from server.api.responses.stored.store import Conversation, ResponseStore, Turn
from server.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConversationBody(Shape):
    """What a conversation begins with."""

    items: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None


class ItemsBody(Shape):
    """Items for a conversation. `include` asks for nothing here: what is stored is told whole."""

    items: list[dict[str, Any]]
    include: list[str] | None = None


@dataclass(frozen=True, slots=True)
class ConversationsEndpoints:
    """Begins, tells, goes on with and ends conversations."""

    store: ResponseStore | None
    max_body_bytes: int

    async def create(self, request: Request) -> Response:
        """POST /v1/conversations: a new one, with items in it if the body has some."""
        store = self._require()
        wanted = validated(ConversationBody, await read_object(request, self.max_body_bytes))
        owner = owner_of(request)
        items = await self._read(owner, wanted.items or (), ())
        conversation = Conversation(new_id("conv"), int(time.time()), wanted.metadata or {})
        await asyncio.to_thread(store.begin, owner, conversation)
        if items:
            await self._add(owner, conversation.id, items)
        return JSONResponse(_shown(conversation))

    async def retrieve(self, request: Request) -> Response:
        """GET /v1/conversations/{id}."""
        conversation, _ = await self._found(request)
        return JSONResponse(_shown(conversation))

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/conversations/{id}: it and its responses are not stored any more."""
        conversation, _ = await self._found(request)
        await asyncio.to_thread(self._require().end, owner_of(request), conversation.id)
        return JSONResponse({"id": conversation.id, "object": "conversation.deleted", "deleted": True})

    async def items(self, request: Request) -> Response:
        """GET /v1/conversations/{id}/items: all that was said in it, page by page."""
        paging = read_paging(request.query_params)
        _, turns = await self._found(request)
        return JSONResponse(listing(_items(turns), paging))

    async def add(self, request: Request) -> Response:
        """POST /v1/conversations/{id}/items: items that no response was asked for."""
        wanted = validated(ItemsBody, await read_object(request, self.max_body_bytes))
        conversation, turns = await self._found(request)
        owner = owner_of(request)
        items = await self._read(owner, wanted.items, turns)
        if not items:
            raise RequestError("items is empty; send at least one.", param="items", code="invalid_value")
        turn = await self._add(owner, conversation.id, items)
        shown = input_of(turn)
        ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]}
        return JSONResponse({"object": "list", "data": shown, **ends, "has_more": False})

    async def _read(self, owner: str, items: Sequence[dict[str, Any]], turns: Sequence[Turn]) -> list[dict[str, Any]]:
        """The items with references replaced, checked after what was said before. Raises `RequestError`."""
        history = History(self.store, owner)
        own = [await history.resolved(item, f"items[{i}]") for i, item in enumerate(items)]
        before = [("conversation", item) for item in _items(turns)]
        read_items([*before, *((f"items[{i}]", item) for i, item in enumerate(own))], IgnoredParameters())
        return own

    async def _add(self, owner: str, conversation_id: str, items: list[dict[str, Any]]) -> Turn:
        turn = Turn(new_id("resp"), items, conversation=conversation_id)
        await asyncio.to_thread(self._require().add, owner, turn)
        return turn

    async def _found(self, request: Request) -> tuple[Conversation, list[Turn]]:
        """The conversation that the path names, with its turns. Raises `NotFoundError`."""
        conversation_id = request.path_params["conversation_id"]
        found = await asyncio.to_thread(self._require().conversation, owner_of(request), conversation_id)
        if found is None:
            raise NotFoundError(
                f"There is no conversation {conversation_id!r}.", param="conversation_id", code="conversation_not_found"
            )
        return found

    def _require(self) -> ResponseStore:
        if self.store is None:
            raise RequestError(
                "Conversations are stored, and this server stores nothing: it was started with --store 0.",
                param="conversation",
                code="unsupported_parameter",
            )
        return self.store


def _items(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    return [item for turn in turns for item in (*input_of(turn), *output_of(turn))]


def _shown(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created),
        "metadata": dict(conversation.metadata),
    }
