"""Hashes that are known only when a file is finished: written over the zeros that held their places.

Knows where a metadata entry is in a file that llama.cpp wrote. The law: no byte moves; a text is replaced by one of the
same length, under a key that was there.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from server.model_files.gguf_header import GgufHeader

_HEAD_BYTES = 24  # magic, version, and the counts of tensors and entries
_TEXT_TYPE = 8  # GGUF_TYPE_STRING


def stamp(path: Path, header: GgufHeader, texts: Mapping[str, str]) -> None:
    """Replace the texts of these keys in the file at `path`, whose header this is, in place."""
    places = _places(header)
    with path.open("r+b") as file:
        for key, text in texts.items():
            value = text.encode()
            named = struct.pack("<Q", len(key.encode())) + key.encode() + struct.pack("<IQ", _TEXT_TYPE, len(value))
            file.seek(places[key])
            found = file.read(len(named))
            assert found == named, f"{key} of {path} is no text of {len(value)} bytes"
            file.write(value)


def _places(header: GgufHeader) -> dict[str, int]:
    """Where each entry begins, counted from the file's start."""
    places, at = {}, _HEAD_BYTES
    for key, n_bytes in header.entry_bytes.items():
        places[key] = at
        at += n_bytes
    assert at == header.metadata_end, "llama.cpp writes what it counts"
    return places
