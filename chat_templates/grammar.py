"""Tools and a choice become one llguidance Lark grammar over the whole answer.

Knows output formats and JSON Schema; no vocabulary, except which markers are single tokens. Laws: whatever the grammar
forces, the parser of the same format reads as a call; in `auto` any text stays possible until it can only be a call of
an offered tool; markers that are special tokens enter as tokens, since as strings they could never match.

Shape of an `auto` grammar (see llguidance's docs on syntax, "Tool calling"): the free text before a call belongs to a
lazy lexeme that ends in the call's trigger; from there on everything is constrained. After the first call the answer
may only go on with calls, or end: small models ramble there, at a decode step a token.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates.formats import OutputFormat
from chat_templates.forms.form import CallForm, Function
from chat_templates.lark.near_misses import text_or_calls
from chat_templates.lark.rules import LarkGrammar
from chat_templates.lark.thought import is_marked, write_thought
from chat_templates.schema.parameters import content_schema
from chat_templates.thought import UNBOUNDED, Thought

ToolChoice = str | Mapping[str, Any]

NEAR_MISS_BEGINNINGS = (
    *('```json\n{"name": "', '```json\n{\n  "name": "', '```json\n[{"name": "', '```\n{"name": "'),
    *('{"name": "', '{\n  "name": "', '[{"name": "', "[\n  {"),
)

# Words: where a line begins, braces, brackets, quotes, fences, tags and recipients open what is none; within a line an
# object does: a model that may not begin with a brace begins with a parenthesis and a brace.
_REST_OF_LINE = r"""([^\n{]|\{[^\s{"'\]}])*"""
_LINE = r""" {0,8}[^\s{}\[\]`<>"']""" + _REST_OF_LINE
_MORE_LINES = r"(\n{1,3}" + _LINE + r"){0,400}\n?"


def build_grammar(
    output: OutputFormat,
    functions: Sequence[Function],
    tool_choice: ToolChoice,
    *,
    parallel: bool,
    response_schema: Mapping[str, Any] | None,
    special_tokens: Collection[str],
    allows_code: bool = False,
    thought: Thought = UNBOUNDED,
) -> str | None:
    """The grammar of an answer, or None when every text is allowed.

    `functions` are bare function objects. A named `tool_choice` allows one call of that tool; "none" and an empty tools
    list allow no call. `thought` is bounded where its markers are tokens, or the prompt opened it. Nothing is compiled
    here: a schema that cannot be enforced shows when the grammar is compiled.
    """
    grammar = LarkGrammar(special_tokens)
    before = write_thought(grammar, output.reasoning, thought)
    if tool_choice == "none" or not (functions or allows_code):
        text_start = output.call.before_text(grammar)
        if response_schema is not None:
            grammar.rule("start", f"{before} {text_start} {grammar.json(content_schema(response_schema))}".lstrip())
        elif thought.max_tokens is not None and is_marked(grammar, output.reasoning, thought):
            grammar.rule("start", f"{before} {text_start} TEXT".lstrip())
        else:
            return None
        return grammar.text()
    if not isinstance(tool_choice, str):
        name = tool_choice["function"]["name"]
        functions = [f for f in functions if f["name"] == name]
        allows_code = allows_code and name == "python"
        parallel = False
    code_marker = output.code_marker if allows_code else None
    code_name = output.code_name if allows_code else None
    functions = tuple(f for f in functions if f["name"] != code_name)
    answer = _Answer(grammar, output.call, functions, code_marker, code_name, parallel)
    body = answer.auto(response_schema) if tool_choice == "auto" else answer.calls()
    grammar.rule("start", f"{before} ({body})" if before else body)
    return grammar.text()


def build_further(output: OutputFormat, functions: Sequence[Function], *, special_tokens: Collection[str]) -> str:
    """The grammar of one more call after others and what separates it from them, to the end of the answer."""
    grammar = LarkGrammar(special_tokens)
    answer = _Answer(grammar, output.call, tuple(functions), None, None, parallel=False)
    grammar.rule("start", f"{answer.one_call()} {grammar.literal(output.call.closing)}".rstrip())
    return grammar.text()


def build_prose(output: OutputFormat, *, special_tokens: Collection[str], goes_on: bool = False) -> str:
    """The grammar of an answer in words: no line of it begins as calls, JSON, code or markers do.

    With `goes_on` it continues a line of words. Special tokens are never words.
    """
    grammar = LarkGrammar(special_tokens)
    if goes_on:
        grammar.rule("start", f"/{_REST_OF_LINE}{_MORE_LINES}/")
        return grammar.text()
    grammar.rule("start", f"{output.call.before_text(grammar)} /{_LINE}{_MORE_LINES}/".lstrip())
    return grammar.text()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an answer may be, as rules added to `grammar`."""

    grammar: LarkGrammar
    form: CallForm
    functions: tuple[Function, ...]
    code_marker: str | None
    code_name: str | None
    parallel: bool

    def calls(self) -> str:
        """Calls in the family's own form from the first character on."""
        return self.form.answer(self.grammar, self.one_call(), parallel=self.parallel)

    def auto(self, response_schema: Mapping[str, Any] | None) -> str:
        """Free text, or free text that leads into calls: native ones, or the near misses of small models."""
        grammar = self.grammar
        text_start = self.form.before_text(grammar)
        if response_schema is not None:
            schema = self.form.answer_schema(self.functions, response_schema, parallel=self.parallel)
            if schema is not None:
                return grammar.json(schema)
            return f"{self.calls()} | {text_start} {grammar.json(content_schema(response_schema))}"
        one_call = self.one_call()
        leads = self.form.leads(grammar, self._called(), one_call, parallel=self.parallel)
        if self.code_marker is not None:
            leads += [f"{head} CODE" for head in grammar.text_up_to(self.code_marker)]
        texts = text_or_calls(
            grammar,
            self.functions,
            leads,
            languages=self.form.languages,
            close=self.form.near_close,
            parallel=self.parallel,
        )
        if not text_start:
            return texts
        calls = self.form.answer(grammar, one_call, parallel=self.parallel)
        return f"{text_start} ({texts}) | {calls}"

    def _called(self) -> tuple[Function, ...]:
        """What calls in the family's own form may name: the functions and, where it is one of them, raw code."""
        if self.code_name is None:
            return self.functions
        return (*self.functions, {"name": self.code_name})

    def one_call(self) -> str:
        """The rule of one call in the family's own form."""
        if self.code_marker is not None or self.code_name is not None:
            self.grammar.rule("CODE", r"/(.|\n)+/")
        if self.code_name is not None:
            self.grammar.set_arguments(self.code_name, "CODE")
        bodies = [self.form.call(self.grammar, function) for function in self._called()]
        if self.code_marker is not None:
            bodies.append(f"{self.grammar.literal(self.code_marker)} CODE")
        return self.grammar.numbered(" | ".join(bodies))
