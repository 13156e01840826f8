"""The fastest setting of a model on a machine: threads, flash attention, micro-batch, repacked weights.

Knows how to try settings and where the winner is written; a server reads it when it starts. A setting is tried by what
a tool call costs: some prompt, some decoding. Knobs are turned one after the other from the default on, each trial next
to one of the best so far, so that a machine that drifts does not decide. `Trial` does the measuring.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.machine.rates import Rates

log = logging.getLogger(__name__)

# A trial: the depth of a tools prompt, and steps after it.
N_PREFILL, N_STEPS = 768, 6
# A call of an agent: what follows a cached prompt, single tokens, and rows of forced runs and drafts.
WORK = (24, 8, 40)
REPETITIONS = 3
# A setting must win by this much: less is the machine's noise, and the default is the better known.
MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """What can be turned. `n_threads` for one token, `n_threads_batch` for many; `n_ubatch` in tokens."""

    n_threads: int
    n_threads_batch: int
    flash_attn: Literal["auto", "on", "off"] = "auto"
    n_ubatch: int = 512
    repack: bool = True


Trial = Callable[[Setting], "Rates"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A setting that was tried: its median rates, and its cost as a part of the default's."""

    setting: Setting
    rates: Rates
    cost: float


def tune(default: Setting, max_threads: int, trial: Trial, report: Callable[[Outcome], None]) -> Outcome:
    """The best setting found, after telling `report` of each that was tried; takes minutes.

    `max_threads` is how many CPUs the process may use, hyper-threads included.
    """
    best = Outcome(default, _median([trial(default) for _ in range(REPETITIONS)]), 1.0)
    report(best)
    for turn in _turns(default, max_threads):
        setting = dataclasses.replace(best.setting, **turn)
        if setting == best.setting:
            continue
        pairs = [(trial(best.setting), trial(setting)) for _ in range(REPETITIONS)]
        ratio = statistics.median(_cost(new) / _cost(old) for old, new in pairs)
        outcome = Outcome(setting, _median([new for _, new in pairs]), best.cost * ratio)
        report(outcome)
        if ratio < 1.0 - MARGIN:
            best = outcome
    return best


def _turns(default: Setting, max_threads: int) -> Iterator[dict[str, Any]]:
    for n in sorted({default.n_threads - 1, default.n_threads + 1, max_threads} - {0, default.n_threads}):
        if n <= max_threads:
            yield {"n_threads": n}
            yield {"n_threads_batch": n}
    yield from ({"flash_attn": mode} for mode in ("on", "off"))
    yield from ({"n_ubatch": n} for n in (128, 256))
    yield {"repack": False}


def _cost(rates: Rates) -> float:
    n_prompt, n_single, n_few = WORK
    return n_prompt / rates.prefill + n_single / rates.decode + n_few / rates.few


def _median(several: list[Rates]) -> Rates:
    return type(several[0])(
        *(statistics.median(values) for values in zip(*map(dataclasses.astuple, several), strict=True))
    )


@dataclass(frozen=True, slots=True)
class TuningFile:
    """Where a setting is kept: under the cache, by model, machine, and build, since it holds for no other."""

    path: Path

    @classmethod
    def of(cls, cache_dir: Path, *, model_hash: str, machine: str) -> TuningFile:
        """The file for a model on a machine; `machine` says all that a setting depends on besides the model."""
        key = hashlib.sha256(f"{model_hash} {machine}".encode()).hexdigest()[:32]
        return cls(cache_dir / "tunings" / f"{key}.json")

    def read(self) -> Setting | None:
        """The setting, None if there is none or it cannot be read."""
        try:
            values = json.loads(self.path.read_text())
            setting = Setting(**values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.warning("the tuning %s is ignored: %s", self.path, error)
            return None
        is_sound = min(setting.n_threads, setting.n_threads_batch, setting.n_ubatch) >= 1
        if not is_sound or setting.flash_attn not in {"auto", "on", "off"}:
            log.warning("the tuning %s is ignored: %s", self.path, setting)
            return None
        return setting

    def write(self, setting: Setting) -> None:
        """Replace the setting."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as aside:
            aside.write_text(json.dumps(dataclasses.asdict(setting)))
