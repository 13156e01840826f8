"""A caller's Lark grammar as one regular expression, which any form of call can hold a string to.

Knows Lark's syntax; no tool and no JSON. Where a rule refers to itself at its beginning or its end, it repeats; where
it does so in its middle, it is written out to a bounded depth; ignored terminals are left out. The law: whatever
matches the expression is in the grammar's language, and what cannot be read is refused with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from chat_templates.schema.pattern import MAX_CHARS

MAX_GRAMMAR_CHARS = 32 * 1024
_MAX_DEPTH = 4  # of a rule within itself
_MAX_OPEN = 64  # parentheses

# lark's own terminals, from its documentation.
_COMMON: Mapping[str, str] = MappingProxyType(
    {
        "CNAME": "[_A-Za-z][_A-Za-z0-9]*",
        "CR": r"\r",
        "DECIMAL": r"(?:[0-9]+\.[0-9]*|\.[0-9]+)",
        "DIGIT": "[0-9]",
        "ESCAPED_STRING": r'"(?:[^"\\\n]|\\["\\/bfnrt])*"',
        "FLOAT": r"(?:[0-9]+[eE][+\-]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+\-]?[0-9]+)?)",
        "HEXDIGIT": "[0-9A-Fa-f]",
        "INT": "[0-9]+",
        "LCASE_LETTER": "[a-z]",
        "LETTER": "[A-Za-z]",
        "LF": r"\n",
        "NEWLINE": r"(?:\r?\n)+",
        "NUMBER": r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+\-]?[0-9]+)?",
        "SIGNED_FLOAT": r"[+\-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)",
        "SIGNED_INT": r"[+\-]?[0-9]+",
        "SIGNED_NUMBER": r"[+\-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+\-]?[0-9]+)?",
        "UCASE_LETTER": "[A-Z]",
        "WORD": "[A-Za-z]+",
        "WS": r"[ \t\n\r]+",
        "WS_INLINE": r"[ \t]+",
    }
)

_TOKEN = re.compile(
    r"(?P<space>[ \t]+|//[^\n]*|\#[^\n]*)"
    r"|(?P<line>(?:\r?\n)+)"
    r"|(?P<keyword>%[a-z]+)"
    r"|(?P<name>[!?]*_?[a-z][_a-z0-9]*|_?[A-Z][_A-Z0-9]*)"
    r'|(?P<text>"(?:\\.|[^"\\\n])*"i?)'
    r"|(?P<regex>/(?!/)(?:\\.|[^/\\\n])+/[imsux]*)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<sign>->|\.\.|[:|()\[\]*+?~.,])"
)


class LarkError(ValueError):
    """A grammar cannot be read, or not be made regular."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str


@dataclass(frozen=True, slots=True)
class _Ref:
    name: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Expr, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Expr, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Expr
    least: int
    most: int | None


_Expr = _Pattern | _Ref | _Sequence | _Choice | _Repeat


def regular(grammar: str) -> str:
    """The expression, in Rust's `regex` syntax without anchors, of what a grammar's rule `start` matches.

    Raises `LarkError` for what is no Lark, for what has no meaning in one expression (templates, imports of other
    libraries), and for grammars whose expression would be too long.
    """
    if len(grammar) > MAX_GRAMMAR_CHARS:
        raise LarkError(f"the grammar has {len(grammar)} characters; the limit is {MAX_GRAMMAR_CHARS}")
    rules = _Reader(grammar).rules()
    if "start" not in rules:
        raise LarkError("the grammar has no rule 'start'")
    rules = {name: _repeating(name, rule) for name, rule in rules.items()}
    for depth in range(_MAX_DEPTH, 0, -1):
        try:
            written = _Writer(rules, depth).write(_Ref("start"))
        except _TooLongError:
            continue
        if written is None:
            raise LarkError("the grammar's recursion never ends")
        return written
    raise LarkError(f"the grammar's regular expression is longer than {MAX_CHARS} characters")


class _TooLongError(Exception):
    """An expression outgrew the limit."""


