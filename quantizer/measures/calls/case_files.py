"""Cases of tool calling: our own form, one JSON object a line, and the Berkeley leaderboard's (BFCL).

Knows layouts; no server. A case lists the calls that are accepted, each argument with the values that are right:
`"*"` is any value, and null (in BFCL the empty text) means that it may be left out. No accepted call means that calling
is wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from quantizer.calibration.sources import read_text
from quantizer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ANY = "*"
# BFCL writes parameters with Python's names of types.
_BFCL_TYPES = {"dict": "object", "float": "number", "tuple": "array", "hashmap": "object", "arraylist": "array"}
_JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


@dataclass(frozen=True, slots=True)
class AcceptedCall:
    """A call that is right: its name, and for each argument the values that are. None among them: it may be absent."""

    name: str
    arguments: Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """One request and what is accepted as its answer. All accepted calls must be made, in any order, and no other."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    accept: tuple[AcceptedCall, ...]

    @property
    def category(self) -> str:
        """`simple` of `simple_3`."""
        return self.id.rpartition("_")[0] or self.id


def shipped_cases() -> tuple[Case, ...]:
    """The cases that ship with this package: their functions are none of the calibration's."""
    text = files("quantizer").joinpath("cases/tool_calls.jsonl").read_text(encoding="utf-8")
    return tuple(_case(row) for row in _rows("tool_calls.jsonl", text))


def read_cases(path: Path, answers: Path | None = None) -> tuple[Case, ...]:
    """The cases of a file in our form or BFCL's; `answers` is BFCL's file of possible answers.

    Without one, BFCL's file beside it in `possible_answer/` is taken if it exists; a case without an answer accepts no
    call. Raises `DataError` if a file cannot be read or a line is no case.
    """
    rows = list(_rows(path.name, read_text(path)))
    if not rows:
        raise DataError(f"{path} holds no case")
    try:
        if "function" not in rows[0]:
            return tuple(map(_case, rows))
        beside = path.parent / "possible_answer" / path.name
        source = answers or (beside if beside.exists() else None)
        accepted = {row["id"]: row["ground_truth"] for row in _rows(source.name, read_text(source))} if source else {}
        return tuple(_bfcl_case(row, accepted.get(row["id"], [])) for row in rows)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise DataError(f"{path} is neither a file of cases nor BFCL's: {type(error).__name__} {error}") from error


def _rows(name: str, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{name}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{name}, line {number} is no object")
        yield row


def _case(row: Mapping[str, Any]) -> Case:
    accept = tuple(AcceptedCall(call["name"], call["arguments"]) for call in row["accept"])
    return Case(str(row["id"]), tuple(row["messages"]), tuple(row["tools"]), accept)


def _bfcl_case(row: Mapping[str, Any], accepted: list[dict[str, Any]]) -> Case:
    tools = tuple(
        {"type": "function", "function": {**function, "parameters": _json_schema(function["parameters"])}}
        for function in row["function"]
    )
    accept = tuple(
        AcceptedCall(name, {key: [None if value == "" else value for value in values] for key, values in of.items()})
        for call in accepted
        for name, of in call.items()
    )
    return Case(str(row["id"]), tuple(row["question"][0]), tools, accept)


def _json_schema(part: Any) -> Any:
    """BFCL's parameters with JSON Schema's names of types; an unknown one leaves the value free."""
    if isinstance(part, list):
        return [_json_schema(item) for item in part]
    if not isinstance(part, dict):
        return part
    out = {key: _json_schema(value) for key, value in part.items()}
    if isinstance(kind := part.get("type"), str):
        name = _BFCL_TYPES.get(kind.lower(), kind.lower())
        if name in _JSON_TYPES:
            out["type"] = name
        else:
            del out["type"]
    return out
