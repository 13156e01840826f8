"""What a model file is, by its bytes: the SHA-256 that saved states are kept under.

Knows files. A hash is remembered beside the other cached things, by all that the file system tells of the file: hashing
takes about a second for each gigabyte, and programs start more often than models change.
The law: a file that may still have been changing while it was hashed is hashed again the next time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from typing import TYPE_CHECKING

from server.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

# Clocks of file systems tick: a second change within one tick leaves the times as the first one set them.
_SETTLED_NS = 1_000_000_000


def model_hash(path: Path, cache_dir: Path) -> str:
    """The SHA-256 of a file in hexadecimal, remembered in `cache_dir` where that can be written.

    Raises `OSError` if the file cannot be read.
    """
    known = known_hash(path, cache_dir)
    if known is not None:
        return known
    key, hashed_at = _key(path), time.time_ns()
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    if key == _key(path) and max(stat.st_mtime_ns, stat.st_ctime_ns) + _SETTLED_NS < hashed_at:
        _remember(_note(key, cache_dir), key, found)
    return found


def known_hash(path: Path, cache_dir: Path) -> str | None:
    """The SHA-256 that is remembered of a file, None if there is none. Raises `OSError` if the file is not there."""
    key = _key(path)
    try:
        known = json.loads(_note(key, cache_dir).read_text())
        return str(known["sha256"]) if known["file"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(path: Path) -> str:
    """What a file is known by. The mtime can be forged; the ctime cannot."""
    stat = path.stat()
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _note(key: str, cache_dir: Path) -> Path:
    return cache_dir / "hashes" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _remember(note: Path, key: str, found: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(note) as aside:
            aside.write_text(json.dumps({"file": key, "sha256": found}))
    except OSError as error:
        log.info("the model's hash is not remembered: %s", error)
