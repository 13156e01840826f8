"""Texts in batches of whole sequences, in a context that is opened when it is needed."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from server.engine.embedder import Embedder
from server.errors import EngineError, NotReadyError, OverloadedError
from server.llama.context import DecodeStatus
from server.llama.errors import LlamaError

pytestmark = pytest.mark.native  # a batch is llama.cpp's


class Context:
    """Pools a sequence to (number of tokens, their sum). The first batch waits for `proceed`."""

    n_batch, n_seq_max, n_vocab = 8, 3, 100

    def __init__(self):
        self.sizes = []
        self.threads = {threading.get_ident()}
        self.is_closed = False
        self.aborted = threading.Event()
        self.failure = None
        self.begun = threading.Event()
        self.proceed = threading.Event()
        self.proceed.set()

    def clear(self):
        self._vectors = {}

    def decode(self, batch):
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.proceed.wait(5)
        if self.aborted.is_set():
            return DecodeStatus.ABORTED
        if self.failure is not None:
            raise self.failure
        n = batch.n_tokens
        assert batch.n_outputs == n
        for seq in set(batch._seq[:n, 0].tolist()):
            of = batch._seq[:n, 0] == seq
            assert batch._pos[:n][of].tolist() == [*range(of.sum())]
            self._vectors[seq] = np.array([of.sum(), batch._token[:n][of].sum()], dtype=np.float32)
        self.sizes.append((n, len(self._vectors)))
        return DecodeStatus.OK

    def pooled(self, seq):
        return self._vectors[seq]

    def request_abort(self):
        self.aborted.set()

    def close(self):
        self.is_closed = True


@pytest.fixture
def opened():
    return []


@pytest.fixture
def embedder(opened):
    def open_context():
        opened.append(Context())
        return opened[-1]

    embedder = Embedder(open_context, n_batch=8, n_seq_max=3, n_queue=1)
    yield embedder
    embedder.close()
    assert all(context.is_closed for context in opened)


async def test_every_text_has_its_own_vector_of_length_one_in_order(embedder, opened):
    texts = [(1,), (2, 3), (4, 5, 6, 7, 8, 9, 10, 11), (1, 1), (0,), (7,), (7, 7, 7)]
    vectors = await embedder.embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        expected = np.array([len(text), sum(text)], dtype=np.float32)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=1e-6)
    assert opened[0].sizes == [(3, 2), (8, 1), (4, 3), (3, 1)]


async def test_nothing_is_opened_before_the_first_text_and_one_thread_uses_it(embedder, opened):
    assert opened == []
    await asyncio.gather(embedder.embed([(1,)]), embedder.embed([(2,)]))
    assert len(opened) == 1
    assert len(opened[0].threads) == 1
    assert threading.get_ident() not in opened[0].threads


async def test_more_than_the_queue_is_refused(embedder):
    answers = await asyncio.gather(*(embedder.embed([(1,)]) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [list, list, OverloadedError, OverloadedError]
    await embedder.embed([(1,)])  # what was refused holds no place


async def test_a_failure_of_llama_cpp_is_ours_and_ends_one_request(embedder, opened):
    await embedder.embed([(1,)])
    opened[0].failure = LlamaError("no memory")
    with pytest.raises(EngineError, match="no memory"):
        await embedder.embed([(1,)])
    opened[0].failure = None
    assert len(await embedder.embed([(1,)])) == 1


async def test_a_request_that_was_given_up_ends_after_its_batch(embedder, opened):
    await embedder.embed([(1,)])
    (context,) = opened
    context.begun.clear()
    context.proceed.clear()
    request = asyncio.ensure_future(embedder.embed([(1,) * 8] * 10))
    assert await asyncio.to_thread(context.begun.wait, 5)
    request.cancel()
    context.proceed.set()
    await asyncio.gather(request, return_exceptions=True)
    await embedder.embed([(2,)])
    assert context.sizes == [(1, 1), (8, 1), (1, 1)]


async def test_closing_stops_the_running_batch_and_ends_those_that_wait(embedder, opened):
    await embedder.embed([(1,)])
    (context,) = opened
    context.begun.clear()
    context.proceed.clear()
    requests = [asyncio.ensure_future(embedder.embed([(1,) * 8] * 10)) for _ in range(2)]
    assert await asyncio.to_thread(context.begun.wait, 5)
    closing = asyncio.ensure_future(asyncio.to_thread(embedder.close))
    assert await asyncio.to_thread(context.aborted.wait, 5)
    context.proceed.set()
    ended = await asyncio.gather(*requests, return_exceptions=True)
    await closing
    assert [type(each) for each in ended] == [EngineError, EngineError]
    assert context.sizes == [(1, 1)]
    with pytest.raises(NotReadyError):
        await embedder.embed([(1,)])
