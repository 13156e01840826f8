"""What a model file is, by its bytes: the SHA-256 that saved states are kept under.

Knows files. A hash is remembered beside the other cached things by path, size, and time of change: hashing takes about
a second for each gigabyte, and a server starts more often than its model changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def model_hash(path: Path, cache_dir: Path) -> str:
    """The SHA-256 of a file in hexadecimal, remembered in `cache_dir` where that can be written.

    Raises `OSError` if the file cannot be read.
    """
    stat = path.stat()
    key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    note = cache_dir / "hashes" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    known = _read(note, key)
    if known is not None:
        return known
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"file": key, "sha256": found}))
    except OSError as error:
        log.info("the model's hash is not remembered: %s", error)
    return found


def _read(note: Path, key: str) -> str | None:
    try:
        known = json.loads(note.read_text())
        return str(known["sha256"]) if known["file"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
