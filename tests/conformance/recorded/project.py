"""A made-up project: what agents' requests talk about. Every text is drawn from a seed and is nobody's."""

from __future__ import annotations

import random
import uuid

FILES = ("src/ferry.py", "src/tides/table.py", "README.md", "tests/test_ferry.py", "pyproject.toml")
ASKED = (
    *(
        "Why does the ferry leave at low tide?",
        "Rename `harbour` to `port` everywhere.",
        "Run the tests.",
        "日本語で説明して。",
    ),
    *("Fix the failing test, and say what was wrong.", "Add a --verbose flag.", "hm"),
)
ANSWERED = (
    *(
        "I will look at the table first.",
        "The tide is read in the wrong time zone.",
        "Done: three files changed.",
        "Next, the tests.",
    ),
)
RULES = (
    *("Keep functions short.", "Write tests first.", "Never touch generated files.", "Prefer `rg` to `grep`."),
    *("Answer in few words.", "Quote paths with backticks.", "Ask before you delete anything."),
)
CODE = (
    "def leaves(at):\n    return TIDES[at.hour] > 1.5  # metres\n",
    'if __name__ == "__main__":\n    print(f"{leaves(now())!r}\\t<|im_end|>")\n',
    "FAILED tests/test_ferry.py::test_low_tide - assert False\n1 failed, 7 passed in 0.31s\n",
    "\x1b[31merror\x1b[0m: no such file\n",
    '{"version": 3, "tides": [0.4, 1.9, "?"]}\n',
)


class Project(random.Random):
    """Draws the texts of one request; the same seed draws the same."""

    def rules(self, n_chars: int) -> str:
        """A prompt of about this length."""
        lines: list[str] = []
        while sum(map(len, lines)) < n_chars:
            lines.append(f"- {self.choice(RULES)} See `{self.choice(FILES)}`.")
        return "# How to work here\n\n" + "\n".join(lines)

    def output(self) -> str:
        """What a command printed: nothing, a little, or much."""
        return "".join(self.choices(CODE, k=self.choice((0, 1, 1, 2, 12))))

    def patch(self) -> str:
        """A change of a file, as text."""
        path, line = self.choice(FILES), self.choice(ANSWERED)
        return f"*** Begin Patch\n*** Update File: {path}\n@@\n-# old\n+# {line}\n*** End Patch\n"

    def chance(self, of: float) -> bool:
        """True in so many cases of one."""
        return self.random() < of

    def uuid(self) -> str:
        """A name that no other request has."""
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def hex(self, n: int) -> str:
        """Digits of an id."""
        return f"{self.getrandbits(4 * n):0{n}x}"
