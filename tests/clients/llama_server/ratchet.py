"""What each of llama.cpp's server tests has to give here, and why one that fails may.

Knows ids, patterns and outcomes; no server. The law: every test is named by exactly one entry, and every entry names a
test that is there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

GOOD = "pass"


@dataclass(frozen=True, slots=True)
class Entry:
    """Tests by patterns of their ids, and what they give: "pass", or why not."""

    why: str
    patterns: tuple[str, ...]

    def names(self, test: str) -> bool:
        """Whether it is one of these. Brackets are text, `*` is anything."""
        return any(fnmatchcase(test, pattern.replace("[", "[[]")) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Ratchet:
    """The entries of a file, and the files of tests that are not run, with the reason."""

    entries: tuple[Entry, ...]
    not_run: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Ratchet:
        """A TOML file of tables with `why` and `tests`, and one of files."""
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(Entry(each["why"], tuple(each["tests"])) for each in told["entry"]), told["not_run"])

    def complaints(self, outcomes: Mapping[str, str]) -> list[str]:
        """What differs from the file, a line each."""
        return [*self._of_tests(outcomes), *self._of_entries(outcomes)]

    def _of_tests(self, outcomes: Mapping[str, str]) -> Iterator[str]:
        for test, outcome in sorted(outcomes.items()):
            entries = [entry for entry in self.entries if entry.names(test)]
            if len(entries) != 1:
                yield f"{test} {outcome}, and {len(entries)} entries name it: {[entry.why for entry in entries]}"
            elif outcome == "passed" and entries[0].why != GOOD:
                yield f"{test} passes now: list it so, in place of: {entries[0].why}"
            elif outcome == "failed" and entries[0].why == GOOD:
                yield f"{test} fails, and passed before"

    def _of_entries(self, outcomes: Mapping[str, str]) -> Iterator[str]:
        for entry in self.entries:
            for pattern in entry.patterns:
                if not any(Entry(entry.why, (pattern,)).names(test) for test in outcomes):
                    yield f"no test is called {pattern}"
