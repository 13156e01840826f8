#!/usr/bin/env python3
"""Started in llama-server's place by its own tests: its flags become options of `functiongate serve`.

Knows llama-server's flags and what each is here; nothing of what the tests ask. The law: a flag that would change an
answer is mapped, or named on stderr as `flag: --name` before the process ends with 64. Defaults of requests and what is
about speed are accepted, and said so.

The tests ask for models by repository. What is served in their stead is SmolLM2 for llama.cpp's own tiny models, which
tell stories, and Qwen2.5-Coder 0.5B for everybody else's, which can call, and for a router of many models, of which
this server is none; FUNCTIONGATE_LLAMA_TINY and FUNCTIONGATE_LLAMA_CHAT name others. FUNCTIONGATE_PYTHON is the
interpreter that has the server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

UNMAPPED = 64  # EX_USAGE: no status of the server's own

TINY = os.environ.get("FUNCTIONGATE_LLAMA_TINY") or "smollm2-135m"
CHAT = os.environ.get("FUNCTIONGATE_LLAMA_CHAT") or "qwen2.5-coder-0.5b"

SAME = {
    "--api-key": "--api-key",
    "--ctx-size": "--ctx-size",
    "--host": "--host",
    "--parallel": "--parallel",
    "--pooling": "--embeddings",
    "--port": "--port",
    "--threads": "--threads",
    "-fa": "--flash-attn",
}
# Values of theirs that have another name here.
VALUES = {("--cors-origins", "localhost"): "local"}

DEFAULTS = {
    "--batch-size": "chunks of prompts are as long as --max-itl allows",
    "--n-gpu-layers": "there is no GPU",
    "--n-predict": "a request says how long its answer may be",
    "--seed": "a request without a seed has none",
    "--temp": "a request without one is greedy, so that every run is the same",
    "--ubatch-size": "chunks of prompts are as long as --max-itl allows",
}
WITHOUT_EFFECT = {
    "--cont-batching": "there is no other way",
    "--jinja": "a family's own template renders",
    "--kv-unified": "there is no other way",
    "--metrics": "they are always there",
    "--no-jinja": "a family's own template renders",
    "--no-mmproj": "there is no vision",
    "--no-slots": "there is no such endpoint",
    "--no-ui": "there is no user interface",
    "--reasoning-format": "thoughts are told apart from words",
    "--offline": "the models are fetched once",
}

REFUSED = {("--pooling", "none"), ("--pooling", "rank"), ("--reasoning-format", "none")}

# Templates of the tests that are one of our families'. None but Qwen2.5's has the tokens that its markers want in the
# model that is served: their text is what is tested.
FAMILIES = {
    "chatml": "generic",  # which renders the template of the file that is served, and that is it
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes-2-pro",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes-2-pro",
    "Qwen-Qwen2.5-7B-Instruct": "qwen2.5",
    "Qwen-Qwen3-0.6B": "qwen3",
    "llama3": "llama-3.1",
    "meetkai-functionary-medium-v3.1": "functionary-v3.1",
    "meetkai-functionary-medium-v3.2": "functionary-v3.2",
    "meta-llama-Llama-3.1-8B-Instruct": "llama-3.1",
    "meta-llama-Llama-3.2-3B-Instruct": "llama-3.2",
    "meta-llama-Llama-3.3-70B-Instruct": "llama-3.1",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-nemo",
}


class UnmappedError(Exception):
    """A flag of llama-server's that has no counterpart here."""


def options(arguments: Sequence[str]) -> list[str]:
    """The options of `functiongate serve`. Raises `UnmappedError`."""
    given = dict(flags(arguments))
    options = [served(given), "--prefix-disk", "0", "--store", "0", "--model-names", "any", "--temperature", "0"]
    options += [] if "--cors-origins" in given else ["--cors-origins", "*"]  # llama-server's own default
    for flag, value in given.items():
        options += option(flag, value)
    if "--embedding" in given and "--pooling" not in given:
        options += ["--embeddings", "mean"]
    return options


def flags(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each flag with its value, None for a switch."""
    left = list(arguments)
    while left:
        flag = left.pop(0)
        yield flag, left.pop(0) if left and not left[0].startswith("-") else None


def served(given: Mapping[str, str | None]) -> str:
    """The model that stands in for the one that is asked for."""
    return TINY if (given.get("--hf-repo") or "").startswith("ggml-org/") else CHAT


def option(flag: str, value: str | None) -> list[str]:
    """What one flag is here."""
    if flag in {"--hf-repo", "--hf-file", "--embedding"}:
        return []
    if value is not None and "," in value and flag in {"--host", "--alias"}:
        raise UnmappedError(f"{flag} with several")
    if (flag, value) in REFUSED:
        raise UnmappedError(f"{flag} {value}")
    if flag == "--verbose":
        return [flag]
    if flag in SAME or flag in {"--alias", "--cors-origins"}:
        return [SAME.get(flag, flag), VALUES.get((flag, str(value)), str(value))]
    if flag == "--cache-ram":
        return ["--prefix-ram", f"{value}MiB"]
    if flag in {"--chat-template", "--chat-template-file"}:
        return ["--family", family(flag, str(value))]
    if (reason := (DEFAULTS | WITHOUT_EFFECT).get(flag)) is None:
        raise UnmappedError(flag)
    print(f"without effect: {flag}: {reason}", file=sys.stderr)  # noqa: T201  the tests show it where they fail
    return []


def family(flag: str, template: str) -> str:
    """The family whose template it is."""
    name = PurePath(template).stem if flag == "--chat-template-file" else template
    if name not in FAMILIES:
        raise UnmappedError(f"{flag} {name}")
    return FAMILIES[name]


def main() -> None:
    """Become the server, or end with what has no counterpart."""
    try:
        given = options(sys.argv[1:])
    except UnmappedError as error:
        print(f"flag: {error}", file=sys.stderr)  # noqa: T201  the ratchet looks for it
        sys.exit(UNMAPPED)
    python = os.environ["FUNCTIONGATE_PYTHON"]
    os.execv(python, [python, "-m", "server", "serve", *given])  # noqa: S606  there is no shell between


if __name__ == "__main__":
    main()
