"""What verbs are given to read: a file or the standard input, and the name of a family."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chat_templates import Family, UnknownFamilyError, get_family
from server.errors import StartupError

STDIN = Path("-")


def family_named(family_id: str) -> Family:
    """The family with this id. Raises `StartupError` if there is none."""
    try:
        return get_family(family_id)
    except UnknownFamilyError as error:
        raise StartupError(str(error)) from error


def read_json(file: Path) -> Any:
    """The JSON value in a file, read as the server reads a body. Raises `StartupError` and `RequestError`."""
    from server.api.http.body import parse_json  # noqa: PLC0415 -- `--help` does not need the web framework

    return parse_json(read_bytes(file))


def read_bytes(file: Path) -> bytes:
    """All of a file, or of the standard input. Raises `StartupError` if it cannot be read."""
    try:
        return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror or error}") from error
