"""How the schemas of one request are enforced, and what its client is told where they are not.

Knows tools and `response_format` in OpenAI's shapes; compiles nothing itself. Laws: a tool whose schema cannot be
enforced is degraded alone, and never silently; `strict` asks for a refusal instead; limits are always refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from chat_templates.lark.regular import LarkError, regular
from chat_templates.schema.enforcement import (
    Enforcement,
    Unenforceable,
    degraded,
    enforce,
    enforce_arguments,
)
from chat_templates.schema.limits import EndlessSchemaError, SchemaLimitError
from server.chat.request import InputFormat
from server.chat.schemas.warning import SchemaWarning
from server.errors import RequestError

# MCP servers are known to send 100 KB of tool schemas; descriptions count here, and in no grammar.
MAX_SCHEMA_CHARS = 1024 * 1024
NO_FORMATS: Mapping[str, InputFormat] = MappingProxyType({})
RESPONSE_PATH = "response_format.json_schema.schema"


@dataclass(frozen=True, slots=True)
class EnforcedSchema:
    """One schema of a request. `tool` is None for the response format; `path` leads to it in the request.

    `is_endless`: nothing finite fits it, so it is freed as a whole.
    """

    tool: str | None
    path: str
    is_strict: bool
    enforcement: Enforcement
    is_endless: bool = False

    @property
    def warnings(self) -> tuple[SchemaWarning, ...]:
        """A warning for each keyword that is not enforced."""
        return tuple(
            SchemaWarning(
                "schema_degraded", self.tool, self.path + fault.path, _degradation(self, fault), fault.keyword
            )
            for fault in self.enforcement.faults
        )

    def degraded(self, path: str, reason: str) -> EnforcedSchema:
        """The schema, not enforced because of what is at `path`. Raises `RequestError` if it is strict."""
        fault = Unenforceable(path, "schema", reason)
        return _refuse_strict(replace(self, enforcement=degraded(self.enforcement.given, fault)))

    def refusal(self, path: str, reason: str) -> RequestError:
        """The error that names the schema and the place in it."""
        subject = "The schema" if self.tool is None else f"The parameters of tool {self.tool!r}"
        return RequestError(
            f"{subject} cannot be enforced at {self.path}{path}: {reason}.",
            param=self.path + path,
            code="invalid_json_schema" if self.tool is None else "invalid_function_parameters",
        )


@dataclass(frozen=True, slots=True)
class EnforcedSchemas:
    """The schemas of a request that its grammar is made of: those of the tools by name, and the response's."""

    tools: Mapping[str, EnforcedSchema]
    response: EnforcedSchema | None = None

    @property
    def all(self) -> tuple[EnforcedSchema, ...]:
        """The tools' schemas in the order of the request, then the response's."""
        return (*self.tools.values(), *(() if self.response is None else (self.response,)))

    @property
    def warnings(self) -> tuple[SchemaWarning, ...]:
        """What the client is told before anything is generated."""
        return tuple(warning for schema in self.all for warning in schema.warnings)

    @property
    def response_schema(self) -> Mapping[str, Any] | None:
        """The schema of a JSON answer for the grammar."""
        return None if self.response is None else self.response.enforcement.enforced

    def in_grammar(self, tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The tools with the parameters that the grammar is made of."""
        return [self._in_grammar(tool) for tool in tools]

    def replaced(self, schemas: Collection[EnforcedSchema]) -> EnforcedSchemas:
        """A copy with other schemas for some tools, or for the response."""
        tools = {**self.tools, **{schema.tool: schema for schema in schemas if schema.tool is not None}}
        responses = [schema for schema in schemas if schema.tool is None]
        return EnforcedSchemas(tools, responses[0] if responses else self.response)

    def _in_grammar(self, tool: Mapping[str, Any]) -> Mapping[str, Any]:
        function = tool.get("function")
        if function is None or function["name"] not in self.tools:
            return tool
        enforced = self.tools[function["name"]].enforcement.enforced
        return {**tool, "function": {**function, "parameters": enforced}}


def check_size(n_chars: int) -> None:
    """Raises `RequestError` if a request's tools and response format have too many characters, as JSON."""
    if n_chars > MAX_SCHEMA_CHARS:
        raise RequestError(
            f"The tools and the response format have {n_chars} characters; the limit is {MAX_SCHEMA_CHARS}. "
            f"Offer fewer tools or smaller schemas.",
            param="tools",
            code="invalid_function_parameters",
        )


def enforce_request(
    tools: Sequence[Mapping[str, Any]],
    tool_choice: str | Mapping[str, Any],
    response_format: Mapping[str, Any] | None,
    strict_tools: Collection[str],
    input_formats: Mapping[str, InputFormat] = NO_FORMATS,
) -> EnforcedSchemas:
    """How a request's schemas are enforced; those of tools that cannot be called are not looked at.

    `input_formats` are of custom tools by their names: what their string must match.

    A tool whose schema nothing finite fits is called with any object, as long as another tool can be called.

    Raises `RequestError` for schemas beyond the limits, and for strict ones that cannot be enforced.
    """
    enforced: dict[str, EnforcedSchema] = {}
    for i, tool in enumerate(tools):
        function = tool.get("function")
        if function is not None and _is_callable(function["name"], tool_choice):
            name, path = function["name"], f"tools[{i}].function.parameters"
            if name in input_formats:
                enforced[name] = _with_format(name, function["parameters"], input_formats[name])
            else:
                enforced[name] = _enforced(name, path, name in strict_tools, function.get("parameters") or {})
    if enforced and all(schema.is_endless for schema in enforced.values()):
        first = next(iter(enforced.values()))
        fault = first.enforcement.faults[0]
        raise first.refusal(fault.path, fault.reason)
    return EnforcedSchemas(enforced, _response(response_format))


def _with_format(tool: str, parameters: Mapping[str, Any], form: InputFormat) -> EnforcedSchema:
    """The schema of a custom tool's only string, held to its format. Raises `RequestError` if it cannot be."""
    try:
        expression = regular(form.definition) if form.syntax == "lark" else form.definition
    except LarkError as error:
        raise _refused_format(tool, form, str(error)) from error
    name, string = next(iter(parameters["properties"].items()))
    schema = {**parameters, "properties": {name: {**string, "pattern": f"^(?:{expression})$"}}}
    try:
        enforcement = enforce_arguments(schema)
    except SchemaLimitError as error:
        raise _refused_format(tool, form, error.reason) from error
    if enforcement.faults:
        raise _refused_format(tool, form, enforcement.faults[0].reason)
    return EnforcedSchema(tool, form.place, True, enforcement)


def _refused_format(tool: str, form: InputFormat, reason: str) -> RequestError:
    return RequestError(
        f"The format of the custom tool {tool!r} cannot be enforced: {reason}",
        param=form.place,
        code="invalid_custom_tool_format",
    )


def _is_callable(name: str, tool_choice: str | Mapping[str, Any]) -> bool:
    if isinstance(tool_choice, str):
        return tool_choice != "none"
    return bool(tool_choice["function"]["name"] == name)


def _response(response_format: Mapping[str, Any] | None) -> EnforcedSchema | None:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)} as named}:
            return _enforced(None, RESPONSE_PATH, named.get("strict") is True, schema)
        case {"type": "json_object" | "json_schema"}:
            return EnforcedSchema(None, RESPONSE_PATH, False, Enforcement({}, {"type": "object"}))
        case _:
            return None


