"""Files that appear whole or not at all: written aside, then put in their place.

Knows files alone. The law: under the final name there is what was there before, or all of what was written; a process
that is killed leaves a hidden `.NAME.PID.partial` at most, which `partial_owner` tells whose it is.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PARTIAL = re.compile(r"^\..*\.(\d+)\.partial$")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what is there at the end of the `with` takes the place of `path`.

    If the `with` raises, what was written is removed and `path` stays as it was. Raises `OSError` as writing does.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_owner(name: str) -> int | None:
    """The number of the process that writes, or wrote, the file of this name; None if it is no partial one."""
    found = _PARTIAL.match(name)
    return int(found[1]) if found else None
