"""The fields of a body against its shape, and the refusals that every dialect shares.

Knows pydantic and places in a body, no dialect. The law: a refusal names the place as its client wrote it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Unsupported = Mapping[str, tuple[tuple[Any, ...], str]]

NOTHING: Unsupported = MappingProxyType({})


class Shape(BaseModel):
    """Strict: "1" is not a number. Unknown fields are errors: a misspelt one must not be lost."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


ShapeT = TypeVar("ShapeT", bound=BaseModel)


def validated(shape: type[ShapeT], body: Mapping[str, Any], unsupported: Unsupported = NOTHING) -> ShapeT:
    """The body as a shape.

    `unsupported` are fields that are not served, each with the values that ask for nothing (null always does) and what
    to do instead. Raises `RequestError` with `param` and a code: `unsupported_parameter` for those,
    `unknown_parameter`, `missing_required_parameter`, `invalid_value` or `invalid_type`.
    """
    _refuse_unsupported(body, unsupported)
    try:
        return shape.model_validate({name: value for name, value in body.items() if name not in unsupported})
    except ValidationError as error:
        raise _refusal(error) from None


def invalid(param: str, reason: str, *, code: str = "invalid_value") -> RequestError:
    """The refusal of a value."""
    return RequestError(f"Invalid {param}: {reason}.", param=param, code=code)


def unknown(param: str) -> RequestError:
    """The refusal of a field that nobody has."""
    return RequestError(f"Unknown parameter: {param!r}.", param=param, code="unknown_parameter")


def missing(param: str) -> RequestError:
    """The refusal of a body without a field that it needs."""
    return RequestError(f"Missing required parameter: {param!r}.", param=param, code="missing_required_parameter")


def only(holder: Mapping[str, Any], at: str, known: set[str] | frozenset[str]) -> None:
    """Raises `RequestError` for the first member of `holder`, which stands at `at`, that is not known."""
    for name in holder:
        if name not in known:
            raise unknown(f"{at}.{name}" if at else name)


def text(holder: Mapping[str, Any], name: str, at: str) -> str:
    """The string `name` of a holder. Raises `RequestError` if it is missing or something else."""
    value = holder.get(name)
    place = f"{at}.{name}" if at else name
    if value is None:
        raise missing(place)
    if not isinstance(value, str):
        raise invalid(place, "expected a string", code="invalid_type")
    return value


def dotted(location: tuple[int | str, ...]) -> str:
    """`("messages", 0, "content")` as `messages[0].content`."""
    if location[0] in ("tool_choice", "function_call", "prompt", "input", "conversation", "system", "content"):
        # One of several types: pydantic's location goes on with the name of a type, which no client knows.
        return str(location[0])
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _refuse_unsupported(body: Mapping[str, Any], unsupported: Unsupported) -> None:
    for name, (neutral, instead) in unsupported.items():
        value = body.get(name)
        # Types are compared too, since True == 1 and False == 0.
        if value is None or any(value == other and type(value) is type(other) for other in neutral):
            continue
        raise RequestError(f"{name} is not supported here; {instead}.", param=name, code="unsupported_parameter")


def _refusal(error: ValidationError) -> RequestError:
    """OpenAI's error for the first thing that pydantic found."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = dotted(first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        return unknown(param)
    if kind == "missing":
        return missing(param)
    return invalid(param, first["msg"], code="invalid_type" if kind.endswith("_type") else "invalid_value")