def _enforced(tool: str | None, path: str, is_strict: bool, schema: Mapping[str, Any]) -> EnforcedSchema:
    try:
        enforcement = enforce(schema) if tool is None else enforce_arguments(schema)
    except EndlessSchemaError as error:
        fault = Unenforceable(error.path, "$ref", error.reason)
        freed = EnforcedSchema(tool, path, is_strict, degraded(schema, fault), is_endless=True)
        if tool is None:
            raise freed.refusal(error.path, error.reason) from error
        return _refuse_strict(freed)
    except SchemaLimitError as error:
        raise EnforcedSchema(tool, path, is_strict, Enforcement(schema, {})).refusal(
            error.path, error.reason
        ) from error
    return _refuse_strict(EnforcedSchema(tool, path, is_strict, enforcement))


def _refuse_strict(schema: EnforcedSchema) -> EnforcedSchema:
    if schema.is_strict and schema.enforcement.faults:
        fault = schema.enforcement.faults[0]
        raise schema.refusal(fault.path, f"{fault.keyword} is not enforceable ({fault.reason}), and strict is true")
    return schema


def _degradation(schema: EnforcedSchema, fault: Unenforceable) -> str:
    what = "The answer" if schema.tool is None else "Its arguments"
    are = "is" if schema.tool is None else "are"
    held_to = f"{what} {are} any JSON object" if schema.enforcement.is_free else "The rest of the schema is enforced"
    return f"{fault.keyword!r} cannot be enforced: {fault.reason}. {held_to}; the whole is validated after."
