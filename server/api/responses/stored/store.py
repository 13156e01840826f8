"""Responses and conversations that are kept: one file of SQLite, bounded by size and by age.

Knows SQL and JSON, no HTTP and no event loop: every method blocks, from any thread. The laws: nobody reads another
owner's; what was dropped is missing, never shortened: a chain or a conversation is there as a whole or not at all.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

BUSY_S = 5.0
"""How long one process waits for another that writes to the same file."""

_AT_ONCE = 16  # turns that are dropped together when the file is full

_TABLES = """
CREATE TABLE IF NOT EXISTS turns (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, previous TEXT,
    conversation TEXT, created REAL NOT NULL, input TEXT NOT NULL, response TEXT
);
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL, metadata TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS turns_by_conversation ON turns (conversation, n);
CREATE INDEX IF NOT EXISTS turns_by_age ON turns (created);
"""

_CHAIN = """
WITH RECURSIVE chain (depth, n, id, previous, conversation, created, input, response) AS (
    SELECT 0, n, id, previous, conversation, created, input, response FROM turns WHERE id = ? AND owner = ?
    UNION ALL
    SELECT depth + 1, turns.n, turns.id, turns.previous, turns.conversation, turns.created, turns.input, turns.response
    FROM turns JOIN chain ON turns.id = chain.previous WHERE turns.owner = ?
)
SELECT n, id, previous, conversation, created, input, response FROM chain ORDER BY depth DESC
"""

_COLUMNS = "n, id, previous, conversation, created, input, response"


class StoreError(EngineError):
    """The file of stored responses cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked and answered at once. A turn without a response is items that a client put in a conversation.

    `input` are the items of the request itself, not those before it. `n` grows with every turn that is stored.
    """

    id: str
    input: Sequence[Mapping[str, Any]]
    response: Mapping[str, Any] | None = None
    previous: str | None = None
    conversation: str | None = None
    created: float = 0.0
    n: int = 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """A name under which turns follow each other. `created` is in seconds since 1970."""

    id: str
    created: float
    metadata: Mapping[str, str] = field(default_factory=dict)


class ResponseStore:
    """Turns and conversations by their owners.

    The file takes at most about `max_bytes` (the newest turn is always kept); what is older than `max_age_s` seconds
    is not there any more (0: never). `now` gives seconds since 1970.
    """

    def __init__(
        self, path: Path, *, max_bytes: int, max_age_s: float = 0.0, now: Callable[[], float] = time.time
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._now = now
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # prompts are their owner's alone
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {path}: {error}") from error

    def close(self) -> None:
        """Close the file. Nothing may be asked any more."""
        with self._lock:
            self._db.close()

    def add(self, owner: str, turn: Turn) -> None:
        """Keep a turn; what is too old, and the oldest if there is no room, is dropped. Raises `StoreError`."""
        response = None if turn.response is None else _text(turn.response)
        now = self._now()
        row = (turn.id, owner, turn.previous, turn.conversation, now, _text(turn.input), response)
        with self._transaction() as db:
            db.execute(
                "INSERT INTO turns (id, owner, previous, conversation, created, input, response) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            if turn.conversation is not None:
                used = "UPDATE conversations SET used = ? WHERE id = ? AND owner = ?"
                if not db.execute(used, (now, turn.conversation, owner)).rowcount:
                    raise StoreError(f"the conversation {turn.conversation!r} has ended meanwhile")
            self._drop_old(db, now)
            self._make_room(db)
        with self._reading() as db:
            db.execute("PRAGMA incremental_vacuum").fetchall()

    def get(self, owner: str, response_id: str) -> Turn | None:
        """A turn by its response's id, None if it is not there or another's. Raises `StoreError`."""
        with self._reading() as db:
            query = f"SELECT {_COLUMNS} FROM turns WHERE id = ? AND owner = ? AND created >= ?"  # noqa: S608 -- names of ours
            return _turn(db.execute(query, (response_id, owner, self._oldest())).fetchone())

    def delete(self, owner: str, response_id: str) -> bool:
        """Drop a turn; whether it was there. Raises `StoreError`."""
        with self._transaction() as db:
            return db.execute("DELETE FROM turns WHERE id = ? AND owner = ?", (response_id, owner)).rowcount > 0

    def chain(self, owner: str, response_id: str) -> list[Turn] | None:
        """A turn and all that it goes on from, oldest first; None if any of them is not there. Raises `StoreError`."""
        with self._reading() as db:
            rows = db.execute(_CHAIN, (response_id, owner, owner)).fetchall()
            turns = [turn for row in rows if (turn := _turn(row)) is not None]
            if not turns or turns[0].previous is not None or turns[0].created < self._oldest():
                return None
            first = turns[0]
            if first.conversation is None:
                return turns
            return [turn for turn in _turns_of(db, owner, first.conversation) if turn.n < first.n] + turns

    def begin(self, owner: str, conversation: Conversation) -> None:
        """Keep a new conversation. Raises `StoreError`."""
        now = self._now()
        row = (conversation.id, owner, now, now, _text(conversation.metadata))
        with self._transaction() as db:
            db.execute("INSERT INTO conversations (id, owner, created, used, metadata) VALUES (?, ?, ?, ?, ?)", row)

    def conversation(self, owner: str, conversation_id: str) -> tuple[Conversation, list[Turn]] | None:
        """A conversation with its turns, oldest first; None if it is not there or another's. Raises `StoreError`."""
        with self._reading() as db:
            row = db.execute(
                "SELECT id, created, metadata FROM conversations WHERE id = ? AND owner = ? AND used >= ?",
                (conversation_id, owner, self._oldest()),
            ).fetchone()
            if row is None:
                return None
            return Conversation(row[0], row[1], json.loads(row[2])), _turns_of(db, owner, conversation_id)

    def end(self, owner: str, conversation_id: str) -> bool:
        """Drop a conversation and its turns; whether it was there. Raises `StoreError`."""
        with self._transaction() as db:
            ended = db.execute("DELETE FROM conversations WHERE id = ? AND owner = ?", (conversation_id, owner))
            if ended.rowcount:
                db.execute("DELETE FROM turns WHERE conversation = ? AND owner = ?", (conversation_id, owner))
            return ended.rowcount > 0

    def used_bytes(self) -> int:
        """How much of the file is in use."""
        with self._reading() as db:
            return _used(db)

    def _oldest(self) -> float:
        return self._now() - self._max_age_s if self._max_age_s else 0.0

    def _drop_old(self, db: sqlite3.Connection, now: float) -> None:
        if not self._max_age_s:
            return
        before = (now - self._max_age_s,)
        db.execute("DELETE FROM turns WHERE conversation IS NULL AND created < ?", before)
        db.execute("DELETE FROM turns WHERE conversation IN (SELECT id FROM conversations WHERE used < ?)", before)
        db.execute("DELETE FROM conversations WHERE used < ?", before)

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Drop the oldest turns, each with the whole of its conversation, until the file is small enough."""
        newest = db.execute("SELECT max(n) FROM turns").fetchone()[0]
        while _used(db) > self._max_bytes:
            old = db.execute("SELECT n, conversation FROM turns WHERE n < ? ORDER BY n LIMIT ?", (newest, _AT_ONCE))
            rows = old.fetchall()
            if not rows:
                return
            for n, conversation in rows:
                db.execute("DELETE FROM turns WHERE n = ?", (n,))
                if conversation is not None:
                    db.execute("DELETE FROM turns WHERE conversation = ?", (conversation,))
                    db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise StoreError(f"the stored responses cannot be reached: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _turns_of(db: sqlite3.Connection, owner: str, conversation: str) -> list[Turn]:
    query = f"SELECT {_COLUMNS} FROM turns WHERE conversation = ? AND owner = ? ORDER BY n"  # noqa: S608 -- names of ours
    return [turn for row in db.execute(query, (conversation, owner)) if (turn := _turn(row)) is not None]


def _turn(row: Any) -> Turn | None:
    if row is None:
        return None
    n, turn_id, previous, conversation, created, given, response = row
    answered = None if response is None else json.loads(response)
    return Turn(turn_id, json.loads(given), answered, previous, conversation, created, n)


def _used(db: sqlite3.Connection) -> int:
    with closing(
        db.execute(
            "SELECT page_count - freelist_count, page_size FROM "
            "pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
    ) as found:
        n_pages, page_bytes = found.fetchone()
    return int(n_pages * page_bytes)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
