"""Routes with all that OpenAPI tells of them: what they take, what they answer, how they fail.

Knows OpenAPI's words and which layer gives which status; no endpoint. The law: a status that a route gives, and the
shape of every body, is in the description. Our statuses are those of `server.errors`; a dialect's are what its
`ErrorShape` makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from server.api.http.errors import shape_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastapi import FastAPI
    from pydantic import BaseModel

    from server.api.http.errors import ErrorShape

    Json = Mapping[str, Any]

EVERY = frozenset({401, 403, 500})
"""Keys, pages of other origins, and a fault of ours."""
BODY = EVERY | {400, 413, 415}
MODEL = frozenset({404, 503})
"""No model of this name, or none that is ready."""
ANSWER = frozenset({408, 429})
"""No time left, or no place in the queue."""

EVENTS = "text/event-stream"
JSON = "application/json"

_COMPONENT = "#/components/schemas/{model}"

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        400: "The request cannot be served as it is; the error names what to change.",
        401: "The server has keys, and none was shown.",
        403: "Pages of this origin may not ask.",
        404: "Nothing of this name is here.",
        408: "Not answered in the time that was allowed.",
        413: "The body is longer than the server reads.",
        415: "The body is not said to be JSON.",
        429: "The queue is full; ask again later.",
        500: "The server failed.",
        503: "The model is loading, or the server is about to end.",
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one route does, in a sentence, and its answer's schema.

    `fails` are our statuses, `takes` the shape of the body with an `example` of it, `query` and `headers` schemas by
    name, `goes_on` names other operations that take this answer's id, by the parameter that it is for. Without an
    `answer` there is no body. With `is_streamed` there are events in its place for who asks for them.
    """

    says: str
    answer: Json | None
    fails: frozenset[int] = EVERY
    takes: type[BaseModel] | None = None
    example: Json = field(default_factory=dict)
    query: Json = field(default_factory=dict)
    headers: Json = field(default_factory=dict)
    goes_on: Mapping[str, str] = field(default_factory=dict)
    is_streamed: bool = False
    media_type: str = JSON
    other_answers: Mapping[int, Json] = field(default_factory=dict)


class Description:
    """Adds routes to an application; its errors must have been installed. The shapes of bodies become components."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._shapes: dict[str, Any] = {}
        generate = app.openapi

        def described() -> dict[str, Any]:
            document = generate()
            document["components"] = {"schemas": dict(sorted(self._shapes.items()))}
            return document

        app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to extend it

    def add(self, method: str, path: str, endpoint: Callable[..., Awaitable[Response]], told: Operation) -> None:
        """Serve and describe a route. Its operation's id is made of the method and the path."""
        self._app.add_api_route(
            path,
            endpoint,
            methods=[method],
            summary=told.says,
            description=f"{told.says}.",
            operation_id=operation_id(method, path),
            response_class=Response,
            responses=self._responses(path, told),
            openapi_extra=self._extra(path, told),
        )

    def _responses(self, path: str, told: Operation) -> dict[int | str, dict[str, Any]]:
        content: dict[str, Any] = {} if told.answer is None else {told.media_type: {"schema": told.answer}}
        if told.is_streamed:
            content[EVENTS] = {}  # this version of OpenAPI has no words for what an event holds
        answered: dict[str, Any] = {"description": "Answered.", "content": content}
        if told.goes_on:
            answered["links"] = {target: _link(target, name) for target, name in told.goes_on.items()}
        shape = shape_of(self._app, path)
        self._shapes[shape.name] = dict(shape.schema)
        failed = {status: _failure(shape, status) for status in sorted(told.fails)}
        others: dict[int | str, dict[str, Any]] = {
            status: _answer(_REASONS[status], schema) for status, schema in told.other_answers.items()
        }
        return {200: answered, **dict(failed.values()), **others}

    def _extra(self, path: str, told: Operation) -> dict[str, Any]:
        in_path = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
        parameters = [
            *(_parameter("path", name, {"type": "string", "minLength": 1}) for name in in_path),
            *(_parameter("query", name, schema) for name, schema in told.query.items()),
            *(_parameter("header", name, schema) for name, schema in told.headers.items()),
        ]
        extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
        if told.takes is not None:
            # The body is read by hand, so FastAPI does not know it.
            body = {"schema": self._body(told.takes), "example": dict(told.example)}
            extra["requestBody"] = {"required": True, "content": {JSON: body}}
        return extra

    def _body(self, shape: type[BaseModel]) -> dict[str, str]:
        schema = shape.model_json_schema(ref_template=_COMPONENT)
        self._shapes |= schema.pop("$defs", {})
        self._shapes[shape.__name__] = schema
        return _component(shape.__name__)


def operation_id(method: str, path: str) -> str:
    """The name of an operation: `get_v1_models_name` for `GET /v1/models/{name:path}`."""
    parts = (part.strip("{}").partition(":")[0] for part in path.split("/"))
    return "_".join([method.lower(), *(part.replace("-", "_") for part in parts if part)])


def _failure(shape: ErrorShape, status: int) -> tuple[int, dict[str, Any]]:
    return shape.statuses.get(status, status), _answer(_REASONS[status], _component(shape.name))


def _component(name: str) -> dict[str, str]:
    return {"$ref": _COMPONENT.format(model=name)}


def _answer(description: str, schema: Json) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _link(target: str, parameter: str) -> dict[str, Any]:
    return {"operationId": target, "parameters": {parameter: "$response.body#/id"}}


def _parameter(place: str, name: str, schema: Json) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": schema}
