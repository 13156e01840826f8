"""Prefixes that outlive memory: the states of tools and system prompts, in RAM and on disk.

Knows tokens and opaque states of a context; no model and no request. The engine's thread asks and gives; one thread of
the store's own reads, hashes and writes files. The law: a state goes back only into what it came from. Every file says
which model, types of keys and values, and build of llama.cpp it belongs to (`identity`), and carries a checksum;
whatever does not fit is ignored with a warning. Files are complete or absent (written aside, then renamed), and few:
the least recently used go.

Layout of a file, little-endian: MAGIC, u32 version, u32 bytes of the header, the header (JSON: identity, n_tokens,
n_state, sha256, cache_key), the token ids (int32 each), the state. The checksum covers tokens and state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import struct
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from server.engine.kv_cache.prefix_tree import common_prefix
from server.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

MAGIC = b"FGPREFIX"
VERSION = 1
SUFFIX = ".prefix"
_HEAD = struct.Struct("<8sII")
MAX_HEADER = 1 << 16
MAX_TOKENS = 1 << 22
# Fewer tokens are computed about as fast as they are read.
MIN_TOKENS = 64


@dataclass(slots=True, eq=False)
class StoredPrefix:
    """A prefix whose state is in RAM (`state`), on disk (`path`), or both. `tokens` has shape `[n]`."""

    tokens: NDArray[np.int32]
    n_state: int
    cache_key: str | None
    path: Path | None = None
    state: bytes | None = None


class StoredBeginning:
    """The first `n` tokens of a prompt, as the store has them; their state is on its way.

    `tokens`, shape `[n_stored]`, is the whole of what comes: `n` or more.
    """

    __slots__ = ("_state", "n", "tokens")

    def __init__(self, tokens: NDArray[np.int32], n: int, state: Future[bytes | None]) -> None:
        self.tokens = tokens
        self.n = n
        self._state = state

    @property
    def has_arrived(self) -> bool:
        """Whether `state` answers at once."""
        return self._state.done()

    @property
    def state(self) -> bytes | None:
        """The state; None if the file is gone or damaged. Waits until it is here."""
        return self._state.result()


class DamagedPrefixError(Exception):
    """A file is not a stored prefix, or not a whole one."""


class PrefixStore:
    """At most `max_ram` bytes of states in RAM and `max_disk` bytes of files under `directory` (None: no files).

    `identity` names everything that a state depends on. Close it to wait for files that are being written.
    """

    def __init__(self, directory: Path | None, *, identity: str, max_ram: int, max_disk: int) -> None:
        self._root = directory if max_disk > 0 else None
        self._identity = identity
        self._max_ram = max_ram
        self._max_disk = max_disk
        self._lock = threading.Lock()
        self._files = ThreadPoolExecutor(1, thread_name_prefix="prefix-store")
        self._entries: list[StoredPrefix] = []  # least recently used first
        if self._root is not None:
            self._entries = list(_read_all(self._folder(self._root), identity))

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def longest(self, tokens: NDArray[np.int32]) -> tuple[StoredPrefix, int] | None:
        """The stored prefix that shares most with the beginning of `tokens`, and how many tokens that is."""
        with self._lock:
            shared = [(common_prefix(entry.tokens, tokens), i) for i, entry in enumerate(self._entries)]
            n, i = max(shared, default=(0, 0))
            return (self._entries[i], n) if n >= MIN_TOKENS else None

    def lacks(self, tokens: NDArray[np.int32]) -> bool:
        """Whether saving these tokens would add anything."""
        found = self.longest(tokens)
        return len(tokens) >= MIN_TOKENS and (found is None or found[1] < len(tokens))

    def fetch(self, tokens: NDArray[np.int32], min_gain: int, arrived: Callable[[], None]) -> StoredBeginning | None:
        """The longest stored beginning of `tokens`, if it has `min_gain` tokens or more. Does not wait for its state.

        `arrived` is called on the store's thread when that is here.
        """
        found = self.longest(tokens)
        if found is None or found[1] < min_gain:
            return None
        entry, n = found
        state = self._files.submit(self.read, entry)
        state.add_done_callback(lambda _: arrived())
        return StoredBeginning(entry.tokens, n, state)

    def read(self, entry: StoredPrefix) -> bytes | None:
        """A prefix's state; None, and the prefix forgotten, if its file is gone or damaged. Reads and hashes a file."""
        state = entry.state
        if state is None and entry.path is not None:
            try:
                state = _read_state(entry.path)
                os.utime(entry.path)
            except (OSError, DamagedPrefixError) as error:
                log.warning("the stored prefix %s is ignored: %s", entry.path, error)
        with self._lock:
            if entry in self._entries:
                self._entries.remove(entry)
                if state is not None:
                    self._entries.append(entry)
                    entry.state = state
            self._fit_ram()
        return state

    def save(self, tokens: NDArray[np.int32], state: bytes, cache_key: str | None = None) -> None:
        """Keep a prefix; what it continues under the same key, or a copy of it, is forgotten. Does not wait."""
        entry = StoredPrefix(tokens.copy(), len(state), cache_key, state=state)
        with self._lock:
            replaced = [known for known in self._entries if _is_replaced(known, entry)]
            self._entries = [known for known in self._entries if known not in replaced]
            self._entries.append(entry)
            self._fit_ram()
        if self._root is not None:
            self._files.submit(self._write, self._root, entry, replaced, state)

    def flush(self) -> None:
        """Wait until all that was saved is on disk."""
        self._files.submit(lambda: None).result()

    def close(self) -> None:
        """Finish writing. May be called again."""
        self._files.shutdown(wait=True)

    def _folder(self, root: Path) -> Path:
        return root / hashlib.sha256(self._identity.encode()).hexdigest()[:16]

    def _fit_ram(self) -> None:
        """Drop states from RAM, and prefixes that were nowhere else."""
        excess = sum(entry.n_state for entry in self._entries if entry.state is not None) - self._max_ram
        for entry in tuple(self._entries):
            if excess <= 0:
                return
            if entry.state is not None:
                excess -= entry.n_state
                entry.state = None
                if entry.path is None and self._root is None:
                    self._entries.remove(entry)

    def _write(self, root: Path, entry: StoredPrefix, replaced: list[StoredPrefix], state: bytes) -> None:
        """On the store's thread: one file, then the oldest ones go."""
        folder = self._folder(root)
        name = hashlib.sha256(entry.tokens.tobytes() + (entry.cache_key or "").encode()).hexdigest()[:32]
        path = folder / f"{name}{SUFFIX}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_file(path, self._identity, entry, state)
            for known in replaced:
                if known.path is not None and known.path != path:
                    known.path.unlink(missing_ok=True)
            with self._lock:
                entry.path = path
            self._fit_disk(root)
        except OSError as error:
            log.warning("prefixes are kept in memory only: %s", error)
            with self._lock:
                self._root = None
                self._entries = [known for known in self._entries if known.state or known.path]

    def _fit_disk(self, root: Path) -> None:
        files = sorted(_stat_all(root.glob(f"*/*{SUFFIX}")), key=lambda file: file[0].st_mtime_ns)
        excess = sum(stat.st_size for stat, _ in files) - self._max_disk
        for stat, path in files:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size
            with self._lock:
                for entry in tuple(self._entries):
                    if entry.path == path:
                        entry.path = None
                        if entry.state is None:
                            self._entries.remove(entry)


