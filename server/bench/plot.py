"""A picture of summaries: for each workload the wall time and the time to the first token of each server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from server.bench.summary import Summary


def plot(results: Sequence[tuple[str, dict[str, Summary]]], path: Path) -> None:
    """Write a picture in the format that the file's name asks for. Raises `StartupError` without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- an extra
    except ImportError:
        raise StartupError("plots want matplotlib: pip install 'functiongate[report]'") from None
    figure = Figure(figsize=(9, 1.2 + 0.7 * len(results)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    names = [name for name, _ in results]
    servers = list(results[0][1])
    places = np.arange(len(results))
    height = 0.8 / len(servers)
    for k, server in enumerate(servers):
        offset = places + (k - (len(servers) - 1) / 2) * height
        axes[0].barh(offset, [summaries[server].wall for _, summaries in results], height, label=server)
        axes[1].barh(offset, [summaries[server].ttft[50] for _, summaries in results], height)
    axes[0].set(xlabel="wall time of a round, s", yticks=places, yticklabels=names)
    axes[1].set(xlabel="time to first token, median, s")
    axes[0].invert_yaxis()
    axes[0].legend()
    figure.savefig(path)
