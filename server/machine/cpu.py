"""How many threads a model may use here: what the scheduler, the container and the cores allow.

Knows Linux's `/proc` and `/sys`, under a root that tests replace. With the host's count of CPUs a container that has a
quota decodes 4 to 45 times slower: its threads spin at barriers while the kernel throttles the one they wait for.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """What bounds the threads. `quota` is in CPUs, None without one; `n_cores` counts physical cores."""

    n_affinity: int
    quota: float | None
    n_cores: int

    @property
    def n_threads(self) -> int:
        """The smallest bound, at least 1. A quota is rounded down: one thread too many is throttled at every step."""
        bounds = [self.n_affinity, self.n_cores]
        if self.quota is not None:
            bounds.append(math.floor(self.quota))
        return max(1, min(bounds))

    @property
    def reason(self) -> str:
        """Which bound decided, for the log."""
        if self.quota is not None and math.floor(self.quota) <= self.n_threads:
            return f"the cgroup's quota of {self.quota:g} CPUs"
        if self.n_cores <= self.n_threads:
            return f"{self.n_cores} physical cores"
        return f"an affinity to {self.n_affinity} CPUs"


def choose_threads(wanted: int) -> int:
    """`wanted` if it is not 0, else this machine's budget, which is logged with its reason."""
    if wanted:
        return wanted
    budget = cpu_budget(Path("/"), os.sched_getaffinity(0))
    log.info("%d threads, because of %s", budget.n_threads, budget.reason)
    return budget.n_threads


def cpu_budget(root: Path, affinity: Collection[int]) -> CpuBudget:
    """The budget by the `/proc` and `/sys` under `root`, for a process that may run on the CPUs of `affinity`."""
    quotas = [quota for directory in _cgroups(root) if (quota := _quota(directory)) is not None]
    return CpuBudget(
        n_affinity=len(affinity),
        quota=min(quotas, default=None),
        n_cores=_physical_cores(root, affinity),
    )


def describe_cpu(root: Path) -> str:
    """The processor's name and instruction sets, for keeping what was measured on it apart from others'."""
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = (_read(root / "proc/cpuinfo") or "").splitlines()
    return " ".join(dict.fromkeys(line.strip() for line in lines if line.startswith(wanted)))


def throttled_periods(root: Path) -> int | None:
    """How often the kernel has stopped this process's cgroups for using up their quota; None where nobody counts."""
    counts = []
    for directory in _cgroups(root):
        fields = dict(
            line.split(" ", 1) for line in (_read(directory / "cpu.stat") or "").splitlines() if line.count(" ") == 1
        )
        if fields.get("nr_throttled", "").isdecimal():
            counts.append(int(fields["nr_throttled"]))
    return max(counts, default=None)


def _physical_cores(root: Path, affinity: Collection[int]) -> int:
    """Distinct cores among the CPUs; a CPU whose topology is hidden counts as a core."""
    siblings = set()
    for cpu in affinity:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        shared = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
        siblings.add(shared or f"cpu {cpu}")
    return len(siblings)


def _cgroups(root: Path) -> Iterator[Path]:
    """Every directory that may hold a quota for this process: its cgroup and all above it, in v2 and in v1."""
    mounts = root / "sys/fs/cgroup"
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, controllers, path = (*line.split(":", 2), "", "")[:3]
        if hierarchy == "0" and not controllers:
            bases = [mounts, mounts / "unified"]
        elif "cpu" in controllers.split(","):
            bases = [mounts / controllers, mounts / "cpu"]
        else:
            continue
        # Inside a namespace the path may lead out of the mount ("/../other"): then only what is mounted can be read.
        inner = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
        for base in bases:
            yield from (base.joinpath(*inner[:depth]) for depth in range(len(inner), -1, -1))


def _quota(directory: Path) -> float | None:
    """The quota in CPUs of one cgroup, None without one."""
    v2 = (_read(directory / "cpu.max") or "").split()
    if len(v2) == 2:
        return _ratio(*v2)
    v1 = _read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us")
    return _ratio(v1[0] or "", v1[1] or "")


def _ratio(quota: str, period: str) -> float | None:
    # No quota is written "max" in v2 and -1 in v1.
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0 or int(quota) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
