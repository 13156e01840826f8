"""Tools and a choice become one llguidance Lark grammar over the whole answer.

Knows output formats and JSON Schema; no vocabulary, except which markers are single tokens. Laws: whatever the grammar
forces, the parser of the same format reads as a call; in `auto` any text stays possible until it can only be a call of
an offered tool; markers that are special tokens enter as tokens, since as strings they could never match.

Shape of an `auto` grammar (see llguidance's docs on syntax, "Tool calling"): the free text before a call belongs to a
lazy lexeme that ends in the call's trigger; from there on everything is constrained. After the first call the answer
may only go on with calls, or end: small models ramble there, at a decode step a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chat_templates.formats import CALL_KEYS, BareCall, OutputFormat, TaggedCall, WrappedCall
from chat_templates.pretty import pretty_arguments
from chat_templates.schema import (
    arguments_schema,
    call_or_content_schema,
    content_schema,
    one_line,
    open_spaced,
)

ToolChoice = str | Mapping[str, Any]
Function = Mapping[str, Any]

# What may stand before the name in an object that is a call: models copy `"type": "function"` from the tools list.
_BEFORE_NAME = r'("(type|id)"\s{0,4}:\s{0,4}"[^"]{0,64}"\s{0,4},\s{0,16})?"name"\s{0,4}:\s{0,4}'
# The white space after the opening brace tells how the model will print the rest. The three exclude one another.
_ON_ONE_LINE = r"\{ {0,2}"
_INDENTED = r"\{\n  "
_OTHERWISE = r"\{(\n{2,4} {0,16}|\n ?| {3,16}|\n {3,16}|\s{0,4}\t\s{0,4})"
_ARGUMENTS_KEY = r'\s{0,4},\s{0,16}"(' + "|".join(CALL_KEYS) + r')"\s{0,4}:'
# Between near-miss calls: only what promises another call. A line break does not: small models end their turn with one,
# and a second call forced after it would be invented. Bounded, so that a model cannot idle here.
_NEAR_SEPARATOR = r"[,;][ \n]{0,4}"
_NEAR_CLOSE = r"\n? {0,2}\](\n```)?|\n```"


def build_grammar(
    output: OutputFormat,
    functions: Sequence[Function],
    tool_choice: ToolChoice,
    *,
    parallel: bool,
    response_schema: Mapping[str, Any] | None,
    special_tokens: Collection[str],
    allows_code: bool = False,
) -> str | None:
    """The grammar of an answer, or None when every text is allowed.

    `functions` are bare function objects. A named `tool_choice` allows one call of that tool; "none" and an empty tools
    list allow no call. Nothing is compiled here: a schema that cannot be enforced shows when the grammar is compiled.
    """
    builder = _Builder(output, special_tokens)
    name = _named(tool_choice)
    has_calls = bool(functions or allows_code) and tool_choice != "none"
    if not has_calls:
        if response_schema is None:
            return None
        builder.rule("start", builder.json(content_schema(response_schema)))
        return builder.text()
    if name is not None:
        functions = [f for f in functions if f["name"] == name]
        allows_code = allows_code and name == "python"
        builder.rule("start", builder.native_call(functions, allows_code))
        return builder.text()
    call = builder.native_call(functions, allows_code)
    calls = builder.repeated(call) if parallel else call
    if tool_choice == "required":
        builder.rule("start", calls)
    elif response_schema is not None and isinstance(output.call, BareCall):
        builder.rule("start", builder.json(call_or_content_schema(functions, CALL_KEYS[0], response_schema)))
    elif response_schema is not None:
        builder.rule("start", f"{calls} | {builder.json(content_schema(response_schema))}")
    else:
        builder.auto(functions, call, allows_code=allows_code, parallel=parallel)
    return builder.text()


def _named(tool_choice: ToolChoice) -> str | None:
    if isinstance(tool_choice, str):
        return None
    name: str = tool_choice["function"]["name"]
    return name


class _Builder:
    """Collects the rules of one grammar. Rules are named in the order in which they are made."""

    def __init__(self, output: OutputFormat, special_tokens: Collection[str]) -> None:
        self._output = output
        self._special = frozenset(special_tokens)
        self._rules: list[str] = []
        self._arguments: dict[str, str] = {}

    def text(self) -> str:
        return "%llguidance {}\n" + "\n".join(self._rules) + "\n"

    def rule(self, name: str, body: str, *, options: str = "") -> str:
        self._rules.append(f"{name}{options}: {body}")
        return name

    def numbered(self, body: str, *, options: str = "") -> str:
        return self.rule(f"r{len(self._rules)}", body, options=options)

    def json(self, schema: Mapping[str, Any]) -> str:
        return self.numbered("%json " + json.dumps(schema, ensure_ascii=False))

    def literal(self, text: str) -> str:
        """Text as Lark strings, its special tokens as tokens."""
        tokens = [t for t in self._special if t in text]
        if not tokens:
            return _quoted(text)
        pieces = re.split("(" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")", text)
        return " ".join(p if p in self._special else _quoted(p) for p in pieces if p)

    def arguments(self, function: Function) -> str:
        """The rule of a tool's arguments, made once."""
        name = function["name"]
        if name not in self._arguments:
            self._arguments[name] = self.json(one_line(arguments_schema(function.get("parameters"))))
        return self._arguments[name]

    # --- native calls ------------------------------------------------------------------------------------------------

    def native_call(self, functions: Sequence[Function], allows_code: bool) -> str:
        """One call in the family's own form, from its first character on."""
        bodies = [
            f"{self.literal(start)} {self.arguments(f)} {self.literal(end)}".rstrip()
            for f in functions
            for start, end in [self._around_arguments(f["name"])]
        ]
        if allows_code and self._output.code_marker:
            bodies.append(f"{self.literal(self._output.code_marker)} CODE")
            self.rule("CODE", r"/(.|\n)+/")
        return self.numbered(" | ".join(bodies))

    def _around_arguments(self, name: str) -> tuple[str, str]:
        match self._output.call:
            case TaggedCall(start, name_end, end):
                return start + name + name_end, end
            case WrappedCall(start, end, padding):
                return f"{start}{padding}{_object_head(name)}", f"}}{padding}{end}"
            case BareCall():
                return _object_head(name), "}"

    def repeated(self, call: str) -> str:
        return self.numbered(f"{call} {self.more(call)}")

    def more(self, call: str) -> str:
        """Any number of further calls. A line break may also end the answer: only a call's own beginning commits."""
        separator = self.literal(self._output.call.separator)
        at_end = f" {separator}?" if self._output.call.separator.isspace() else ""
        return f"({separator} {call})*{at_end}"

    # --- free text with triggers -------------------------------------------------------------------------------------

    def auto(self, functions: Sequence[Function], call: str, *, allows_code: bool, parallel: bool) -> None:
        """Free text, or free text that leads into calls: native ones, or the near misses of small models."""
        self.rule("TEXT", r"/(.|\n)*/")
        native = self._native_trigger(functions, allows_code)
        near = self._near_miss(functions)
        if parallel:
            more_native = self.more(call)
            near_call = self.rule("near_call", " | ".join(self._near_bodies(functions)))
            near = f"({near}) (NEAR_SEPARATOR {near_call})* NEAR_CLOSE?"
            self.rule("NEAR_SEPARATOR", f"/{_NEAR_SEPARATOR}/")
        else:
            more_native = ""
            near = f"({near}) NEAR_CLOSE?"
        self.rule("NEAR_CLOSE", f"/{_NEAR_CLOSE}/")
        leads = [near] if native is None else [f"({native}) {more_native}".rstrip(), near]
        self.rule("start", " | ".join(["TEXT", *leads]))

    def _native_trigger(self, functions: Sequence[Function], allows_code: bool) -> str | None:
        """Text up to and including the family's marker, then the rest of the call."""
        call = self._output.call
        if isinstance(call, BareCall):
            return None  # its native form is the near miss
        rests = []
        for function in functions:
            start, end = self._around_arguments(function["name"])
            rest = start.removeprefix(call.start)
            rests.append(f"{self.literal(rest)} {self.arguments(function)} {self.literal(end)}")
        rest_of_call = self.rule("native_rest", " | ".join(rests)) if rests else None
        alternatives = []
        if rest_of_call:
            # A marker that is a token can also be spelled out in text tokens, and small models do.
            head = self.rule("native_head", f"/(.|\\n)*{_lark_regex(call.start)}/", options="[lazy]")
            alternatives.append(f"{head} {rest_of_call}")
            if call.start in self._special:
                alternatives.append(f"TEXT {call.start} {rest_of_call}")
        if allows_code and self._output.code_marker:
            marker = self._output.code_marker
            if marker in self._special:
                alternatives.append(f"TEXT {marker} CODE")
            else:
                head = self.rule("code_head", f"/(.|\\n)*{_lark_regex(marker)}/", options="[lazy]")
                alternatives.append(f"{head} CODE")
        return " | ".join(alternatives)

    def _near_miss(self, functions: Sequence[Function]) -> str:
        """Text up to the arguments key of an object that names an offered tool, then the arguments.

        The rest is printed as the object began: on one line, indented by two, or as the model likes.
        """
        bodies = []
        for function in functions:
            trigger = _BEFORE_NAME + _lark_regex(f'"{function["name"]}"') + _ARGUMENTS_KEY
            schema = arguments_schema(function.get("parameters"))
            pretty = pretty_arguments(schema, self.numbered, indent=2)
            rests = {
                _ON_ONE_LINE: f'{self.arguments(function)} "}}"',
                _INDENTED: f'{pretty} "\\n}}"',
                _OTHERWISE: f"{self.json(open_spaced(schema))} CLOSING_BRACE",
            }
            for beginning, rest in rests.items():
                head = self.numbered(f"/(.|\\n)*{beginning}{trigger}/", options="[lazy]")
                bodies.append(f'{head} " " {rest}')
        self.rule("CLOSING_BRACE", r"/\s{0,16}\}/")
        return " | ".join(bodies)

    def _near_bodies(self, functions: Sequence[Function]) -> list[str]:
        return [f'{_quoted(_object_head(f["name"]))} {self.arguments(f)} "}}"' for f in functions]


def _object_head(name: str) -> str:
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "{CALL_KEYS[0]}": '


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


def _lark_regex(text: str) -> str:
    """A text as part of a Lark `/…/` terminal."""
    return re.escape(text).replace("/", r"\/").replace("\n", r"\n")
