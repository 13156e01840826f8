"""Whether a call's arguments fit a schema: for the tools whose schemas no grammar enforced.

Knows jsonschema. The schema and the arguments come from outside, so everything is bounded: the steps, the time of each
regular expression (a backtracking engine, since the patterns that come here are those that no other can read), and what
is fetched: nothing. Law: "fits" is only said of what was checked to the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

MAX_STEPS = 20_000  # keywords evaluated; about a tenth of a second
MAX_VIOLATIONS = 5
PATTERN_TIMEOUT_S = 0.05

# One repetition at most, and no choice: cannot backtrack more than a name is long.
_SIMPLE_PATTERN = re.compile(r"[^*+?{(|]*[*+?]?[^*+?{(|]*")


class ValidationLimitError(ValueError):
    """It cannot be found out, within the limits, whether a value fits."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A part of a value, by its JSON path, and what is wrong with it."""

    path: str
    message: str


def violations(schema: Mapping[str, Any], text: str) -> tuple[Violation, ...]:
    """Where the JSON text does not fit the schema (draft 2020-12), at most MAX_VIOLATIONS; empty if it fits.

    Raises `ValidationLimitError` if that cannot be found out. Takes up to about a second, most of it without the GIL.
    """
    _check_property_patterns(schema)
    validator = _bounded_validator()(dict(schema), registry=EMPTY_REGISTRY)
    found = []
    try:
        for error in validator.iter_errors(json.loads(text)):
            found.append(Violation(error.json_path, _shortened(error.message)))
            if len(found) == MAX_VIOLATIONS:
                break
    except (Unresolvable, re.error) as error:
        raise ValidationLimitError(_shortened(str(error))) from error
    except RecursionError as error:
        raise ValidationLimitError("the schema recurses too deeply") from error
    return tuple(found)


Keyword = Callable[..., Iterator[ValidationError] | None]


def _bounded_validator() -> Any:
    n_left = MAX_STEPS

    def counted(check: Keyword) -> Keyword:
        def evaluate(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
            nonlocal n_left
            n_left -= 1
            if n_left < 0:
                raise ValidationLimitError(f"more than {MAX_STEPS} steps are needed")
            yield from check(validator, value, instance, schema) or ()

        return evaluate

    keywords = {**Draft202012Validator.VALIDATORS, "pattern": _pattern}
    evaluated = {name: counted(check) for name, check in keywords.items()}
    return extend(Draft202012Validator, evaluated)  # type: ignore[no-untyped-call]


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "string"):
        return
    try:
        found = regex.search(pattern, instance, timeout=PATTERN_TIMEOUT_S, concurrent=True)
    except TimeoutError as error:
        raise ValidationLimitError(f"the pattern {_shortened(pattern)!r} takes too long") from error
    except regex.error as error:
        raise ValidationLimitError(f"the pattern {_shortened(pattern)!r} is not understood: {error}") from error
    if found is None:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _check_property_patterns(schema: Any) -> None:
    """Jsonschema matches names by Python's `re`, which has no limits: only patterns that need none."""
    if isinstance(schema, Mapping):
        patterns = schema.get("patternProperties")
        for pattern in patterns if isinstance(patterns, Mapping) else ():
            if _SIMPLE_PATTERN.fullmatch(pattern) is None:
                raise ValidationLimitError(f"patternProperties {_shortened(pattern)!r} is not checked")
        for part in schema.values():
            _check_property_patterns(part)
    elif isinstance(schema, list):
        for part in schema:
            _check_property_patterns(part)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"
