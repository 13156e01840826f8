"""Recipes in TOML: one table for each recipe, checked key by key.

Knows the words of a recipe file and where the built-in ones lie; knows no model. The law: a file that can be
misunderstood is refused, with its name, the recipe, the key and, where it can be found, the line.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from quantizer.errors import RecipeError
from quantizer.planning.layers import parse_layers
from quantizer.planning.recipe import Activations, Bump, Condition, Mixture, OnTrouble, Recipe, Rule, Selector
from quantizer.planning.types import file_type, target_type
from server.model_files.ggml_types import GgmlType

_Choice = TypeVar("_Choice", bound=StrEnum)
_Named = TypeVar("_Named")
_RELATIONS = ("top", "bottom", "above", "below")
_SELECTOR_KEYS = frozenset({"kind", "match", "layers", "statistic", *_RELATIONS})
_MAX_PATTERN_LENGTH = 500
_MAX_BYTES = 1 << 20


def builtin_recipes() -> dict[str, Recipe]:
    """The recipes that come with the package, by name: the stock file types first, which the others extend."""
    texts = {
        entry.name: entry.read_text("utf-8")
        for entry in files("quantizer").joinpath("recipes").iterdir()
        if entry.name.endswith(".toml")
    }
    found: dict[str, Recipe] = {}
    for name in sorted(texts, key=lambda name: (name != "stock.toml", name)):
        found |= _File(name, texts[name], found).recipes()
    return found


def read_recipes(path: Path) -> dict[str, Recipe]:
    """The recipes of the file at `path`, by name; they may extend built-in ones. Raises `RecipeError`."""
    return _File(str(path), read_toml_text(path, "recipe"), builtin_recipes()).recipes()


def read_toml_text(path: Path, kind: str) -> str:
    """The text at `path`, which should be a `kind`. Raises `RecipeError` if it cannot be read, or is beyond 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    if len(data) > _MAX_BYTES:
        raise RecipeError(f"{path} is longer than {_MAX_BYTES} bytes: it is no {kind}")
    return text


def find_recipes(name: str) -> list[Recipe]:
    """The recipes that `name` means: a built-in one, all of a file `my.toml`, or one of them, `my.toml:mine`.

    Raises `RecipeError` if there is none.
    """
    file, _, wanted = name.partition(".toml")
    if name != file:
        recipes = read_recipes(Path(f"{file}.toml"))
        if not wanted:
            return list(recipes.values())
        if wanted.removeprefix(":") in recipes:
            return [recipes[wanted.removeprefix(":")]]
        raise RecipeError(f"{file}.toml has no recipe {wanted.removeprefix(':')!r}; it has {', '.join(recipes)}")
    recipes = builtin_recipes()
    by_folded = {known.lower(): recipe for known, recipe in recipes.items()}
    if name.lower() not in by_folded:
        raise RecipeError(
            f"there is no recipe {name!r}; `functiongate-quantize recipes` lists them, or give a file (my.toml)"
        )
    return [by_folded[name.lower()]]


class _File:
    """One file being read. Mutable only in what it has found so far, which later tables may extend."""

    def __init__(self, name: str, text: str, known: Mapping[str, Recipe]) -> None:
        self._name = name
        self._text = text
        self._known = known

    def recipes(self) -> dict[str, Recipe]:
        try:
            tables = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{self._name}: {error}") from error
        found: dict[str, Recipe] = {}
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise RecipeError(f"{self._name}: {name!r} stands outside a recipe; begin one with [its-name]")
            found[name] = _Table(self, name, table, {**self._known, **found}).recipe()
        if not found:
            raise RecipeError(f"{self._name} holds no recipe; begin one with [its-name]")
        return found

    def refuse(self, recipe: str, key: str, what: str, sign: str) -> NoReturn:
        """Raise `RecipeError` for `key` of the recipe; `sign` is text by which its line is found."""
        raise RecipeError(f"{self._name}{self._line(recipe, sign)}: {recipe}: {key}: {what}")

    def _line(self, recipe: str, sign: str) -> str:
        """The first line of the recipe's table with the word `sign`, as ":12"; its heading's without one."""
        heading = 0
        word = re.compile(rf"(?<!\w){re.escape(sign)}(?!\w)")
        for number, line in enumerate(self._text.splitlines(), start=1):
            if line.lstrip().startswith("[") and not line.startswith("  "):
                if heading:
                    break
                heading = number if line.strip(" []\"'") == recipe else 0
            elif heading and sign and word.search(line):
                return f":{number}"
        return f":{heading}" if heading else ""


