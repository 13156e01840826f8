"""A model family is one thing seen three ways: its template renders, its parser reads, its grammar constrains.

A family is data: this class is the mechanism. Knows text only, never a token, except that some markers of a format
may be single tokens of the model's vocabulary (`special_tokens`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import partial
from importlib.resources import files
from typing import Any

from chat_templates.formats import OutputFormat
from chat_templates.grammar import NEAR_MISS_BEGINNINGS, ToolChoice, build_further, build_grammar, build_prose
from chat_templates.guard import NO_MARKERS, Guard, Markers, Prompt
from chat_templates.parser import OutputParser
from chat_templates.readers.state import OfferedNames
from chat_templates.render import (
    NO_KWARGS,
    ArgumentsAs,
    Message,
    Renderer,
    Tool,
    function_tools,
    normalise_messages,
    prepare_tools,
    render_template,
)
from chat_templates.thought import UNBOUNDED, Thought
from chat_templates.tools import PreparedTools
from chat_templates.turns import system_at_the_start


@dataclass(frozen=True, slots=True)
class Family:
    """One model family.

    `template` is the Jinja source, rendered with messages, tools, add_generation_prompt, bos_token, eos_token and
    `variables` (constants and functions); it calls `refuse(message, param)` on what its format cannot say. `prepare`
    turns the normalised messages into what the format can print: ids of the right length, one call a turn. A format
    with `system_first` has a place for a system message at the beginning only.
    `markers` must all stand in a GGUF's chat template for the family to be detected, `absent` must not; `names` are
    parts of a GGUF's name or base name, in lower case with hyphens, for a family of which no template tells.
    `special_tokens` are the markers of `output` that the family's own vocabulary holds as single tokens. `pseudo_tools`
    are the tool types besides "function" that the family understands. `evidence` grades the sources: S the vendor's own
    text, T fixed by the vendor's test as well, D documented by the vendor, I inferred; empty for a format of our own.
    `needs_description`: the template fails on a tool without one. `without_thinking` are the template's variables that
    keep the model from thinking, empty where there is no such switch; `efforts` are its variables for a thought's
    efforts, by their names. `opens_thought` are the variables with which prompts end inside of a thought, so that
    answers begin there, `without_thinking` apart; None where none does. `call_id_size` is how many letters and digits
    the format wants of a call's id, None where any id will do. `renderer` runs the template; a template that comes from
    a file needs one that holds it within limits.
    """

    id: str
    title: str
    template: str = field(repr=False)
    output: OutputFormat
    arguments_as: ArgumentsAs
    markers: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    bos_token: str = ""
    eos_token: str = ""
    special_tokens: frozenset[str] = frozenset()
    variables: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    system_first: bool = False
    pseudo_tools: frozenset[str] = frozenset()
    example_model: str = ""
    evidence: str = ""
    needs_description: bool = False
    without_thinking: Mapping[str, Any] = field(default_factory=dict)
    efforts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    opens_thought: Mapping[str, Any] | None = None
    call_id_size: int | None = None
    renderer: Renderer = field(default=render_template, repr=False, compare=False)

    def matches(self, chat_template: str) -> bool:
        """Whether a GGUF's chat template is this family's own."""
        if not self.markers:
            return False
        return all(m in chat_template for m in self.markers) and not any(a in chat_template for a in self.absent)

    def fitted(
        self,
        template: str | None,  # noqa: ARG002  see generic
        *,
        bos_token: str,  # noqa: ARG002
        eos_token: str,  # noqa: ARG002
        renderer: Renderer = render_template,  # noqa: ARG002
    ) -> Family:
        """This family for a model with this chat template and these tokens: unchanged, unless it has no framing."""
        return self

    def with_template(self, template: str, *, bos_token: str, eos_token: str, renderer: Renderer) -> Family:
        """The same conversations rendered by this template as it stands, tools included: for `render` alone.

        What a family adds to its own template's rendering is left out.
        """
        given = {field.name: getattr(self, field.name) for field in fields(Family)}
        own = {"template": template, "bos_token": bos_token, "eos_token": eos_token, "renderer": renderer}
        return Family(**{**given, "variables": {}, **own})

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        add_generation_prompt: bool = True,
        today: date | None = None,
        template_kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> str:
        """The exact prompt text of a conversation, BOS text included where the family prints it.

        `today` is the date for templates that print one (default: the system's). `template_kwargs` are further
        variables that the template reads, Qwen3's `enable_thinking` for example. Raises `TemplateRequestError` naming
        a message's or a tool's field or one of `template_kwargs` that the template does not read, and
        `TemplateFileError` when the template itself fails.
        """
        return self.prompt(
            messages,
            tools,
            add_generation_prompt=add_generation_prompt,
            today=today,
            template_kwargs=template_kwargs,
        ).text

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        markers: Markers = NO_MARKERS,
        add_generation_prompt: bool = True,
        today: date | None = None,
        template_kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> Prompt:
        """As `render`, with the stretches in which `markers` are the caller's text, not the template's."""
        normalised = normalise_messages(messages, self.arguments_as)
        seated, moved = system_at_the_start(normalised) if self.system_first else (normalised, ())
        turns = self.prepare(seated) if self.prepare else seated
        prepared = self.prepare_tools(tools)
        guard = Guard(markers, prepared, turns, template_kwargs)
        variables = {
            **self.variables,
            "messages": guard.over(turns),
            "tools": guard.over(prepared),
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
        }
        day = today or date.today()  # noqa: DTZ011  the user's day
        kwargs = guard.over(template_kwargs)
        prompt = guard.prompt(self.renderer(self.template, variables, today=day, template_kwargs=kwargs))
        return replace(prompt, moved=moved)

    def thought(
        self, template_kwargs: Mapping[str, Any], *, thinks: bool = True, max_tokens: int | None = None
    ) -> Thought:
        """How an answer to a prompt with these variables may think, at most for `max_tokens`.

        The variables decide whether it does, where the template has a switch; where it has none, `thinks` does.
        """
        off = self.without_thinking
        if off and all(template_kwargs.get(name) == off[name] for name in off):
            return Thought(may_begin=False)
        opens = self.opens_thought
        is_open = opens is not None and all(template_kwargs.get(name) == opens[name] for name in opens)
        if not off and not thinks:
            return Thought(is_open, may_begin=False, max_tokens=0)
        return Thought(is_open, max_tokens=max_tokens)

    def prepare_tools(self, tools: Sequence[Tool] | None) -> PreparedTools | None:
        """The tools as the template reads them, for `render` and `prompt`: who asks often prepares them once.

        None when there are none. Raises `TemplateRequestError` for a tool without a name.
        """
        return prepare_tools(tools, needs_description=self.needs_description)

    def parser(self, tools: Sequence[Tool] | None = None, *, in_thought: bool = False) -> OutputParser:
        """A fresh parser for one answer. `tools` None means unknown: names are then not checked.

        `in_thought`: the answer begins inside of a thought; see `Family.thought`.
        """
        return self.parsers(tools, in_thought=in_thought)()

    def parsers(self, tools: Sequence[Tool] | None, *, in_thought: bool = False) -> Callable[[], OutputParser]:
        """What makes a fresh parser for each answer with these tools; see `parser`."""
        if tools is None:
            return partial(OutputParser, self.output, OfferedNames(None, self.output.code_name), in_thought=in_thought)
        offered = OfferedNames(tool_names(tools), self.output.code_name, parameter_order(tools), parameters_of(tools))
        if has_code_interpreter(tools):
            named = replace(offered, names=tool_names(tools) | {"python"})
            return partial(OutputParser, self.output, named, in_thought=in_thought)
        output = replace(self.output, code_marker=None)
        return partial(OutputParser, output, replace(offered, code_name=None), in_thought=in_thought)

    def call_beginnings(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """How an answer begins that is a call: in the family's own form, or as a small model's near miss."""
        output, call = self.output, self.output.call
        has_code = has_code_interpreter(tools)
        names = sorted({*tool_names(tools), *((output.code_name,) if output.code_name and has_code else ())})
        code = (output.code_marker,) if output.code_marker and has_code else ()
        near_misses = () if call.text_start else NEAR_MISS_BEGINNINGS  # what stands before text decides nothing
        return (*call.beginnings(names), *code, *near_misses)

    def grammar(
        self,
        tools: Sequence[Tool] | None,
        tool_choice: ToolChoice = "auto",
        parallel_tool_calls: bool = True,
        *,
        response_schema: Mapping[str, Any] | None = None,
        special_tokens: Collection[str] | None = None,
        thought: Thought = UNBOUNDED,
    ) -> str | None:
        """An llguidance Lark grammar for the answer, or None when anything may be written.

        `special_tokens` are the markers that the model's vocabulary really holds as single tokens (default: the
        family's own). `response_schema` constrains the text of an answer that is not a call. `thought` bounds one where
        the vocabulary marks it.
        """
        return build_grammar(
            self.output,
            function_tools(tools or ()),
            tool_choice,
            parallel=parallel_tool_calls,
            response_schema=response_schema,
            special_tokens=self.special_tokens if special_tokens is None else special_tokens,
            allows_code=has_code_interpreter(tools or ()),
            thought=thought,
        )

    def further_call(self, tools: Sequence[Tool], special_tokens: Collection[str] | None = None) -> str:
        """The Lark grammar of one more call of these functions, to be written after `before_further`."""
        known = self.special_tokens if special_tokens is None else special_tokens
        return build_further(self.output, function_tools(tools), special_tokens=known)

    def before_further(self, answer: str) -> str:
        """What a model has written when it begins one more call after the calls of a whole `answer`."""
        form = self.output.call
        text = answer.rstrip()
        return text.removesuffix(form.closing).rstrip() + form.separator

    def prose(self, special_tokens: Collection[str] | None = None, *, goes_on: bool = False) -> str:
        """The Lark grammar of an answer in words, which is no call and does not look like one.

        With `goes_on` it continues words that were generated. `special_tokens` as for `grammar`.
        """
        known = self.special_tokens if special_tokens is None else special_tokens
        return build_prose(self.output, special_tokens=known, goes_on=goes_on)


def tool_names(tools: Sequence[Tool]) -> frozenset[str]:
    """The names of the function tools."""
    return frozenset(function["name"] for function in function_tools(tools))


def parameters_of(tools: Sequence[Tool]) -> dict[str, Mapping[str, Any]]:
    """The schemas of the function tools' arguments, by name."""
    schemas = {function["name"]: function.get("parameters") for function in function_tools(tools)}
    return {name: schema for name, schema in schemas.items() if isinstance(schema, Mapping)}


def parameter_order(tools: Sequence[Tool]) -> dict[str, tuple[str, ...]]:
    """The parameters of the function tools, by name, in declared order."""
    return {
        function["name"]: tuple((function.get("parameters") or {}).get("properties") or ())
        for function in function_tools(tools)
    }


def has_code_interpreter(tools: Sequence[Tool]) -> bool:
    """Whether Functionary's pseudo-tool for raw code is offered."""
    return any(tool.get("type") == "code_interpreter" for tool in tools)


def template_source(package: str) -> str:
    """The `template.jinja` beside a family's `family.py`. `package` is the caller's `__package__`."""
    return files(package).joinpath("template.jinja").read_text(encoding="utf-8")
