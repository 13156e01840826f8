"""What this machine gives a model: threads, and the setting that `functiongate tune` found for both.

Knows the configuration, the CPU and the cache of tunings. A flag wins over a tuning, a tuning over the default.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from server.machine.cpu import choose_threads, describe_cpu, throttled_periods
from server.machine.tuning import Setting, TuningFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.config import Config

log = logging.getLogger(__name__)
_ROOT = Path("/")


def default_setting(config: Config) -> Setting:
    """The setting without a tuning."""
    n_threads = choose_threads(config.threads)
    return Setting(n_threads, n_threads)


def tuning_file(config: Config, cache_dir: Path, model_hash: str, build: str) -> TuningFile:
    """Where the tuning of a model is kept, for this processor, this many threads, and this build of llama.cpp."""
    machine = f"{describe_cpu(_ROOT)} {choose_threads(config.threads)} threads {build}"
    return TuningFile.of(cache_dir, model_hash=model_hash, machine=machine)


def choose_setting(config: Config, tuning: TuningFile) -> Setting:
    """The tuned setting if there is one, with what the configuration demands in its place."""
    tuned = tuning.read()
    setting = tuned or default_setting(config)
    if config.threads:
        setting = dataclasses.replace(setting, n_threads=config.threads, n_threads_batch=config.threads)
    if config.flash_attn != "auto":
        setting = dataclasses.replace(setting, flash_attn=config.flash_attn)
    log.info("%s: %s", "tuned" if tuned else "not tuned", setting)
    return setting


class ThrottleWatch:
    """Whether the kernel held this process back since the watch began: its threads are more than its quota bears."""

    def __init__(self) -> None:
        self._before = throttled_periods(_ROOT)

    @property
    def periods(self) -> int:
        """Periods of the quota, a tenth of a second each as a rule, that ended in throttling."""
        now = throttled_periods(_ROOT)
        return 0 if now is None or self._before is None else now - self._before


def self_check(steps: Mapping[int, float], watch: ThrottleWatch, n_threads: int) -> str:
    """A line about how fast the model is here, by the seconds of steps of some sizes; throttling is warned of."""
    if watch.periods:
        way_out = "set --threads lower, or give the container more CPUs" if n_threads > 1 else "it needs a little more"
        log.warning(
            "the kernel throttled this process %d times while it measured itself, with --threads %d: its CPU quota "
            "bears less; %s",
            watch.periods,
            n_threads,
            way_out,
        )
    single, many = min(steps), max(steps)
    return f"{single / steps[single]:.1f} tokens/s, prompts {many / steps[many]:.0f}"
