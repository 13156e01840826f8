"""Which schemas a grammar enforces, and why not the others.

Knows JSON Schema in draft 2020-12 and what llguidance's `%json` does with each keyword (its json/schema.rs); compiles
nothing. Laws: whatever fits an enforced schema fits the given one, as long as nothing is at fault in it; keywords are
rewritten only where nothing changes in what is accepted, but for what `narrowing` leaves out; a keyword that cannot be
enforced is left out at its place, so that more is accepted there, and is told with that place.

Not constraints, and therefore not enforced: annotations, keywords that nobody defines (`x-…`), and formats that are
not in FORMATS, which draft 2020-12 treats as annotations. Formats in FORMATS are enforced by their shape: a grammar
does not know leap years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat_templates.schema.dialect import SUBSCHEMA_LISTS, SUBSCHEMA_MAPS, SUBSCHEMAS, in_2020_12, mapped
from chat_templates.schema.disjoint import all_disjoint
from chat_templates.schema.keywords import ANNOTATIONS, CONSTRAINTS, COUNTS, misshapen, value_fault
from chat_templates.schema.limits import SchemaLimitError, check_limits
from chat_templates.schema.narrowing import clip_whole_numbers, is_clipped, with_discriminators
from chat_templates.schema.pattern import PatternError, PatternLimitError, portable
from chat_templates.schema.references import references, resolve
from chat_templates.schema.rewriting.addresses import with_pointers
from chat_templates.schema.rewriting.conditions import CONDITIONS, without_condition
from chat_templates.schema.rewriting.names import name_properties

FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})
ANY_OBJECT: Mapping[str, Any] = {"type": "object", "additionalProperties": True}
"""What a degraded tool's arguments are constrained to."""

# Each of them becomes an alternative with all others in it.
MAX_COUNTED_PROPERTIES = 40
# The product of three is still below 2**32.
MAX_COMBINED_STEP = 1000

_MAX_TRIALS = 3  # conditions within conditions that are tried

_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref", "$dynamicRef")


@dataclass(frozen=True, slots=True)
class Unenforceable:
    """A keyword that the grammar cannot enforce. `path` leads to its schema from the root: `.properties.x`, or ""."""

    path: str
    keyword: str
    reason: str


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How one schema is enforced.

    `given` is the schema in draft 2020-12, to validate against, without what is malformed in it. `enforced` is the
    schema for the grammar: equivalent to `given` if `faults` is empty, else the same without the keywords at fault.
    """

    given: Mapping[str, Any]
    enforced: Mapping[str, Any]
    faults: tuple[Unenforceable, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether nothing of the schema is enforced, and any object will do."""
        return bool(self.faults) and self.enforced == ANY_OBJECT


def enforce_arguments(parameters: Mapping[str, Any] | None) -> Enforcement:
    """How a tool's parameters are enforced: as `enforce`, and always an object."""
    given = dict(parameters or {})
    kinds = given.get("type", "object")
    if isinstance(kinds, list) and "object" in kinds:
        given["type"] = "object"
    enforcement = enforce(given)
    if enforcement.given.get("type", "object") != "object" and not enforcement.faults:
        fault = Unenforceable("", "type", "a tool's arguments are an object")
        return degraded(enforcement.given, fault)
    return enforcement


def enforce(schema: Mapping[str, Any]) -> Enforcement:
    """How the grammar enforces a schema.

    Raises `SchemaLimitError` for a schema that is too large, or has no finite value.
    """
    named = in_2020_12(schema)
    check_limits(named)
    given = with_pointers(named)
    if given is not named:
        check_limits(given)
    narrowed = with_discriminators(given)
    rewriting = _Rewriting(narrowed)
    enforced = rewriting.schema(narrowed, "")
    if not isinstance(enforced, Mapping) or not rewriting.keeps_references(enforced):
        enforced = ANY_OBJECT
    return Enforcement(well_formed(given) if rewriting.faults else given, enforced, tuple(rewriting.faults))


def degraded(given: Mapping[str, Any], fault: Unenforceable) -> Enforcement:
    """A schema that is only validated after: while generating, any object will do."""
    return Enforcement(given, ANY_OBJECT, (fault,))