class _Table:
    """One recipe's table. Every reader raises `RecipeError` for a value that it does not understand."""

    def __init__(self, file: _File, name: str, table: Mapping[str, Any], known: Mapping[str, Recipe]) -> None:
        self._file = file
        self._name = name
        self._table = table
        self._known = known

    def recipe(self) -> Recipe:
        readers: Mapping[str, Callable[[str], object]] = {
            "base": lambda key: self._named(key, self._table[key], file_type),
            "description": lambda key: self._text(key, self._table[key]),
            "source": lambda key: self._text(key, self._table[key]),
            "mixture": lambda key: self._choice(key, Mixture),
            "imatrix": lambda key: self._choice(key, Activations),
            "on_misaligned": lambda key: self._choice(key, OnTrouble),
            "on_missing_imatrix": lambda key: self._choice(key, OnTrouble),
            "rules": lambda key: tuple(self._rule(*each) for each in self._entries(key)),
            "ladder": self._ladder,
            "start": lambda key: self._type(key, self._table[key]),
            "bumps": lambda key: tuple(self._bump(*each) for each in self._entries(key)),
        }
        for key in self._table:
            if key not in readers and key != "extends":
                self._refuse(key, f"no such key; one of extends, {', '.join(readers)}", key)
        values: dict[str, Any] = {key: read(key) for key, read in readers.items() if key in self._table}
        origin = self._origin(values)
        written = json.dumps([origin.digest, self._table], sort_keys=True)
        recipe = replace(origin, name=self._name, digest=hashlib.sha256(written.encode()).hexdigest(), **values)
        if recipe.bumps and (recipe.start is None or recipe.start not in recipe.ladder):
            self._refuse("start", "bumps need a ladder and a start that is on it", "bumps")
        return recipe

    def _origin(self, values: Mapping[str, Any]) -> Recipe:
        parent = self._table.get("extends")
        if parent is None:
            if "base" not in values:
                self._refuse("base", "missing: the stock file type that fills in what no rule says", "")
            return Recipe(self._name, values["base"])
        name = self._text("extends", parent)
        if name not in self._known:
            self._refuse("extends", f"there is no recipe {name!r} before this one", name)
        return self._known[name]

    def _entries(self, key: str) -> list[tuple[str, Mapping[str, Any]]]:
        entries = self._table[key]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._refuse(key, "expected a list of tables", key)
        return [(f"{key}[{index}]", entry) for index, entry in enumerate(entries, start=1)]

    def _rule(self, key: str, entry: Mapping[str, Any]) -> Rule:
        selector = self._selector(key, entry, "type")
        if "type" not in entry:
            self._refuse(key, "a rule needs a type", key.partition("[")[0])
        kind = self._text(f"{key}.type", entry["type"])
        return Rule(selector, None if kind == "keep" else self._type(f"{key}.type", kind))

    def _bump(self, key: str, entry: Mapping[str, Any]) -> Bump:
        selector = self._selector(key, entry, "by")
        steps = entry.get("by")
        if not isinstance(steps, int) or isinstance(steps, bool):
            self._refuse(f"{key}.by", f"expected a whole number of steps, not {steps!r}", "by")
        return Bump(selector, steps)

    def _ladder(self, key: str) -> tuple[GgmlType, ...]:
        ladder = tuple(self._type(key, name) for name in self._strings(key, self._table[key]))
        if len(set(ladder)) < len(ladder):
            self._refuse(key, "a type stands on it twice", key)
        return ladder

    def _selector(self, key: str, entry: Mapping[str, Any], action: str) -> Selector:
        for name in entry:
            if name not in _SELECTOR_KEYS and name != action:
                self._refuse(key, f"no such key {name!r}; one of {', '.join(sorted(_SELECTOR_KEYS))}, {action}", name)
        if not _SELECTOR_KEYS & entry.keys():
            self._refuse(key, "selects nothing: give kind, match, layers or statistic", key.partition("[")[0])
        layers = self._text(f"{key}.layers", entry["layers"]) if "layers" in entry else None
        return Selector(
            kinds=self._strings(f"{key}.kind", entry["kind"]) if "kind" in entry else (),
            pattern=self._pattern(f"{key}.match", entry["match"]) if "match" in entry else None,
            layers=self._named(f"{key}.layers", layers, parse_layers) if layers is not None else None,
            condition=self._condition(key, entry),
        )

    def _condition(self, key: str, entry: Mapping[str, Any]) -> Condition | None:
        relations = [relation for relation in _RELATIONS if relation in entry]
        if "statistic" not in entry and not relations:
            return None
        if "statistic" not in entry or len(relations) != 1:
            self._refuse(key, f"statistic goes with exactly one of {', '.join(_RELATIONS)}", "statistic")
        statistic, bound = self._text(f"{key}.statistic", entry["statistic"]), entry[relations[0]]
        if not isinstance(bound, int | float) or isinstance(bound, bool):
            self._refuse(f"{key}.{relations[0]}", f"expected a number, not {bound!r}", relations[0])
        if relations[0] in ("top", "bottom") and not 0 < bound <= 1:
            self._refuse(f"{key}.{relations[0]}", f"expected a share above 0 and up to 1, not {bound}", relations[0])
        return Condition(statistic, relations[0], float(bound))

    def _pattern(self, key: str, value: object) -> re.Pattern[str]:
        text = self._text(key, value)
        try:
            if len(text) > _MAX_PATTERN_LENGTH:
                self._refuse(key, f"longer than {_MAX_PATTERN_LENGTH} characters", text[:20])
            return re.compile(text)
        except re.error as error:
            self._refuse(key, f"{text!r} is no regular expression: {error}", text)

    def _choice(self, key: str, options: type[_Choice]) -> _Choice:
        value = self._text(key, self._table[key])
        if value not in list(options):
            self._refuse(key, f"{value!r} is none of {', '.join(options)}", value)
        return options(value)

    def _type(self, key: str, value: object) -> GgmlType:
        return self._named(key, value, target_type)

    def _named(self, key: str, value: object, read: Callable[[str], _Named]) -> _Named:
        text = self._text(key, value)
        try:
            return read(text)
        except RecipeError as error:
            self._refuse(key, str(error), text)

    def _strings(self, key: str, value: object) -> tuple[str, ...]:
        values: Sequence[object] = value if isinstance(value, list) else [value]
        if not values:
            self._refuse(key, "is empty", key)
        return tuple(self._text(key, each) for each in values)

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self._refuse(key, f"expected a text, not {value!r}", key.rpartition(".")[2])
        return value

    def _refuse(self, key: str, what: str, sign: str) -> NoReturn:
        self._file.refuse(self._name, key, what, sign)
