"""The commands that prepare a model for this machine: `tune` its setting, `warm` its prefixes.

Knows the terminal. What they find is read by `functiongate serve` when it starts.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from server.config import load_config
from server.errors import StartupError

if TYPE_CHECKING:
    from server.rates import Rates
    from server.tuning import Outcome, Setting

_MODEL = typer.Argument(help="A GGUF file, hf:organisation/repository[/file.gguf], or a name of `functiongate models`.")
_CACHE = typer.Option(envvar="FUNCTIONGATE_CACHE_DIR", help="Where fetched models are kept, and what is found of them.")


def tune(
    model: Annotated[str | None, _MODEL] = None,
    *,
    cache_dir: Annotated[Path | None, _CACHE] = None,
) -> None:
    """Find the fastest threads, flash attention, micro-batch and weight layout; `serve` uses them from then on.

    Takes minutes, and wants the machine to itself.
    """
    from server.cache import cache_directory  # noqa: PLC0415
    from server.llama.library import library  # noqa: PLC0415 -- `--help` does not need it
    from server.machine import default_setting, tuning_file  # noqa: PLC0415
    from server.model_hash import model_hash  # noqa: PLC0415
    from server.models import resolve  # noqa: PLC0415
    from server.tuning import tune as find  # noqa: PLC0415

    config = load_config(_given(model=model, cache_dir=cache_dir), None)
    path = resolve(config.model, cache_dir=config.cache_dir)
    console = Console(stderr=True)

    def report(outcome: Outcome) -> None:
        console.print(f"{_describe(outcome.setting)}: {_rates(outcome)}, {100 * outcome.cost:.0f} % of the default")

    best = find(default_setting(config), len(os.sched_getaffinity(0)), lambda one: _try(path, one), report)
    cache = config.cache_dir or cache_directory()
    file = tuning_file(config, cache, model_hash(path, cache), library().build_info())
    file.write(best.setting)
    typer.echo(f"best: {_describe(best.setting)}: {_rates(best)}; kept in {file.path}")


def warm(
    file: Annotated[Path, typer.Argument(help="JSON: a list of tools, or the body of a chat request.")],
    model: Annotated[str | None, _MODEL] = None,
    *,
    family: Annotated[str | None, typer.Option(help="Chat family, if the file's template does not tell.")] = None,
    ctx_size: Annotated[int | None, typer.Option(help="Tokens of context.")] = None,
    cache_dir: Annotated[Path | None, _CACHE] = None,
) -> None:
    """Compute the prefix of tools and system messages ahead, so that a server's first request with them is quick."""
    from server.api.chat_request import to_chat_request  # noqa: PLC0415 -- `--help` does not need them
    from server.api.schemas import read_request  # noqa: PLC0415
    from server.engine.types import ServiceTerms  # noqa: PLC0415
    from server.launch import load_chat  # noqa: PLC0415

    config = load_config(_given(model=model, family=family, ctx_size=ctx_size, cache_dir=cache_dir), None)
    if not config.prefix_disk:
        raise StartupError("nothing can be kept with --prefix-disk 0")
    body = read_warm_file(file)
    loaded = load_chat(config)
    try:
        started = time.monotonic()
        request = to_chat_request(read_request({"model": "any", **body}), loaded.n_vocab, ServiceTerms())
        n = asyncio.run(loaded.warm(request))
        seconds = time.monotonic() - started
    finally:
        loaded.close()
    if n:
        typer.echo(f"{n} tokens computed in {seconds:.1f} s and kept; a server's first request with them skips that")
    else:
        typer.echo(f"nothing new to keep: {file} is known already, or renders to no prefix of 64 tokens")


def read_warm_file(file: Path) -> dict[str, Any]:
    """The body of a chat request whose prefix to compute. Raises `StartupError` if the file has none."""
    import json  # noqa: PLC0415

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise StartupError(f"{file} is not JSON: {error}") from error
    if isinstance(content, list):
        return {"messages": [{"role": "user", "content": "?"}], "tools": content}
    if isinstance(content, dict):
        return {"messages": [{"role": "user", "content": "?"}], **content}
    raise StartupError(f"{file} has neither a list of tools nor the body of a chat request")


def _given(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _try(path: Path, setting: Setting) -> Rates:
    from server.llama.context import Context  # noqa: PLC0415 -- see above
    from server.llama.model import Model  # noqa: PLC0415
    from server.rates import measure_rates  # noqa: PLC0415
    from server.tuning import N_PREFILL, N_STEPS  # noqa: PLC0415

    with (
        Model(path, repack=setting.repack) as weights,
        Context(
            weights,
            n_ctx=3 * N_PREFILL,
            n_seq_max=2,
            n_batch=512,
            n_ubatch=setting.n_ubatch,
            n_threads=setting.n_threads,
            n_threads_batch=setting.n_threads_batch,
            flash_attn=setting.flash_attn,
        ) as context,
    ):
        measure_rates(context, n_prefill=32, n_steps=1)  # the first evaluation allocates, and reads the file
        return measure_rates(context, n_prefill=N_PREFILL, n_steps=N_STEPS)


def _describe(setting: Setting) -> str:
    layout = "repacked" if setting.repack else "as in the file"
    return (
        f"{setting.n_threads} threads ({setting.n_threads_batch} for prompts), flash attention {setting.flash_attn}, "
        f"micro-batch {setting.n_ubatch}, weights {layout}"
    )


def _rates(outcome: Outcome) -> str:
    rates = outcome.rates
    return f"prefill {rates.prefill:.0f}, single {rates.decode:.1f}, by fives {rates.few:.1f} tokens/s"