class _Rewriting:
    """One pass over a schema: what the grammar builder understands, and `faults` for what it does not."""

    def __init__(self, root: Mapping[str, Any], *, depth: int = 0) -> None:
        self._root = root
        self._depth = depth
        self._combines_multiples = _combines_multiples(root)
        self.faults: list[Unenforceable] = []

    def schema(self, schema: Any, path: str) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            self._fault(path, "schema", "a schema is an object or a boolean")
            return True
        out = {}
        for key, value in schema.items():
            if key in ANNOTATIONS or key not in CONSTRAINTS:
                continue
            if not _holds_schemas(key, value) and (reason := misshapen(key, value)):
                self._fault(path, key, reason)
                continue
            out[key] = int(value) if key in COUNTS else value
        self._rewrite(out, path)
        return self._below(out, path)

    def keeps_references(self, enforced: Any) -> bool:
        """Whether every reference leads to what was kept."""
        for reference in references(enforced):
            try:
                resolve(enforced, reference)
            except LookupError as error:
                self._fault("", "$ref", str(error))
                return False
        return True

    def _below(self, out: dict[str, Any], path: str) -> dict[str, Any]:
        for key in SUBSCHEMA_MAPS:
            if key in out:
                out[key] = {name: self.schema(part, f"{path}.{key}.{name}") for name, part in out[key].items()}
        for key in SUBSCHEMA_LISTS:
            if key in out:
                out[key] = [self.schema(part, f"{path}.{key}[{i}]") for i, part in enumerate(out[key])]
        for key in SUBSCHEMAS:
            if key in out:
                out[key] = self.schema(out[key], f"{path}.{key}")
        return out

    def _rewrite(self, out: dict[str, Any], path: str) -> None:
        _drop_without_effect(out)
        _drop_impossible(out)
        clip_whole_numbers(out)
        self._rewrite_unevaluated(out)
        self._rewrite_conditions(out)
        self._rewrite_one_of(out, path)
        self._rewrite_strings(out, path)
        name_properties(out)
        self._rewrite_patterns(out, path)
        self._check_values(out, path)
        self._check_properties(out, path)
        for key, reason in _NEVER.items():
            if key in out:
                self._free(out, path, key, reason)
        self._check_reference(out, path)

    def _free(self, out: dict[str, Any], path: str, keyword: str, reason: str) -> None:
        """Leave a keyword out, and with it what holds only beside it."""
        self._fault(path, keyword, reason)
        del out[keyword]
        if keyword == "if":
            out.pop("then", None)
            out.pop("else", None)
        if keyword in _TELL_NAMES and "properties" in out:
            out.setdefault("additionalProperties", True)  # it may need names that the others do not list

    def _check_reference(self, out: dict[str, Any], path: str) -> None:
        if "$ref" in out:
            try:
                resolve(self._root, out["$ref"])
            except LookupError as error:
                self._free(out, path, "$ref", str(error))

    def _rewrite_unevaluated(self, out: dict[str, Any]) -> None:
        """Beside no other applicator, "unevaluated" is what the plain keyword leaves over."""
        if any(key in out for key in _IN_PLACE):
            return
        if "unevaluatedProperties" in out:
            out.setdefault("additionalProperties", out.pop("unevaluatedProperties"))
        if "unevaluatedItems" in out and "contains" not in out:
            out.setdefault("items", out.pop("unevaluatedItems"))

    def _rewrite_conditions(self, out: dict[str, Any]) -> None:
        for keyword in CONDITIONS:
            if keyword in out and keyword != "oneOf":
                self._say_otherwise(keyword, out)

    def _say_otherwise(self, keyword: str, out: dict[str, Any]) -> bool:
        """Write a condition as alternatives, where they are enforceable; False where they are not."""
        said = without_condition(keyword, out, self._root)
        if said is None or said is False or self._depth >= _MAX_TRIALS:
            return False
        trial = _Rewriting(self._root, depth=self._depth + 1)
        trial.schema(said, "")
        if trial.faults:
            return False
        for each in (keyword, "then", "else") if keyword == "if" else (keyword,):
            out.pop(each, None)
        if said is not True and said != {}:
            if set(said) == {"anyOf"} and not {"anyOf", "oneOf"} & out.keys():
                out["anyOf"] = said["anyOf"]
            else:
                out["allOf"] = [*out.get("allOf", ()), said]
        return True

    def _rewrite_one_of(self, out: dict[str, Any], path: str) -> None:
        options = out.get("oneOf")
        if options is None:
            return
        if "anyOf" not in out and (len(options) == 1 or all_disjoint(options, self._root)):
            # In the same place: a schema's keys order the properties that it prints.
            renamed = {"anyOf" if key == "oneOf" else key: value for key, value in out.items()}
            out.clear()
            out.update(renamed)
        elif not self._say_otherwise("oneOf", out):
            self._fault(path, "oneOf", "its alternatives are not known to exclude one another")
            options = out.pop("oneOf")
            if "anyOf" not in out:
                out["anyOf"] = options
            elif "properties" in out:
                out.setdefault("additionalProperties", True)

    def _rewrite_strings(self, out: dict[str, Any], path: str) -> None:
        if "pattern" in out:
            pattern = self._pattern(out.pop("pattern"), path, "pattern")
            if pattern is not None:
                out["pattern"] = pattern
        if "format" in out and out["format"] not in FORMATS:
            del out["format"]

    def _rewrite_patterns(self, out: dict[str, Any], path: str) -> None:
        if "patternProperties" in out:
            by_pattern = [
                (self._pattern(pattern, path, "patternProperties"), part)
                for pattern, part in out["patternProperties"].items()
            ]
            out["patternProperties"] = {pattern: part for pattern, part in by_pattern if pattern is not None}
            if len(out["patternProperties"]) < len(by_pattern):
                out["additionalProperties"] = True  # names that the pattern would have let through

    def _pattern(self, pattern: str, path: str, keyword: str) -> str | None:
        """The pattern for the grammar, None if it cannot hold it."""
        try:
            return portable(pattern)
        except PatternLimitError as error:
            raise SchemaLimitError(path, str(error)) from error
        except PatternError as error:
            self._fault(path, keyword, str(error))
            return None

    def _check_values(self, out: dict[str, Any], path: str) -> None:
        for key, value in list(out.items()):
            if (reason := value_fault(key, value)) and not is_clipped(key, out):
                self._free(out, path, key, reason)
        step = out.get("multipleOf")
        if step is not None and self._combines_multiples and (step > MAX_COMBINED_STEP or step != int(step)):
            reason = f"where schemas are combined, only whole numbers up to {MAX_COMBINED_STEP} are"
            self._free(out, path, "multipleOf", reason)

    def _check_properties(self, out: dict[str, Any], path: str) -> None:
        """The grammar keeps listed names unique, and no others: of two that are needed, both could be one."""
        n_listed = len(set(out.get("required", ())))
        if out.get("minProperties", 0) - n_listed > 1:
            self._free(out, path, "minProperties", "names that are not listed may repeat, so they cannot be counted")
        n_properties = len(out.get("properties", ()))
        for key in ("minProperties", "maxProperties"):
            if key in out and n_properties > MAX_COUNTED_PROPERTIES:
                self._free(out, path, key, f"only up to {MAX_COUNTED_PROPERTIES} properties are counted")

    def _fault(self, path: str, keyword: str, reason: str) -> None:
        self.faults.append(Unenforceable(path, keyword, reason))


