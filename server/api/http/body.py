"""Reads a request's JSON body: bounded, strict, and with an answer for everything that is not JSON.

Not FastAPI's reader, because its errors are not OpenAI's, and because a limit must hold while reading.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from server.errors import BodyTooLargeError, MediaTypeError, RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

# Tool schemas of real services stay below 30; whatever walks a schema recursively is safe at this depth.
MAX_DEPTH = 128


async def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in the request's body.

    Raises `MediaTypeError`, `BodyTooLargeError` (before reading if the length is announced, else as soon as
    the limit is passed), or `RequestError` if the body is not JSON in UTF-8 or not an object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MediaTypeError(
            f"The Content-Type is {media_type or 'missing'!r}; send 'Content-Type: application/json'.",
            code="unsupported_media_type",
        )
    value = parse_json(await _read(request, max_bytes))
    if not isinstance(value, dict):
        raise RequestError(f"The body is a JSON {_kind(value)}; send an object.", code="invalid_json")
    return value


def parse_json(data: bytes) -> Any:
    """The JSON value in UTF-8 text. Raises `RequestError`.

    Stricter than `json.loads`: no NaN, no number beyond a double, no half of a surrogate pair, no nesting
    beyond MAX_DEPTH: nothing that the rest of the server could not write down again.
    """
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text.lower():  # an escape that may be half of a pair, checked only where one is written
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestError("The body has half of a surrogate pair in a string.", code="invalid_json") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"The body is not UTF-8 (byte {error.start}).", code="invalid_json") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise RequestError(f"The body is not JSON: {error}.", code="invalid_json") from error
    if _is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _is_deeper(value: Any, bound: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(bound):
        parts = [part for node in level for part in (node.values() if isinstance(node, dict) else node)]
        level = [part for part in parts if isinstance(part, dict | list)]
    return bool(level)


def _too_deep() -> RequestError:
    return RequestError(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")


async def _read(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise BodyTooLargeError(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLargeError(max_bytes)
    return bytes(body)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond the range of numbers")
    return number


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
