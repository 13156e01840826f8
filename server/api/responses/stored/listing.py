"""Lists of items, page by page, as OpenAI's clients read them.

Pure: items and what was asked of the list in, JSON values out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.api.request.fields import invalid, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_LIMIT = 20  # OpenAI's, and so is the greatest
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Paging:
    """At most `limit` items after the one with the id `after`, newest first unless `order` is "asc"."""

    limit: int = DEFAULT_LIMIT
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


def read_paging(query: Mapping[str, str]) -> Paging:
    """What a query asks of a list. Raises `RequestError`."""
    for name in query:
        if name not in {"limit", "order", "after", "include", "include[]"}:
            raise unknown(name)
    limit, order = query.get("limit", str(DEFAULT_LIMIT)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 4 and 1 <= int(limit) <= MAX_LIMIT):
        raise invalid("limit", f"{limit!r} is no number from 1 to {MAX_LIMIT}")
    if order not in ("asc", "desc"):
        raise invalid("order", f"{order!r} is none of: asc, desc")
    return Paging(int(limit), "asc" if order == "asc" else "desc", query.get("after"))


def listing(items: Sequence[Mapping[str, Any]], paging: Paging) -> dict[str, Any]:
    """One page of items, which are given oldest first. Raises `RequestError` if `after` is none of them."""
    ordered = list(items) if paging.order == "asc" else list(reversed(items))
    if paging.after is not None:
        ids = [item["id"] for item in ordered]
        if paging.after not in ids:
            raise invalid("after", f"{paging.after!r} is none of the list")
        ordered = ordered[ids.index(paging.after) + 1 :]
    page = ordered[: paging.limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(ordered) > len(page),
    }
