"""One llguidance Lark grammar under construction: named rules, literals with special tokens, tools' arguments.

Knows Lark's syntax and JSON Schema; no format and no vocabulary, except which texts are single tokens. Law: a text
that is a special token enters as a token, since as a string it could never match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chat_templates.schema.parameters import arguments_schema, one_line


class LarkGrammar:
    """Collects the rules of one grammar. Rules are named in the order in which they are made.

    The terminal TEXT, any text at all, is always there.
    """

    def __init__(self, special_tokens: Collection[str]) -> None:
        self.special_tokens = frozenset(special_tokens)
        self._rules: dict[str, str] = {}
        self._arguments: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def text(self) -> str:
        """The grammar, its start rule being `start`."""
        rules = (f"{head}: {body}\n" for head, body in self._rules.items())
        return "%llguidance {}\n" + "".join(rules) + "TEXT: /(.|\\n)*/\n"

    def rule(self, name: str, body: str, *, options: str = "") -> str:
        """Add a rule, once; returns its name."""
        self._rules[f"{name}{options}"] = body
        return name

    def numbered(self, body: str, *, options: str = "") -> str:
        """Add a rule under a name of its own; returns the name."""
        return self.rule(f"r{len(self._rules)}", body, options=options)

    def shared(self, body: str) -> str:
        """The numbered rule with this body, made once."""
        return self.once(body, lambda: self.numbered(body))

    def once(self, key: str, make: Callable[[], str]) -> str:
        """The rule that `make` adds, the first time that this key is asked for."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def json(self, schema: Mapping[str, Any]) -> str:
        """The rule for values of this schema, made once."""
        return self.shared("%json " + json.dumps(schema, ensure_ascii=False))

    def literal(self, text: str) -> str:
        """Text as Lark strings, its special tokens as tokens."""
        tokens = [t for t in self.special_tokens if t in text]
        if not tokens:
            return quoted(text)
        pieces = re.split("(" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")", text)
        return " ".join(token_name(p) if p in self.special_tokens else quoted(p) for p in pieces if p)

    def arguments(self, function: Mapping[str, Any]) -> str:
        """The rule of a tool's arguments as one line of JSON, made once."""
        name = function["name"]
        if name not in self._arguments:
            self._arguments[name] = self.json(one_line(arguments_schema(function.get("parameters"))))
        return self._arguments[name]

    def set_arguments(self, name: str, rule: str) -> None:
        """Let the arguments of the tool of this name be what a rule says."""
        self._arguments[name] = rule

    def text_up_to(self, marker: str) -> list[str]:
        """Bodies for free text up to and including a marker: as text, and with tokens where it has some.

        A marker that is a token can also be spelled out in text tokens, and small models do.
        """
        spelled = self.text_up_to_spelled(marker)
        has_tokens = any(token in marker for token in self.special_tokens)
        return [spelled, f"TEXT {self.literal(marker)}"] if has_tokens else [spelled]

    def text_up_to_spelled(self, marker: str) -> str:
        """The rule of free text up to and including a marker in text tokens."""
        return self.numbered(f"/(.|\\n)*{lark_regex(marker)}/", options="[lazy]")


def token_name(token: str) -> str:
    """A special token as a grammar names it: angle brackets are Lark's syntax, other texts are put into them."""
    return token if token.startswith("<") and token.endswith(">") else f"<|{token}|>"


def quoted(text: str) -> str:
    """A text as a Lark string; nothing for no text."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def lark_regex(text: str) -> str:
    """A text as part of a Lark `/…/` terminal."""
    return re.escape(text).replace("/", r"\/").replace("\\\n", r"\n")
