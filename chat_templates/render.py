"""A conversation becomes the exact prompt text: messages normalised, then rendered as Hugging Face renders.

Knows Jinja and OpenAI's message shapes; never a token. Laws: the caller's messages are not modified; what an
OpenAI client sends every day (null contents, content parts, missing descriptions) renders; what cannot be rendered
is refused by the path of its field. Templates are untrusted text: the environment is sandboxed and immutable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from chat_templates.errors import TemplateFileError, TemplateRequestError
from chat_templates.tools import PreparedObject, PreparedTools, to_json

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
KWARGS_PARAM = "chat_template_kwargs"
NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


class ArgumentsAs(Enum):
    """How a family's template reads the arguments of a past call. The OpenAI API always carries a string."""

    STRING = "string"
    OBJECT = "object"


# --- normalisation ---------------------------------------------------------------------------------------------------


def normalise_messages(messages: Sequence[Message], arguments_as: ArgumentsAs) -> list[dict[str, Any]]:
    """Messages in the one shape that templates may rely on.

    `content` is a string, `tool_calls` is absent or a non-empty list, every tool message has a `name`, `developer` is
    `system`, arguments are what `arguments_as` says, and tool results stand in the order of their calls.
    Raises `TemplateRequestError` with the path of a field that no template can take.
    """
    normalised = [_message(message, f"messages[{i}]", arguments_as) for i, message in enumerate(messages)]
    _name_tool_results(normalised)
    return _order_tool_results(normalised)


def _message(message: Message, path: str, arguments_as: ArgumentsAs) -> dict[str, Any]:
    role = message.get("role")
    if role not in ROLES:
        raise TemplateRequestError(
            f"{path}.role is {role!r}; supported roles are {', '.join(ROLES)}.", param=f"{path}.role"
        )
    out = {key: value for key, value in message.items() if key != "tool_calls"}
    out["role"] = "system" if role == "developer" else role
    out["content"] = _text(message.get("content"), f"{path}.content")
    if message.get("tool_calls"):
        out["tool_calls"] = [
            _tool_call(call, f"{path}.tool_calls[{i}]", arguments_as) for i, call in enumerate(message["tool_calls"])
        ]
    return out


def _text(content: object, path: str) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "".join(_part(part, f"{path}[{i}]") for i, part in enumerate(content))
        case _:
            raise TemplateRequestError(
                f"{path} must be a string, a list of text parts or null, not {type(content).__name__}.",
                param=path,
            )


def _part(part: object, path: str) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "refusal", "refusal": str(text)}:
            return text
        case {"type": kind}:
            raise TemplateRequestError(f"{path} has type {kind!r}; this server takes text parts only.", param=path)
        case _:
            raise TemplateRequestError(f"{path} is not a content part.", param=path)


def _tool_call(call: Any, path: str, arguments_as: ArgumentsAs) -> dict[str, Any]:
    match call:
        case {"function": {"name": str(name)} as function}:
            pass
        case _:
            raise TemplateRequestError(f"{path}.function.name is missing.", param=f"{path}.function.name")
    rebuilt = {"name": name, "arguments": _arguments(function.get("arguments"), arguments_as)}
    return {"id": call.get("id", ""), "type": "function", "function": rebuilt}


def _arguments(arguments: Any, arguments_as: ArgumentsAs) -> Any:
    if arguments_as is ArgumentsAs.STRING:
        if isinstance(arguments, str):
            return arguments if arguments.strip() else "{}"
        return to_json({} if arguments is None else arguments)
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except ValueError:
        # A past call that broke off must not make the whole conversation unusable.
        return {"_raw": arguments}


def _name_tool_results(messages: list[dict[str, Any]]) -> None:
    """Name results by their calls; where two calls of a turn have one id, the first result is the first call's."""
    names: dict[str, list[str]] = {}
    for message in messages:
        if message.get("tool_calls"):
            turn: dict[str, list[str]] = {}
            for call in message["tool_calls"]:
                turn.setdefault(call["id"], []).append(call["function"]["name"])
            names.update(turn)
        if message["role"] == "tool" and (known := names.get(message.get("tool_call_id", ""))):
            name = known.pop(0) if len(known) > 1 else known[0]
            message["name"] = message.get("name") or name


