"""What Prometheus reads: requests by answer, their latency, and the engine's own counters.

One registry per app. The engine's counters are read when they are asked for, so they cost nothing otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from server.api.state import ServingState

# From a cached call of a tiny model to a long prompt on two cores, in seconds.
_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class HttpMetrics:
    """Counts requests. `route` is one of the app's routes, never what a client typed: series stay bounded."""

    def __init__(self, state: ServingState) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "functiongate_http_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "functiongate_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_EngineCollector(state))

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one finished request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class _EngineCollector(Collector):
    """The engine's measurements, `functiongate_` in front: those that end in `_total` only grow."""

    def __init__(self, state: ServingState) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        model = self._state.model
        yield GaugeMetricFamily("functiongate_ready", "1 once the model is loaded.", value=0 if model is None else 1)
        for name, value in (model.measurements() if model is not None else {}).items():
            documentation = f"{name.replace('_', ' ').capitalize()}, from the engine."
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield family(f"functiongate_{name}", documentation, value=value)
        # Keywords are those of JSON Schema, never what a client typed: series stay bounded.
        degradations = CounterMetricFamily(
            "functiongate_schema_degradations_total",
            "Schemas not enforced while generating, by the keyword at fault.",
            labels=("keyword",),
        )
        for keyword, count in (model.degradations() if model is not None else {}).items():
            degradations.add_metric((keyword,), count)
        yield degradations
