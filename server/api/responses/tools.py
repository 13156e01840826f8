"""The tools of a request for a response, and the choice among them.

Knows this dialect's flat functions, custom tools and namespaces. Models know one list of functions: one in a namespace
is shown as `namespace.name`, and its calls come back with both. Every refusal has the place in `param`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.api.request.custom import read_custom, read_format
from server.api.request.fields import invalid, missing, only, text
from server.api.request.ignored import HOSTED_TOOL, TOOL, IgnoredParameters
from server.api.request.tools import TOOL_NAME, Choice, read_function, refuse_same_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.chat.request import InputFormat

_MODES = ("none", "auto", "required")
_KINDS = ("function", "custom")
_DECORATION = TOOL - {"strict"} | {"async"}


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """One tool that the model is shown: the client's own names for it, its kind, and where it stood."""

    shown: dict[str, Any]
    name: str
    namespace: str | None
    kind: str
    at: str
    is_strict: bool = False
    form: InputFormat | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request by the names that the model is shown, and what the answer repeats of them."""

    offered: Mapping[str, OfferedTool] = field(default_factory=dict)
    echoed: tuple[dict[str, Any], ...] = ()

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """In chat completions' shape."""
        return tuple(tool.shown for tool in self.offered.values())


def shown_name(name: str, namespace: str | None) -> str:
    """What the model calls a tool."""
    return name if namespace is None else f"{namespace}.{name}"


def read_tools(tools: Sequence[Mapping[str, Any]] | None, ignored: IgnoredParameters) -> Tools:
    """The tools of a body. Those that a cloud runs are left out and added to `ignored`, which may refuse them.

    Raises `RequestError` for shapes and names that cannot be used, and for a name that is used twice.
    """
    offered: list[OfferedTool] = []
    echoed: list[dict[str, Any]] = []
    for i, tool in enumerate(tools or ()):
        read = list(_read(tool, f"tools[{i}]", ignored))
        offered += read
        if read:
            echoed.append(_echo(tool))
    refuse_same_names({f"{tool.at}.name": shown_name(tool.name, tool.namespace) for tool in offered})
    return Tools({shown_name(tool.name, tool.namespace): tool for tool in offered}, tuple(echoed))


def _read(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> Iterator[OfferedTool]:
    kind = tool.get("type")
    if kind == "namespace":
        yield from _namespace(tool, at, ignored)
    elif isinstance(kind, str) and HOSTED_TOOL.fullmatch(kind):
        ignored.hosted_tool(at, kind)
    else:
        yield _tool(tool, at, None, ignored)


def _namespace(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> Iterator[OfferedTool]:
    tool = ignored.without(tool, at, _DECORATION)
    only(tool, at, {"type", "name", "description", "tools"})
    namespace = text(tool, "name", at)
    if tool.get("description") is not None:
        text(tool, "description", at)
    inner = tool.get("tools")
    if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
        raise invalid(f"{at}.tools", "expected an array of objects", code="invalid_type")
    for i, each in enumerate(inner):
        yield _tool(each, f"{at}.tools[{i}]", namespace, ignored)


def _tool(tool: Mapping[str, Any], at: str, namespace: str | None, ignored: IgnoredParameters) -> OfferedTool:
    kind = tool.get("type")
    if kind is None:
        raise missing(f"{at}.type")
    if kind not in _KINDS:
        more = "" if namespace else " and 'namespace'"
        raise invalid(f"{at}.type", f"{kind!r} is not supported; only 'function', 'custom'{more} are")
    plain = ignored.without(tool, at, _DECORATION)
    fields = {name: value for name, value in plain.items() if name != "type"}
    function = read_custom(fields, at, ignored) if kind == "custom" else read_function(fields, at, ignored)
    name = function["name"]
    shown = shown_name(name, namespace)
    if TOOL_NAME.fullmatch(shown) is None:
        raise invalid(f"{at}.name", f"{shown!r}, its name with the namespace's, does not match {TOOL_NAME.pattern}")
    return OfferedTool(
        shown={"type": "function", "function": {**function, "name": shown}},
        name=name,
        namespace=namespace,
        kind=str(kind),
        at=at,
        is_strict=fields.get("strict") is True,
        form=read_format(fields, at) if kind == "custom" else None,
    )


def _echo(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as answers repeat it: what a client's shape of a function requires is there."""
    if tool["type"] != "function":
        return dict(tool)
    return {"description": None, "parameters": None, "strict": None, **tool}


def read_tool_choice(choice: str | Mapping[str, Any] | None, tools: Tools, ignored: IgnoredParameters) -> Choice:
    """The choice; None is "auto" with tools and "none" without, as are "auto" and "none" without tools.

    Raises `RequestError` for any other choice without tools, an unknown form, and a tool that is not offered.
    """
    offered = tools.offered
    if choice is None or (not offered and choice in ("auto", "none")):
        return Choice("auto" if offered else "none")
    kind = choice if isinstance(choice, str) else choice.get("type")
    if isinstance(kind, str) and HOSTED_TOOL.fullmatch(kind):
        raise invalid("tool_choice.type", f"tools of the type {kind!r} are run by a cloud, and none is run here")
    if not offered:
        raise invalid("tool_choice", f"{choice!r} needs tools, and none is offered that can be called")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise invalid("tool_choice", f"{choice!r} is none of: {', '.join(_MODES)}, or an object")
        return Choice(choice)
    if kind == "allowed_tools":
        return _allowed(choice, tools, ignored)
    if kind not in _KINDS:
        raise invalid(
            "tool_choice.type", f"{kind!r} is not supported; only 'function', 'custom' and 'allowed_tools' are"
        )
    return Choice({"type": "function", "function": {"name": _named(choice, tools, "tool_choice")}})


def _allowed(choice: Mapping[str, Any], tools: Tools, ignored: IgnoredParameters) -> Choice:
    only(choice, "tool_choice", {"type", "mode", "tools"})
    mode, entries = choice.get("mode"), choice.get("tools")
    if mode not in ("auto", "required"):
        raise invalid("tool_choice.mode", f"{mode!r} is none of: auto, required")
    at = "tool_choice.tools"
    if not isinstance(entries, list) or not entries:
        raise invalid(at, "expected a non-empty array; to allow none, set tool_choice to 'none'")
    names = set()
    for i, entry in enumerate(entries):
        kind = entry.get("type") if isinstance(entry, dict) else None
        if isinstance(kind, str) and HOSTED_TOOL.fullmatch(kind):
            ignored.hosted_tool(f"{at}[{i}]", kind)
        elif kind not in _KINDS:
            raise invalid(f"{at}[{i}]", "expected an object of the type 'function' or 'custom'")
        else:
            names.add(_named(entry, tools, f"{at}[{i}]"))
    if not names:
        raise invalid(at, "none of these tools is run here; offer a function to do it yourself")
    return Choice(mode, frozenset(names))


def _named(entry: Mapping[str, Any], tools: Tools, at: str) -> str:
    """The shown name of a tool by its own. Without a namespace one in a namespace is found if it is the only one."""
    only(entry, at, {"type", "name", "namespace"})
    name = text(entry, "name", at)
    namespace = None if entry.get("namespace") is None else text(entry, "namespace", at)
    shown = shown_name(name, namespace)
    if shown in tools.offered:
        return shown
    found = [key for key, tool in tools.offered.items() if tool.name == name and namespace is None]
    if len(found) != 1:
        raise invalid(f"{at}.name", f"{shown!r} is not offered; there are: {', '.join(tools.offered)}")
    return found[0]
