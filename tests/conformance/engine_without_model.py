"""All of the server but a model: its engine, its chat service and its store over a runner that needs none.

As a program it serves: `python engine_without_model.py FAMILY N_CTX STORE`, on a free port, which it prints as
`functiongate serve` does. Answers are bytes by chance, within whatever grammar a request has; a lucky byte in three
ends them, or what they are in the middle of, so that they are short.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from scripted_chat import FACTS

from chat_templates import get_family
from server.api.app import create_app
from server.api.responses.stored.store import ResponseStore
from server.api.serving import bind, serve
from server.api.state import ServedModel, ServingState
from server.chat.completion import CompletionService
from server.chat.embedding import Embedded
from server.chat.service import ChatService
from server.chat.tokens import TextTokens
from server.engine.async_engine import AsyncEngine

N_PARALLEL = 4
STORE_BYTES = 4 << 20  # small, so that a long run drops the oldest
TIMEOUT_S = 60.0
CLOSING = {b'"': 7.0, b"}": 6.0, b"]": 6.0, b"\n": 6.0, b"\\": 5.0, b"n": 5.0, b"*": 6.0, b"E": 5.0, b">": 3.0}


class RandomEmbeddings:
    """A vector for each text, made of nothing but its length."""

    async def embed(self, texts):
        lengths = [len(text) for text in texts]
        return Embedded([np.array([1.0, n], dtype=np.float32) / np.hypot(1.0, n) for n in lengths], sum(lengths))


def closing(vocabulary: ByteVocabulary, thought_end: str) -> np.ndarray:
    """What is added to the logits of a lucky token: those that end an answer, and what is open in one, gain."""
    gain = np.zeros(len(vocabulary.pieces), dtype=np.float32)
    for piece, by in CLOSING.items():
        gain[vocabulary.pieces.index(piece)] = by
    gain[vocabulary.eos] = 9.0
    if thought_end in vocabulary.special:
        gain[vocabulary.special[thought_end]] = 9.0
    return gain


@contextmanager
def served_model(family_id: str, n_ctx: int) -> Iterator[ServedModel]:
    """A model of the family as the API sees it, answering to any name."""
    family = get_family(family_id)
    vocabulary = ByteVocabulary(family.output.markers)
    gain = closing(vocabulary, (family.output.reasoning or ("", ""))[1])
    nothing = np.zeros_like(gain)
    runner = FakeRunner(
        len(vocabulary.pieces),
        n_ctx=n_ctx,
        n_batch=4096,
        n_slots=N_PARALLEL + 2,
        favour=lambda digest: gain if digest % 3 == 0 else nothing,
    )
    engine = AsyncEngine(runner, vocabulary, n_parallel=N_PARALLEL, timeout_s=TIMEOUT_S)

    def measurements() -> dict[str, float]:
        return dataclasses.asdict(engine.metrics)

    try:
        yield ServedModel(
            ChatService(engine, family),
            CompletionService(engine),
            ("without-a-model",),
            len(vocabulary.pieces),
            "fg_without_model",
            dataclasses.replace(FACTS, n_ctx=n_ctx, family=family_id, n_parallel=N_PARALLEL),
            TextTokens(vocabulary),
            RandomEmbeddings(),
            answers_to_any_name=True,
            measurements=measurements,
        )
    finally:
        engine.close()


class Loaded:
    """What `server.api.serving.serve` gives back in the end."""

    def on_failure(self, callback) -> None:
        self.callback = callback

    def close(self) -> None:
        """Nothing: the model belongs to `main`."""


async def run(family_id: str, n_ctx: int, store: Path) -> None:
    """Serve until a signal."""
    state, listener = ServingState(), bind("127.0.0.1", 0)
    kept = ResponseStore(store, max_bytes=STORE_BYTES)
    app = create_app(state, store=kept)
    with served_model(family_id, n_ctx) as model:
        state.ready(model)
        sys.stderr.write(f"http://127.0.0.1:{listener.getsockname()[1]}/v1\n")
        sys.stderr.flush()
        await serve(app, state, listener, Loaded, lambda _: None, drain_timeout_s=5, has_access_log=False)
    kept.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
