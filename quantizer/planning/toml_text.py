"""The text of a user's TOML file, of recipes or of a set, whole or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantizer.errors import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1 << 20


def read_toml_text(path: Path, kind: str) -> str:
    """The text at `path`, which should be a `kind`. Raises `RecipeError` if it cannot be read, or is beyond 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    if len(data) > _MAX_BYTES:
        raise RecipeError(f"{path} is longer than {_MAX_BYTES} bytes: it is no {kind}")
    return text
