"""`functiongate tune`: a model's fastest setting on this machine, or how it is asked for calls; kept for `serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from server.commands.options import CACHE_DIR, MODEL, given
from server.config import load_config

if TYPE_CHECKING:
    from server.calls.setting import CallSetting
    from server.config import Config
    from server.machine.rates import Rates
    from server.machine.tuning import Outcome, Setting


def tune(
    model: Annotated[str | None, MODEL] = None,
    *,
    calls: Annotated[
        bool, typer.Option("--calls", help="Find how the model is asked for calls: the form, and the offset.")
    ] = False,
    family: Annotated[str | None, typer.Option(help="With --calls: the family, if the file does not tell.")] = None,
    cache_dir: Annotated[Path | None, CACHE_DIR] = None,
) -> None:
    """Find the fastest threads, flash attention, micro-batch and weight layout; `serve` uses them from then on.

    Takes minutes, and wants the machine to itself. With --calls it finds the form in which the model is asked for calls
    and the offset of its decision to call instead, from 370 requests at most, in up to twenty minutes.
    """
    if calls:
        # Hundreds of prompts that nobody asks again: they must not take the place of those that are kept for `serve`.
        kept = {"prefix_ram": 0, "prefix_disk": 0}
        _tune_calls(load_config(given(model=model, cache_dir=cache_dir, family=family, **kept), None))
        return
    from server.llama.library import library  # noqa: PLC0415 -- `--help` does not need it
    from server.machine.setting import default_setting, tuning_file  # noqa: PLC0415
    from server.machine.tuning import tune as find  # noqa: PLC0415
    from server.model_files.cache import cache_directory  # noqa: PLC0415
    from server.model_files.catalogue import resolve  # noqa: PLC0415
    from server.model_files.model_hash import model_hash  # noqa: PLC0415

    config = load_config(given(model=model, cache_dir=cache_dir), None)
    path = resolve(config.model, cache_dir=config.cache_dir)
    console = Console(stderr=True)

    def report(outcome: Outcome) -> None:
        console.print(f"{_describe(outcome.setting)}: {_rates(outcome)}, {100 * outcome.cost:.0f} % of the default")

    best = find(default_setting(config), len(os.sched_getaffinity(0)), lambda one: _try(path, one), report)
    cache = config.cache_dir or cache_directory()
    file = tuning_file(config, cache, model_hash(path, cache), library().build_info())
    file.write(best.setting)
    typer.echo(f"best: {_describe(best.setting)}: {_rates(best)}; kept in {file.path}")


def _tune_calls(config: Config) -> None:
    import asyncio  # noqa: PLC0415 -- `--help` does not need it

    from chat_templates import detect_family  # noqa: PLC0415
    from server.calls.search import Tried, find  # noqa: PLC0415
    from server.calls.setting import CallSettingFile  # noqa: PLC0415
    from server.launch import load_chat  # noqa: PLC0415
    from server.model_files.cache import cache_directory  # noqa: PLC0415
    from server.model_files.model_hash import model_hash  # noqa: PLC0415

    console = Console(stderr=True)
    loaded = load_chat(config)
    own = config.family or detect_family(loaded.weights.metadata).id
    cache = config.cache_dir or cache_directory()

    def report(tried: Tried) -> None:
        score = tried.score
        kinds = ", ".join(f"{kind} {score.right[kind]} of {score.n[kind]}" for kind in score.n)
        console.print(f"{_ask(tried.setting, own)}: {kinds}")

    try:
        with console.status("asking; the first figures come after some minutes"):
            best = asyncio.run(find(loaded.chat_of, own, report))
        file = CallSettingFile.of(cache, model_hash(loaded.weights.path, cache))
    finally:
        loaded.close()
    file.write(best.setting)
    typer.echo(f"best: {_ask(best.setting, own)}, {100 * best.worth:.0f} % right; kept in {file.path}")


def _ask(setting: CallSetting, own: str) -> str:
    return f"family {setting.family or own}, call bias {setting.call_bias:+g}"


def _try(path: Path, setting: Setting) -> Rates:
    from server.llama.context import Context  # noqa: PLC0415 -- see above
    from server.llama.model import Model  # noqa: PLC0415
    from server.machine.rates import measure_rates  # noqa: PLC0415
    from server.machine.tuning import N_PREFILL, N_STEPS  # noqa: PLC0415

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
