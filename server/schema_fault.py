"""Which part of a request's schemas makes its grammar fail: the answer that a client can act on.

Knows JSON Schema's shape and a function that compiles; asked only after a whole grammar has failed, so that good
requests pay nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chat_templates.schema import arguments_schema
from server.engine.constraint import GrammarError
from server.errors import RequestError

MAX_ATTEMPTS = 64  # compilations spent on finding the place; the tool is named in any case

Compile = Callable[[str], object]


def locate_fault(
    error: GrammarError,
    tools: Sequence[Mapping[str, Any]],
    response_format: Mapping[str, Any] | None,
    compile_grammar: Compile,
) -> RequestError:
    """The error to answer with: names the tool, or the response format, and the JSON path of the schema at fault."""
    search = _Search(compile_grammar)
    for i, tool in enumerate(tools):
        function = tool.get("function", tool)
        parameters = function.get("parameters")
        fault = search.find(arguments_schema(parameters), f"tools[{i}].function.parameters") if parameters else None
        if fault is not None:
            path, reason = fault
            return RequestError(
                f"The parameters of tool {function['name']!r} cannot be enforced at {path}: {reason}",
                param=path,
                code="invalid_function_parameters",
            )
    match response_format:
        case {"json_schema": {"schema": dict(schema)}}:
            fault = search.find(schema, "response_format.json_schema.schema")
            if fault is not None:
                path, reason = fault
                return RequestError(
                    f"The schema cannot be enforced at {path}: {reason}", param=path, code="invalid_json_schema"
                )
    return RequestError(
        f"The tools cannot be enforced together: {error.message}", param="tools", code="invalid_function_parameters"
    )


class _Search:
    """Compiles ever smaller parts of a schema, as long as attempts are left."""

    def __init__(self, compile_grammar: Compile) -> None:
        self._compile = compile_grammar
        self._n_left = MAX_ATTEMPTS

    def find(self, schema: Mapping[str, Any], path: str) -> tuple[str, str] | None:
        """The path of the smallest part that fails on its own and the compiler's reason; None if nothing fails."""
        reason = self._failure(schema)
        if reason is None:
            return None
        definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        for key, part in _parts(schema):
            fault = self.find({**definitions, **part}, f"{path}.{key}")
            if fault is not None:
                return fault
        return path, reason

    def _failure(self, schema: Mapping[str, Any]) -> str | None:
        if self._n_left == 0:
            return None
        self._n_left -= 1
        try:
            self._compile(f"%llguidance {{}}\nstart: %json {json.dumps(schema, ensure_ascii=False)}\n")
        except GrammarError as error:
            return error.message
        return None


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        for name, part in (schema.get(key) or {}).items():
            if isinstance(part, Mapping):
                yield f"{key}.{name}", part
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for i, part in enumerate(schema.get(key) or ()):
            if isinstance(part, Mapping):
                yield f"{key}[{i}]", part
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield key, schema[key]
