"""Which of a request's schemas makes its grammar fail, when all of them looked enforceable.

Knows JSON Schema's shape and a function that compiles; asked only after a whole grammar has failed, so that good
requests pay nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chat_templates.schema.dialect import parts
from chat_templates.schema.parameters import arguments_schema
from server.chat.schemas.enforced import EnforcedSchema, EnforcedSchemas
from server.engine.sampling.constraint import GrammarError
from server.errors import RequestError

MAX_ATTEMPTS = 64  # compilations spent on finding the place; the tool is named in any case

Compile = Callable[[str], object]


def without_faults(schemas: EnforcedSchemas, error: GrammarError, compile_grammar: Compile) -> EnforcedSchemas:
    """The schemas, those degraded that do not compile on their own. `error` is what the whole grammar failed with.

    Raises `RequestError` for a schema beyond the compiler's limits, or strict; and if none fails on its own.
    """
    search = _Search(compile_grammar)
    degraded = []
    for schema in schemas.all:
        fault = search.find(_grammar_schema(schema), "")
        if fault is not None:
            path, fault_error = fault
            if fault_error.is_too_large:
                raise schema.refusal(path, _reason(fault_error))
            degraded.append(schema.degraded(path, _reason(fault_error)))
    if not degraded:
        raise _too_many(schemas, error)
    return schemas.replaced(degraded)


def _too_many(schemas: EnforcedSchemas, error: GrammarError) -> RequestError:
    largest = max(schemas.all, key=lambda schema: len(json.dumps(schema.enforcement.enforced)))
    if len(schemas.all) == 1:
        return largest.refusal("", _reason(error))
    return RequestError(
        f"The tools cannot be enforced together: {_reason(error)}. The largest is {largest.tool!r}.",
        param="tools",
        code="invalid_function_parameters",
    )


def _grammar_schema(schema: EnforcedSchema) -> Mapping[str, Any]:
    enforced = schema.enforcement.enforced
    return enforced if schema.tool is None else arguments_schema(enforced)


def _reason(error: GrammarError) -> str:
    """The compiler's own words; what follows them is the grammar."""
    return error.message.partition("\n")[0].rpartition("failed to compile JSON schema: ")[2]


class _Search:
    """Compiles ever smaller parts of a schema, as long as attempts are left."""

    def __init__(self, compile_grammar: Compile) -> None:
        self._compile = compile_grammar
        self._n_left = MAX_ATTEMPTS

    def find(self, schema: Mapping[str, Any], path: str) -> tuple[str, GrammarError] | None:
        """The path of the smallest part that fails on its own and its error; None if nothing fails."""
        error = self._failure(schema)
        if error is None:
            return None
        definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        for place, part in parts(schema):
            if not isinstance(part, Mapping) or self._n_left == 0:
                continue
            fault = self.find({**definitions, **part}, f"{path}.{place}")
            if fault is not None:
                return fault
        return path, error

    def _failure(self, schema: Mapping[str, Any]) -> GrammarError | None:
        self._n_left -= 1
        try:
            self._compile(f"%llguidance {{}}\nstart: %json {json.dumps(schema, ensure_ascii=False)}\n")
        except GrammarError as error:
            return error
        return None
