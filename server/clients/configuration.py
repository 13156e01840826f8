"""What a client is configured with: its files, how it is started, and what its user should know.

Knows files and their places, no client. Laws: a file that was there is kept beside the new one; a file that is not
understood is not touched.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from server.errors import StartupError
from server.whole_file import whole_file

NAME = "functiongate"
"""What this server is called in clients' files."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a user's files are: the home folder, and the variables that move some of it."""

    path: Path
    environ: Mapping[str, str]

    def folder(self, variable: str, default: str) -> Path:
        """The folder that a variable names, else one in the home folder."""
        named = self.environ.get(variable)
        return Path(named) if named else self.path / default

    def config(self, name: str) -> Path:
        """A client's folder where XDG puts configurations."""
        return self.folder("XDG_CONFIG_HOME", ".config") / name


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of a client's.

    `text` makes its text of what is there, None for nothing. It raises `StartupError` for what it does not understand.
    """

    path: Path
    text: Callable[[str | None], str]


@dataclass(frozen=True, slots=True)
class Configuration:
    """`run` is the line that starts the client with it. `warnings` are sentences."""

    files: tuple[ConfigFile, ...]
    run: str
    warnings: tuple[str, ...] = ()


def always(text: str) -> Callable[[str | None], str]:
    """The text of a file that is ours alone."""
    return lambda _: text


def quoted(text: str) -> str:
    """A text as JSON, TOML and YAML all write one in quotes."""
    return json.dumps(text, ensure_ascii=False)


def write(file: ConfigFile) -> Path | None:
    """Write a file, and keep the one that was there. Returns where that is kept, None if nothing had to be.

    Raises `StartupError` if it cannot be written, or what is there is not understood.
    """
    path = file.path
    try:
        before = path.read_text("utf-8") if path.exists() else None
        after = file.text(before)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = None if before in (None, after) else _free(path)
        if kept is not None:
            shutil.copy2(path, kept)
        with whole_file(path) as partial:
            partial.write_text(after, "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot write {path}: {error}") from error
    return kept


def _free(path: Path) -> Path:
    """A name for a backup that nothing has."""
    names = (path.with_name(f"{path.name}.bak{number or ''}") for number in range(1000))
    return next(name for name in names if not name.exists())