def _stat_all(paths: Iterable[Path]) -> Iterator[tuple[os.stat_result, Path]]:
    """Files that are there: another process may have removed one since it was listed."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            yield path.stat(), path


def _is_replaced(known: StoredPrefix, entry: StoredPrefix) -> bool:
    n = common_prefix(known.tokens, entry.tokens)
    if known.cache_key != entry.cache_key or n < len(known.tokens):
        return False
    return n == len(entry.tokens) or entry.cache_key is not None


def _write_file(path: Path, identity: str, entry: StoredPrefix, state: bytes) -> None:
    tokens = entry.tokens.astype("<i4").tobytes()
    header = json.dumps(
        {
            "identity": identity,
            "n_tokens": len(entry.tokens),
            "n_state": len(state),
            "sha256": _checksum(tokens, state),
            "cache_key": entry.cache_key,
        }
    ).encode()
    with whole_file(path) as aside, aside.open("wb") as file:
        file.writelines((_HEAD.pack(MAGIC, VERSION, len(header)), header, tokens, state))
        file.flush()
        os.fsync(file.fileno())


def _read_all(folder: Path, identity: str) -> list[StoredPrefix]:
    """The prefixes of a folder, least recently used first."""
    found: list[tuple[int, StoredPrefix]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            found.append((path.stat().st_mtime_ns, _read_entry(path, identity)))
        except (OSError, DamagedPrefixError) as error:
            log.warning("the stored prefix %s is ignored: %s", path, error)
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _read_entry(path: Path, identity: str) -> StoredPrefix:
    with path.open("rb") as file:
        header, tokens = _read_head(file)
    if header.identity != identity:
        raise DamagedPrefixError(f"it belongs to {header.identity}")
    return StoredPrefix(np.frombuffer(tokens, dtype="<i4"), header.n_state, header.cache_key, path)


@dataclass(frozen=True, slots=True)
class _Header:
    identity: str
    n_tokens: int
    n_state: int
    sha256: str
    cache_key: str | None


def _read_head(file: BinaryIO) -> tuple[_Header, bytes]:
    """The header and the tokens, every length checked against the file's own before anything is read."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise DamagedPrefixError("it is too short")
    magic, version, n_header = _HEAD.unpack(head)
    if magic != MAGIC or version != VERSION:
        raise DamagedPrefixError("it is no stored prefix of this version")
    if n_header > min(MAX_HEADER, size):
        raise DamagedPrefixError("its header is too long")
    try:
        header = _Header(**json.loads(file.read(n_header)))
        is_sound = 0 < header.n_tokens <= MAX_TOKENS and header.n_state > 0 and len(header.identity) > 0
    except (ValueError, TypeError):
        is_sound = False
    if not is_sound or size != _HEAD.size + n_header + 4 * header.n_tokens + header.n_state:
        raise DamagedPrefixError("its header and its length do not agree")
    return header, file.read(4 * header.n_tokens)


def _read_state(path: Path) -> bytes:
    with path.open("rb") as file:
        header, tokens = _read_head(file)
        state = file.read(header.n_state)
    if _checksum(tokens, state) != header.sha256:
        raise DamagedPrefixError("its checksum is wrong")
    return state


def _checksum(tokens: bytes, state: bytes) -> str:
    digest = hashlib.sha256(tokens)
    digest.update(state)
    return digest.hexdigest()