_TELL_NAMES = frozenset({"if", "dependentSchemas", "$ref", "$dynamicRef", "$recursiveRef"})
_NEVER = {
    "not": "a grammar cannot forbid what another allows",
    "if": "a grammar cannot choose by what a value fits",
    "contains": "a grammar cannot count the items that fit",
    "uniqueItems": "a grammar cannot compare items",
    "dependentRequired": "a grammar cannot require by what is present",
    "dependentSchemas": "a grammar cannot choose by what is present",
    "propertyNames": "names are enforced by properties and patternProperties only",
    "unevaluatedItems": "beside other applicators it depends on what they evaluated",
    "unevaluatedProperties": "beside other applicators it depends on what they evaluated",
    "$dynamicRef": "only $ref is followed",
    "$recursiveRef": "only $ref is followed",
}


def well_formed(schema: Any) -> Any:
    """A schema without malformed keywords: to validate against."""
    if not isinstance(schema, Mapping):
        return schema if isinstance(schema, bool) else True
    kept = {
        key: value
        for key, value in schema.items()
        if key not in CONSTRAINTS or _holds_schemas(key, value) or not misshapen(key, value)
    }
    return mapped(kept, well_formed)


def _holds_schemas(keyword: str, value: Any) -> bool:
    """Whether a keyword's value has the shape of several schemas, whatever each of them is."""
    if keyword in SUBSCHEMA_MAPS:
        return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    return keyword in SUBSCHEMA_LISTS and isinstance(value, list) and bool(value)


def _drop_without_effect(out: dict[str, Any]) -> None:
    if "if" not in out or ("then" not in out and "else" not in out):
        for key in ("if", "then", "else"):
            out.pop(key, None)
    if "contains" not in out:
        out.pop("minContains", None)
        out.pop("maxContains", None)
    if out.get("uniqueItems") is False:
        del out["uniqueItems"]
    for key in ("unevaluatedItems", "unevaluatedProperties"):
        if out.get(key) is True or out.get(key) == {}:
            del out[key]
    if "maxContains" in out or "minContains" in out:
        # They belong to `contains`, whose fault says enough.
        out.pop("minContains", None)
        out.pop("maxContains", None)


def _drop_impossible(out: dict[str, Any]) -> None:
    """Alternatives that nothing fits, beside others."""
    for key in ("anyOf", "oneOf"):
        possible = [option for option in out.get(key, ()) if option is not False]
        if possible:
            out[key] = possible


def _combines_multiples(root: Mapping[str, Any]) -> bool:
    """Whether two `multipleOf` may meet in one value. llguidance multiplies them in 32 bits, and overflows silently."""
    n = _count(root, "multipleOf")
    is_merged = any(_count(root, keyword) for keyword in ("allOf", "$ref"))
    has_options = any(_count(root, keyword) for keyword in ("anyOf", "oneOf"))
    return (n > 0 and is_merged) or (n > 1 and has_options)


def _count(schema: Any, keyword: str) -> int:
    if isinstance(schema, Mapping):
        return (keyword in schema) + sum(_count(part, keyword) for part in schema.values())
    if isinstance(schema, list):
        return sum(_count(part, keyword) for part in schema)
    return 0
