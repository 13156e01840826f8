"""The setting that serves calls best, found on chat services whose answers are known."""

import json

import pytest

from server.calls.requests import requests
from server.calls.search import BIASES, FORMS, IRRELEVANT, N_FINALISTS, RELEVANT, Tried, best_of, find
from server.calls.setting import CallSetting
from server.calls.trial import Score, trial
from server.chat.request import ChatDelta, ToolCallDelta

ASKED = {(asked.messages[0]["content"], json.dumps(asked.tools)): asked for asked in requests(800, seed=6)}
for n, kinds in ((70, RELEVANT), (800, (*RELEVANT, *IRRELEVANT))):
    ASKED |= {(a.messages[0]["content"], json.dumps(a.tools)): a for a in requests(n, seed=5, kinds=kinds)}


class Oracle:
    """A chat service that answers right if `knows` the kind at this offset, and else says a long text."""

    def __init__(self, knows):
        self._knows = knows
        self.n_opened = self.n_closed = 0

    async def open(self, request):
        asked = ASKED[request.messages[0]["content"], json.dumps(request.tools)]
        self.n_opened += 1
        return Answer(self, asked.right if self._knows(asked.kind, request.call_bias) else None)


class Answer:
    def __init__(self, oracle, right):
        self._oracle = oracle
        self._deltas = iter([ChatDelta(content="word " * 10)] * 1000)
        if right is not None:
            calls = [
                delta
                for i, call in enumerate(right)
                for delta in (
                    ChatDelta(tool_call=ToolCallDelta(i, "id", call.name)),
                    ChatDelta(tool_call=ToolCallDelta(i, arguments=json.dumps(call.arguments))),
                )
            ]
            self._deltas = iter([*calls, ChatDelta(content="" if calls else "no")])

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self._deltas)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self):
        self._oracle.n_closed += 1


async def test_a_trial_counts_what_is_right_and_closes_what_it_cuts():
    oracle = Oracle(lambda kind, _: kind in RELEVANT)
    (score,) = (await trial(oracle, list(requests(35, seed=6)))).values()
    assert score.share(RELEVANT) == 1.0
    assert score.called.total() == 20
    assert score.share(IRRELEVANT) == 1.0  # a text is right where no call is
    assert oracle.n_opened == oracle.n_closed == 35


@pytest.mark.parametrize("good", FORMS)
async def test_a_model_without_a_form_is_asked_in_the_one_that_it_answers(good):
    told = []
    services = {form: Oracle(lambda _kind, _bias, form=form: form == good) for form in FORMS}
    best = await find(services.__getitem__, "generic", told.append, n_form=20, n_bias=14)
    assert best.setting == CallSetting(None if good == "generic" else good, 0.0)
    assert {each.setting.family for each in told} >= set(FORMS)


async def test_a_form_that_the_model_was_trained_to_is_kept():
    oracle = Oracle(lambda _kind, _bias: True)
    best = await find({"qwen2.5": oracle}.__getitem__, "qwen2.5", lambda _: None, n_bias=14)
    assert best.setting == CallSetting(None, 0.0)
    assert oracle.n_opened == 5 * len(BIASES) + 9 * (N_FINALISTS if best.setting.call_bias == 0.0 else 4)


async def test_an_offset_is_taken_that_is_worth_more_than_none():
    oracle = Oracle(lambda kind, bias: (kind in RELEVANT) == (bias >= 2.0) or bias == 2.0)
    best = await find({"qwen2.5": oracle}.__getitem__, "qwen2.5", lambda _: None, n_bias=21)
    assert best.setting.call_bias == 2.0


def test_what_wins_by_less_than_chance_is_not_taken():
    def tried(bias, right):
        score = Score()
        for kind in (*RELEVANT, *IRRELEVANT):
            score.n[kind], score.right[kind] = 100, right
        return Tried(CallSetting(None, bias), score)

    assert best_of([tried(-1.0, 61), tried(0.0, 60), tried(1.0, 50)]).setting.call_bias == 0.0
    assert best_of([tried(-1.0, 63), tried(0.0, 60), tried(1.0, 63.5)]).setting.call_bias == 1.0
