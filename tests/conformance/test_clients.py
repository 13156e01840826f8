"""A state machine of clients in every dialect, against one server with SmolLM2.

Requests are greedy, so that what an answer has to be is known: the same whole or streamed, alone or beside others, in
one dialect or another. What is stored is what was answered. Every request has a deadline.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import pytest
from conformance.dialects import (
    CHAT,
    DIALECTS,
    MESSAGES,
    RESPONSES,
    TEXT,
    Ask,
    Dialect,
    comparable,
    each_event,
    streamed,
)
from conformance.tally import wait_until_idle
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule, run_state_machine_as_test

pytestmark = pytest.mark.slow

DEADLINE_S = 30.0
RUNS, STEPS = 16, 30
LEAST = RUNS * STEPS // 2
MODEL = {"model": "any"}
LEFT = object()

SAID = st.sampled_from(["Say hello.", "What is the weather in Oslo for 2 days?", "Count to five.", "世界?"])
ASKS = st.builds(
    Ask,
    SAID,
    st.sampled_from([1, 2, 8, 20]),
    st.sampled_from([None, None, "auto", "required", "none"]),
    st.sampled_from([None, "Be brief."]),
)
# SmolLM2's vocabulary has no tokens for some control characters, nor for what begins the planes above the third.
WRITTEN = st.text(st.characters(max_codepoint=0x3FFFF, exclude_categories=["Cc", "Cs"]), max_size=40)
FORMS = st.sampled_from(["whole", "streamed", "left"])


def within_deadline(begin: float) -> None:
    assert time.monotonic() - begin < DEADLINE_S, "a request took longer than its deadline"


def ok(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, (response.request.method, response.request.url, response.text)
    return response.json()


class Clients(RuleBasedStateMachine):
    """Clients of one server. What any of them was ever answered is remembered for all runs."""

    http: ClassVar[httpx.Client]
    answers: ClassVar[dict[Any, Any]] = {}
    n_requests: ClassVar[itertools.count[int]]

    responses = Bundle("responses")
    dropped = Bundle("dropped")
    conversations = Bundle("conversations")

    @initialize()
    def begin(self) -> None:
        self.turns: dict[str, list[dict[str, Any]]] = {}
        self.said_in: dict[str, list[str]] = {}

    def teardown(self) -> None:
        wait_until_idle(self.http)

    # --- one request ---

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        next(self.n_requests)
        begin = time.monotonic()
        response = self.http.post(path, json=body, timeout=DEADLINE_S)
        within_deadline(begin)
        return response

    def request(self, method: str, path: str, status: int = 200) -> Any:
        next(self.n_requests)
        return ok(self.http.request(method, path, timeout=DEADLINE_S), status)

    def stream(self, dialect: Dialect, body: dict[str, Any], leaves_after: int | None = None) -> Any:
        """The fold of a stream; LEFT if the client leaves after so many events."""
        next(self.n_requests)
        begin = time.monotonic()
        with self.http.stream("POST", dialect.path, json=streamed(dialect, body), timeout=DEADLINE_S) as response:
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            events = []
            for event in each_event(response.iter_lines()):
                events.append(event)
                within_deadline(begin)
                if leaves_after is not None and len(events) > leaves_after:
                    return LEFT
        return dialect.fold(events)

    def answer(self, dialect: Dialect, ask: Ask, form: str, leaves_after: int = 0) -> None:
        """Ask, and hold the answer against every other answer to the same."""
        body = {**MODEL, **dialect.body(ask)}
        if form == "whole":
            told = ok(self.post(dialect.path, body))
        else:
            told = self.stream(dialect, body, leaves_after if form == "left" else None)
        if told is LEFT:
            return
        known = self.answers.setdefault((dialect.path, ask), comparable(told))
        assert comparable(told) == known
        if dialect is not TEXT:
            said = dialect.said(told)
            assert self.answers.setdefault(ask, said) == said

    @rule(dialect=st.sampled_from(DIALECTS), ask=ASKS, form=FORMS, leaves_after=st.integers(0, 8))
    def one_asks(self, dialect: Dialect, ask: Ask, form: str, leaves_after: int) -> None:
        self.answer(dialect, ask, form, leaves_after)

    @rule(
        several=st.lists(st.tuples(st.sampled_from(DIALECTS), ASKS, FORMS, st.integers(0, 8)), min_size=2, max_size=6)
    )
    def several_ask_at_once(self, several: list[tuple[Dialect, Ask, str, int]]) -> None:
        with ThreadPoolExecutor(len(several)) as pool:
            for each in [pool.submit(self.answer, *one) for one in several]:
                each.result(2 * DEADLINE_S)

    # --- what costs no token ---

    @rule(text=WRITTEN, with_pieces=st.booleans())
    def tokens_are_the_text(self, text: str, with_pieces: bool) -> None:
        told = ok(self.post("/tokenize", {"content": text, "with_pieces": with_pieces}))["tokens"]
        ids = [token["id"] for token in told] if with_pieces else told
        assert ok(self.post("/detokenize", {"tokens": ids}))["content"] == text

    @rule(ask=ASKS)
    def a_prompt_is_counted_as_it_is_answered(self, ask: Ask) -> None:
        messages = {**MODEL, **MESSAGES.body(ask)}
        counted = ok(self.post("/v1/messages/count_tokens", messages))["input_tokens"]
        usage = ok(self.post(MESSAGES.path, {**messages, "max_tokens": 1}))["usage"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted
        responses = {**MODEL, **RESPONSES.body(ask)}
        assert ok(self.post("/v1/responses/input_tokens", responses))["input_tokens"] == counted
        chat = ok(self.post(CHAT.path, {**MODEL, **CHAT.body(ask), "max_tokens": 1}))["usage"]
        assert chat["prompt_tokens"] == counted

    @rule(text=st.sampled_from(["hi", ["a", "b"]]))
    def vectors_are_refused_by_name(self, text: Any) -> None:
        told = ok(self.post("/v1/embeddings", {**MODEL, "input": text}), 400)
        assert told["error"]["code"] == "unsupported_model"

    @rule(path=st.sampled_from([dialect.path for dialect in DIALECTS]))
    def a_body_without_anything_is_refused(self, path: str) -> None:
        assert ok(self.post(path, dict(MODEL)), 400)["error"]["message"]

    # --- what is stored ---

    def respond(self, said: str, is_streamed: bool, **fields: Any) -> dict[str, Any]:
        body = {**MODEL, "input": said, "max_output_tokens": 4, "temperature": 0, **fields}
        told = self.stream(RESPONSES, body) if is_streamed else ok(self.post(RESPONSES.path, body))
        self.turns[told["id"]] = [{"role": "user", "said": said}]
        return told

    @rule(target=responses, said=SAID, is_streamed=st.booleans())
    def a_response_is_stored(self, said: str, is_streamed: bool) -> dict[str, Any]:
        return self.respond(said, is_streamed)

    @rule(target=responses, before=responses, said=SAID, is_streamed=st.booleans())
    def a_response_goes_on(self, before: dict[str, Any], said: str, is_streamed: bool) -> dict[str, Any]:
        told = self.respond(said, is_streamed, previous_response_id=before["id"])
        assert told["previous_response_id"] == before["id"]
        assert told["usage"]["input_tokens"] > before["usage"]["input_tokens"]
        return told

    @rule(response=responses)
    def what_is_stored_is_what_was_answered(self, response: dict[str, Any]) -> None:
        assert self.request("GET", f"/v1/responses/{response['id']}") == response
        items = self.request("GET", f"/v1/responses/{response['id']}/input_items")["data"]
        assert [item["content"][0]["text"] for item in items] == [self.turns[response["id"]][0]["said"]]
        refused = self.request("POST", f"/v1/responses/{response['id']}/cancel", 400)
        assert refused["error"]["param"] == "response_id"

    @rule(said=SAID, is_streamed=st.booleans())
    def what_is_not_to_be_stored_is_not(self, said: str, is_streamed: bool) -> None:
        told = self.respond(said, is_streamed, store=False)
        self.request("GET", f"/v1/responses/{told['id']}", 404)

    @rule(said=SAID, leaves_after=st.integers(0, 3))
    def who_leaves_has_nothing_stored_or_all_of_it(self, said: str, leaves_after: int) -> None:
        body = {**MODEL, "input": said, "max_output_tokens": 20, "temperature": 0, "stream": True}
        next(self.n_requests)
        events = []
        with self.http.stream("POST", RESPONSES.path, json=body, timeout=DEADLINE_S) as response:
            for event in each_event(response.iter_lines()):
                events.append(event)
                if len(events) > leaves_after:
                    break
        wait_until_idle(self.http)
        stored = self.http.get(f"/v1/responses/{events[0][1]['response']['id']}")
        assert stored.status_code == 404 or stored.json()["status"] in ("completed", "incomplete")

    @rule(target=dropped, response=consumes(responses))
    def a_response_is_dropped(self, response: dict[str, Any]) -> str:
        told = self.request("DELETE", f"/v1/responses/{response['id']}")
        assert told["deleted"] is True
        return response["id"]

    @rule(response_id=dropped, said=SAID)
    def nothing_goes_on_from_what_was_dropped(self, response_id: str, said: str) -> None:
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
            self.request(method, f"/v1/responses/{response_id}{path}", 404)
        body = {**MODEL, "input": said, "previous_response_id": response_id}
        assert ok(self.post(RESPONSES.path, body), 404)["error"]["param"] == "previous_response_id"

    @rule(target=conversations, said=st.none() | SAID)
    def a_conversation_begins(self, said: str | None) -> str:
        items = [] if said is None else [{"role": "user", "content": said}]
        conversation = ok(self.post("/v1/conversations", {"items": items, "metadata": {"a": "b"}}))
        assert self.request("GET", f"/v1/conversations/{conversation['id']}") == conversation
        self.said_in[conversation["id"]] = [] if said is None else [said]
        return conversation["id"]

    @rule(conversation=conversations, said=SAID, is_streamed=st.booleans())
    def a_conversation_goes_on(self, conversation: str, said: str, is_streamed: bool) -> None:
        told = self.respond(said, is_streamed, conversation=conversation)
        assert told["conversation"] == {"id": conversation}
        self.said_in[conversation] += [said, RESPONSES.said(told)[0]]
        self.request("DELETE", f"/v1/responses/{told['id']}") if not is_streamed else None
        if not is_streamed:  # with the response, what was asked and answered is gone
            del self.said_in[conversation][-2:]

    @rule(conversation=conversations, said=SAID)
    def items_are_added(self, conversation: str, said: str) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}
        added = ok(self.post(f"/v1/conversations/{conversation}/items", {"items": [item]}))["data"]
        assert [each["content"][0]["text"] for each in added] == [said]
        self.said_in[conversation].append(said)

    @rule(conversation=conversations, limit=st.integers(1, 4), order=st.sampled_from(["asc", "desc"]))
    def a_conversation_is_what_was_said_in_it(self, conversation: str, limit: int, order: str) -> None:
        found, after = [], ""
        while True:
            path = f"/v1/conversations/{conversation}/items?limit={limit}&order={order}{after}"
            page = self.request("GET", path)
            found += page["data"]
            if not page["has_more"]:
                break
            assert len(page["data"]) == limit
            after = f"&after={page['last_id']}"
        said = ["".join(part["text"] for part in item["content"]) for item in found]
        assert said == (self.said_in[conversation] if order == "asc" else self.said_in[conversation][::-1])

    @rule(conversation=consumes(conversations), said=SAID)
    def a_conversation_ends(self, conversation: str, said: str) -> None:
        assert self.request("DELETE", f"/v1/conversations/{conversation}")["deleted"] is True
        self.request("GET", f"/v1/conversations/{conversation}/items", 404)
        body = {**MODEL, "input": said, "conversation": conversation}
        assert ok(self.post(RESPONSES.path, body), 404)["error"]["param"] == "conversation"


def test_clients_in_all_dialects_get_what_they_asked_for(real, measured):
    Clients.http, Clients.n_requests = real, itertools.count()
    chosen = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=[Phase.generate],  # to shrink what fails takes many times a run, and servers remember
    )
    with measured("clients, SmolLM2", real) as row:
        run_state_machine_as_test(Clients, settings=chosen)
        row["asked"] = next(Clients.n_requests)
    assert row["asked"] > LEAST