class _Reader:
    """Reads a grammar once, token by token."""

    def __init__(self, grammar: str) -> None:
        self._tokens = [*_tokens(grammar)]
        self._at = 0
        self._n_open = 0
        self._rules: dict[str, _Expr] = {}

    def rules(self) -> dict[str, _Expr]:
        while (token := self._peek()) is not None:
            if token.kind == "line":
                self._at += 1
            elif token.kind == "keyword":
                self._directive()
            else:
                self._rule()
        return self._rules

    def _peek(self, ahead: int = 0) -> _Token | None:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else None

    def _is(self, *texts: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "sign" and token.text in texts

    def _take(self, kind: str, text: str | None = None) -> _Token:
        token = self._peek()
        if token is None or token.kind != kind or text not in (None, token.text):
            wanted = kind if text is None else repr(text)
            found = "the end" if token is None else repr(token.text)
            raise LarkError(f"line {self._line()}: expected {wanted}, found {found}")
        self._at += 1
        return token

    def _line(self) -> int:
        token = self._peek() or (self._tokens[-1] if self._tokens else None)
        return 1 if token is None else token.line

    def _directive(self) -> None:
        keyword = self._take("keyword")
        if keyword.text == "%ignore":
            self._choice()  # what may be left out is left out
        elif keyword.text == "%import":
            self._import(keyword)
        else:
            raise LarkError(f"line {keyword.line}: {keyword.text} is not supported")

    def _import(self, keyword: _Token) -> None:
        path = [self._take("name").text]
        while self._is("."):
            self._at += 1
            path.append(self._take("name").text if not self._is("(") else "")
        names = path[1:]
        if self._is("(") or names == [""]:
            self._take("sign", "(")
            names = [self._take("name").text]
            while self._is(","):
                self._at += 1
                names.append(self._take("name").text)
            self._take("sign", ")")
        alias = None
        if self._is("->"):
            self._at += 1
            alias = self._take("name").text
        for name in names:
            if path[0] != "common" or name not in _COMMON:
                raise LarkError(f"line {keyword.line}: {'.'.join((path[0], name))} cannot be imported")
            self._rules[alias or name] = _Pattern(_COMMON[name])

    def _rule(self) -> None:
        name = self._take("name")
        if self._is("."):  # a priority, which decides between ways to read the same text
            self._at += 1
            self._take("number")
        self._take("sign", ":")
        bare = name.text.lstrip("!?")
        if bare in self._rules:
            raise LarkError(f"line {name.line}: {bare} is defined twice")
        self._rules[bare] = self._choice()

    def _choice(self) -> _Expr:
        parts = [self._sequence()]
        while self._goes_on():
            self._take("sign", "|")
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _goes_on(self) -> bool:
        """Whether an alternative follows, perhaps on the next line."""
        ahead = self._peek(1)
        token = self._peek()
        if token is not None and token.kind == "line" and ahead is not None and ahead.text == "|":
            self._at += 1
        return self._is("|")

    def _sequence(self) -> _Expr:
        parts: list[_Expr] = []
        while (token := self._peek()) is not None and (token.kind in ("name", "text", "regex") or self._is("(", "[")):
            parts.append(self._repeated())
        if self._is("->"):  # the name of a tree's node
            self._at += 1
            self._take("name")
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self) -> _Expr:
        part = self._atom()
        if self._is("*", "+", "?"):
            sign = self._take("sign").text
            return _Repeat(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
        if self._is("~"):
            self._at += 1
            least = most = int(self._take("number").text)
            if self._is(".."):
                self._at += 1
                most = int(self._take("number").text)
            if most < least:
                raise LarkError(f"line {self._line()}: {least}..{most} is empty")
            return _Repeat(part, least, most)
        return part

    def _atom(self) -> _Expr:
        if self._is("(", "["):
            opening = self._take("sign").text
            self._n_open += 1
            if self._n_open > _MAX_OPEN:
                raise LarkError(f"line {self._line()}: more than {_MAX_OPEN} parentheses are open")
            self._skip_lines()
            inner = self._choice()
            self._skip_lines()
            self._n_open -= 1
            self._take("sign", ")" if opening == "(" else "]")
            return inner if opening == "(" else _Repeat(inner, 0, 1)
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "name":
            return _Ref(token.text.lstrip("!?"))
        if token.kind == "regex":
            return _Pattern(_regex(token))
        text = _Pattern(_quoted(token))
        if not self._is(".."):
            return text
        self._at += 1
        first, last = (_unquoted(each, each.text) for each in (token, self._take("text")))
        if len(first) != 1 or len(last) != 1 or first > last:
            raise LarkError(f"line {token.line}: {token.text}.. is no range of characters")
        return _Pattern(f"[{_escaped(first)}-{_escaped(last)}]")

    def _skip_lines(self) -> None:
        while (token := self._peek()) is not None and token.kind == "line":
            self._at += 1


class _Writer:
    """Writes rules as expressions, each at most `depth` times within itself. None is what nothing matches."""

    def __init__(self, rules: Mapping[str, _Expr], depth: int) -> None:
        self._rules = rules
        self._depth = depth
        self._within: list[str] = []
        self._n_written = 0

    def write(self, expr: _Expr) -> str | None:
        self._n_written += 1
        if self._n_written > 8 * MAX_CHARS:  # also where nothing comes of it: rules may refer to each other in vain
            raise _TooLongError
        match expr:
            case _Pattern(text):
                return _bounded(text)
            case _Ref(name):
                return self._rule(name)
            case _Sequence(parts):
                written = [self.write(part) for part in parts]
                return None if None in written else _bounded("".join(filter(None, written)))
            case _Choice(parts):
                tried = [self.write(part) for part in parts]
                possible = [each for each in tried if each is not None]
                return _bounded(f"(?:{'|'.join(dict.fromkeys(possible))})") if possible else None
            case _Repeat(part, least, most):
                return self._repeat(self.write(part), least, most)

    def _rule(self, name: str) -> str | None:
        if name not in self._rules:
            raise LarkError(f"{name} is not defined")
        if self._within.count(name) >= self._depth:
            return None
        self._within.append(name)
        try:
            return self.write(self._rules[name])
        finally:
            self._within.pop()

    def _repeat(self, part: str | None, least: int, most: int | None) -> str | None:
        if part is None:
            return "" if least == 0 else None
        if not part:
            return ""
        sign = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most), f"{{{least},{most}}}")
        return _bounded(f"(?:{part}){sign}")