def _order_tool_results(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results right after an assistant turn in the order of its calls: most formats print no ids."""
    ordered: list[dict[str, Any]] = []
    i = 0
    while i < len(messages):
        ordered.append(messages[i])
        position = {call["id"]: k for k, call in enumerate(messages[i].get("tool_calls", ()))}
        i += 1
        run_start = i
        while i < len(messages) and messages[i]["role"] == "tool":
            i += 1
        run = messages[run_start:i]
        run.sort(key=lambda m: position.get(m.get("tool_call_id", ""), len(position)))  # stable: the rest keep order
        ordered += run
    return ordered


def prepare_tools(tools: Sequence[Tool] | None, *, needs_description: bool = False) -> PreparedTools | None:
    """Tools in the one shape that templates may rely on, or None when there are none. Prepared ones stay as they are.

    A description that is null is left out; where a template `needs_description`, a missing one is the empty text.
    Otherwise functions stay as given: most templates print them whole.
    """
    if not tools:
        return None
    if isinstance(tools, PreparedTools):
        return tools
    return PreparedTools([_tool(tool, f"tools[{i}]", needs_description) for i, tool in enumerate(tools)])


def _tool(tool: Tool, path: str, needs_description: bool) -> dict[str, Any]:
    if "function" in tool:
        return {**tool, "function": _function(tool["function"], f"{path}.function", needs_description)}
    if "name" in tool:  # a bare function object, as Functionary's own clients send it
        return _function(tool, path, needs_description)
    return dict(tool)


def _function(function: Any, path: str, needs_description: bool) -> dict[str, Any]:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise TemplateRequestError(f"{path}.name is missing.", param=f"{path}.name")
    if function.get("description") is not None:
        return dict(function)
    rest = {key: value for key, value in function.items() if key not in ("name", "description")}
    described = {"description": ""} if needs_description else {}
    return {"name": function["name"], **described, **rest}


# --- rendering -------------------------------------------------------------------------------------------------------


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` of training templates: the body, unchanged."""

    tags = {"generation"}  # noqa: RUF012  Jinja's declared type

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _refuse(message: str, param: str) -> NoReturn:
    """For the templates of families: raises `TemplateRequestError`."""
    raise TemplateRequestError(message, param=param)


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Refuse at once: Jinja's own sandbox prints an unsafe attribute as nothing and fails only on its use."""
        raise jinja2.exceptions.SecurityError(
            f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe."
        )


def environment(today: date) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """The environment of Hugging Face's chat templates, with the date passed in."""
    env = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # prompts are not HTML
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    env.filters["tojson"] = to_json
    # `|safe` makes Markup, and Markup + str escapes HTML: Functionary v3.1's published template would print &#34;.
    env.filters["safe"] = str
    env.globals["raise_exception"] = _raise_exception
    env.globals["refuse"] = _refuse
    env.globals["strftime_now"] = today.strftime
    return env


class ChatTemplate:
    """A compiled template for one day. Raises `TemplateFileError` if it does not compile."""

    def __init__(self, source: str, today: date) -> None:
        env = environment(today)
        with _told_as_its_own():
            self._template = env.from_string(source)
            self._names = _read_from_outside(env.parse(source)) - frozenset(env.globals)

    def render(self, variables: Mapping[str, Any], template_kwargs: Mapping[str, Any] = NO_KWARGS) -> str:
        """The prompt. `template_kwargs` are the caller's own variables.

        Raises `TemplateFileError` when the template does not run on these variables, and `TemplateRequestError` for a
        name in `template_kwargs` that the template does not read, or that is one of `variables`.
        """
        known = sorted(self._names - variables.keys())
        for name in template_kwargs:
            if name not in known:
                raise TemplateRequestError(
                    f"{KWARGS_PARAM}.{name} is not known to this model's template; it knows: "
                    f"{', '.join(known) or 'none'}.",
                    param=f"{KWARGS_PARAM}.{name}",
                )
        with _told_as_its_own():
            return self._template.render({**template_kwargs, **variables})


def _read_from_outside(template: jinja2.nodes.Template) -> frozenset[str]:
    """The variables that a template reads and does not set, or asks whether they were set."""
    names = jinja2.meta.find_undeclared_variables(template)
    own = {name.name for name in template.find_all(jinja2.nodes.Name) if name.ctx == "store"}
    asked = {
        test.node.name
        for test in template.find_all(jinja2.nodes.Test)
        if test.name in ("defined", "undefined") and isinstance(test.node, jinja2.nodes.Name)
    }
    return frozenset(names - (own - asked))


def render_template(
    source: str, variables: Mapping[str, Any], *, today: date, template_kwargs: Mapping[str, Any] = NO_KWARGS
) -> str:
    """A trusted template's prompt; raises as `ChatTemplate` does."""
    return _compiled(source, today).render(variables, template_kwargs)


@lru_cache(maxsize=8)  # a server has one family and one day; compiling takes a hundred times as long as rendering
def _compiled(source: str, today: date) -> ChatTemplate:
    return ChatTemplate(source, today)


class Renderer(Protocol):
    """`render_template`, or what does the same for templates that are not trusted."""

    def __call__(
        self, source: str, variables: Mapping[str, Any], *, today: date, template_kwargs: Mapping[str, Any] = NO_KWARGS
    ) -> str:
        """The prompt; see `render_template`."""
        ...


@contextmanager
def _told_as_its_own() -> Iterator[None]:
    """A template's failures as `TemplateFileError`."""
    try:
        yield
    except jinja2.TemplateError as error:
        raise TemplateFileError(f"The chat template fails: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError) as error:
        # A template is a program: it can also fail in the Python that it calls, and in the Python it is compiled to.
        raise TemplateFileError(f"The chat template fails: {type(error).__name__}: {error}") from error


def function_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The bare function objects among tools, in order."""
    bare = (tool.get("function", tool if "name" in tool else None) for tool in tools)
    return [_as_dict(function) for function in bare if function is not None]


def _as_dict(function: Tool) -> dict[str, Any]:
    return function if isinstance(function, PreparedObject) else dict(function)
