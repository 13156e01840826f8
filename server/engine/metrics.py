"""What the engine counts. Monotonic counters and gauges; a metrics endpoint reads a snapshot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class EngineMetrics:
    """Counts since start. `evaluations` are model calls; `decode_steps` adds up each sequence's share of them."""

    requests_finished: int = 0
    requests_aborted: int = 0
    requests_failed: int = 0
    requests_refused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefill_tokens: int = 0
    restored_tokens: int = 0
    stored_tokens: int = 0
    completion_tokens: int = 0
    forced_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    decode_steps: int = 0
    evaluations: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    running: int = 0
    waiting: int = 0
    prefix_nodes: int = 0
    prefix_tokens: int = 0