def _repeating(name: str, rule: _Expr) -> _Expr:
    """A rule whose references to itself at the beginning, or at the end, of alternatives are repetitions (Arden)."""
    alternatives = rule.parts if isinstance(rule, _Choice) else (rule,)
    itself = _Ref(name)
    heads, tails, others = [], [], []
    for alternative in alternatives:
        parts = alternative.parts if isinstance(alternative, _Sequence) else (alternative,)
        if parts[:1] == (itself,) and itself not in parts[1:]:
            tails.append(_Sequence(parts[1:]))
        elif parts[-1:] == (itself,) and itself not in parts[:-1]:
            heads.append(_Sequence(parts[:-1]))
        else:
            others.append(alternative)
    if not (heads or tails) or not others:
        return rule
    before = [_Repeat(_Choice(tuple(heads)), 0, None)] if heads else []
    after = [_Repeat(_Choice(tuple(tails)), 0, None)] if tails else []
    return _Sequence((*before, _Choice(tuple(others)), *after))


def _bounded(text: str) -> str:
    if len(text) > MAX_CHARS:
        raise _TooLongError
    return text


def _tokens(grammar: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(grammar):
        found = _TOKEN.match(grammar, at)
        if found is None:
            raise LarkError(f"line {line}: {grammar[at : at + 12]!r} is no Lark")
        kind = found.lastgroup or ""
        if kind != "space":
            yield _Token(kind, found[0], line)
        at, line = found.end(), line + found[0].count("\n")


def _regex(token: _Token) -> str:
    body, _, flags = token.text[1:].rpartition("/")
    body = body.replace(r"\/", "/")
    if flags.strip("s"):
        raise LarkError(f"line {token.line}: the flags {flags!r} of a regular expression are not supported")
    return f"(?:{_with_dots(body)})" if "s" in flags else f"(?:{body})"


def _with_dots(body: str) -> str:
    """The expression with every dot outside of classes matching line breaks, too."""
    parts: Sequence[str] = re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|.", body)
    return "".join(r"(?:.|\n)" if part == "." else part for part in parts)


def _quoted(token: _Token) -> str:
    if token.text.endswith("i"):
        text = _unquoted(token, token.text[:-1])
        return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else _escaped(c) for c in text)
    return "".join(map(_escaped, _unquoted(token, token.text)))


def _unquoted(token: _Token, text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError as error:
        raise LarkError(f"line {token.line}: {text} is no string") from error


def _escaped(character: str) -> str:
    if character in "\n\t\r":
        return {"\n": r"\n", "\t": r"\t", "\r": r"\r"}[character]
    return f"\\{character}" if character in r"\.+*?()|[]{}^$-/" else character
