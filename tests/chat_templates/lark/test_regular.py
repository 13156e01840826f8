"""Lark grammars of callers: what the expression matches is in their language."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_templates.lark.regular import LarkError, regular
from chat_templates.schema.pattern import MAX_CHARS, portable

PATCH = r"""
start: begin hunk+ end
begin: "*** Begin" LF
end: "*** End" LF?
hunk: add | update   // two kinds
add: "*** Add: " filename LF add_line+
update: "*** Update: " filename LF move? change?
filename: /(.+)/
add_line: "+" /(.*)/ LF -> line
move: "*** Move: " filename LF
change: (context | change_line)+
context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
%import common.LF
"""

SUM = """
start: expr
expr: term (SP ADD SP term)* -> add
    | term
term: factor (SP MUL SP factor)*
?factor: INT
       | "(" expr ")"
SP: " "
ADD.2: "+"
MUL: "*"
%ignore /[\\t]/
%import common (INT, WS)
"""


def matches(grammar, text):
    return re.fullmatch(regular(grammar), text) is not None


@pytest.mark.parametrize(
    ("grammar", "text", "is_in"),
    [
        (PATCH, "*** Begin\n*** Add: a.py\n+x\n+y = 1\n*** End\n", True),
        (PATCH, "*** Begin\n*** Update: a\n*** Move: b\n@@ def f\n-x\n+y\n*** End", True),
        (PATCH, "*** Begin\n*** End", False),
        (PATCH, "*** Begin\n*** Add: a.py\nx\n*** End\n", False),
        (SUM, "4 + 4 * (2 + 3)", True),
        (SUM, "(1 + 2) * 3", True),
        (SUM, "4+4", False),
        (SUM, "(1", False),
        ('start: "a"i "." /x.y/s', "A.x\ny", True),
        ('start: "a"i "." /x.y/', "A.x\ny", False),
        ('start: ["a"] "b"~2 "c"~1..2', "bbcc", True),
        ('start: ["a"] "b"~2 "c"~1..2', "abcc", False),
        ('start: "a".."f"+', "cafe", True),
        ('start: list\nlist: item | list "," item\nitem: "x"', ",".join("x" * 40), True),
        ('start: word | word " " start\nword: /[a-z]+/', " ".join(["ab"] * 40), True),
        ("start: ESCAPED_STRING\n%import common.ESCAPED_STRING", r'"a\"b"', True),
        ("start: NUM\n%import common.SIGNED_NUMBER -> NUM", "-1.5e3", True),
    ],
)
def test_the_expression_matches_what_the_grammar_does(grammar, text, is_in):
    assert matches(grammar, text) is is_in


@pytest.mark.parametrize("grammar", [PATCH, SUM])
def test_the_expression_can_be_enforced(grammar):
    assert len(portable(f"^(?:{regular(grammar)})$")) < MAX_CHARS


@given(st.text(min_size=1, max_size=20))
def test_a_quoted_text_matches_itself_alone(text):
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    written = regular(f'start: "{quoted}"')
    assert re.fullmatch(written, text)
    assert not re.fullmatch(written, text + "x")


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        ("", "no rule 'start'"),
        ("start: thing", "thing is not defined"),
        ('start: "a', "line 1"),
        ('start: "a"\nstart: "b"', "line 2: start is defined twice"),
        ('start: ("a"', "expected ')'"),
        ('start: "ab".."c"', "no range"),
        ('start: "a"~3..1', "empty"),
        ("start: /a/x", "flags"),
        ("%declare A\nstart: A", "%declare is not supported"),
        ("start: A\n%import python.A", "python.A cannot be imported"),
        ("start: start", "never ends"),
        ("start: a\na: b\nb: a", "never ends"),
        ("start: " + "(" * 100, "parentheses"),
        ("start: " + '"x" ' * 5000, "longer than"),
        ("x" * 40_000, "limit"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(grammar, says):
    with pytest.raises(LarkError, match=re.escape(says)):
        regular(grammar)


@pytest.mark.parametrize(
    "grammar",
    [
        "start: a0\n" + "\n".join(f"a{i}: a{(i + 1) % 20} a{(i + 1) % 20} | a{(i + 2) % 20}" for i in range(20)),
        "start: a0\n" + "\n".join(f"a{i}: a{i + 1} a{i + 1}" for i in range(60)) + '\na60: "x"',
        "start: " + '["a"] ' * 5000,
    ],
)
def test_a_grammar_that_explodes_is_refused_at_once(grammar):
    begin = time.perf_counter()
    with pytest.raises(LarkError):
        regular(grammar)
    assert time.perf_counter() - begin < 1
