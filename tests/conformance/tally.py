"""What a server says of the requests that it answered: by route and status, held against its own description."""

from __future__ import annotations

import re
import time
from collections import Counter

# The description itself, and preflights; a route that is none; a method that it does not take; a client that left.
# OpenAPI has no operation for these.
OF_NO_OPERATION = {200, 404, 405, 499}
DRAINED_S = 10.0

_REQUESTS = re.compile(r'functiongate_http_requests_total\{route="([^"]*)",status="(\d+)"\} (\d+)')
_BUSY = re.compile(r"^functiongate_(?:running|waiting) (\S+)$", re.MULTILINE)


def requests_of(metrics: str) -> Counter[tuple[str, int]]:
    """Requests by route and status, but for those of the metrics themselves."""
    found = {(route, int(status)): int(float(n)) for route, status, n in _REQUESTS.findall(metrics)}
    return Counter({key: n for key, n in found.items() if key[0] != "/metrics"})


def undescribed(counts: Counter[tuple[str, int]], description) -> list[tuple[str, int]]:
    """What was answered and no operation of the route has among its answers."""
    known = {
        (path, int(status))
        for path, methods in description["paths"].items()
        for operation in methods.values()
        for status in operation["responses"]
    }
    return sorted(
        (route, status)
        for route, status in counts
        if (re.sub(r":path\}", "}", route), status) not in known
        and not (route == "unknown" and status in OF_NO_OPERATION)
        and status not in (405, 499)
    )


def failures(counts: Counter[tuple[str, int]]) -> list[tuple[str, int]]:
    """Failures of the server's own: those that it gives for an overload or before it is ready are none."""
    return sorted((route, status) for route, status in counts if status >= 500 and status not in (503, 529))


def by_route(counts: Counter[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """For a report."""
    rows: dict[str, dict[str, int]] = {}
    for (route, status), n in sorted(counts.items()):
        rows.setdefault(route, {})[str(status)] = n
    return rows


def busy(metrics: str) -> float:
    """How many requests run or wait."""
    found = _BUSY.findall(metrics)
    assert len(found) == 2, "a server tells both"
    return sum(map(float, found))


def wait_until_idle(http) -> None:
    """Return when no request runs or waits. Raises `AssertionError` if one still does after `DRAINED_S` seconds."""
    end = time.monotonic() + DRAINED_S
    while (n := busy(http.get("/metrics").text)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not n, f"{n} requests are still there"
