"""The real server with the real model, through the real OpenAI SDK: what a newcomer does first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel
from served import served

pytestmark = pytest.mark.native

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def base_url(smollm2_path: Path) -> Iterator[str]:
    with served(str(smollm2_path), "--alias", "smollm2-135m") as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def call_of(completion: Any) -> Any:
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])
    return call


def test_a_required_call_is_a_real_one(client):
    completion = client.chat.completions.create(
        model="smollm2-135m", messages=QUESTION, tools=[WEATHER], tool_choice="required", temperature=0
    )
    call = call_of(completion)
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] == "Paris"
    extension = completion.usage.model_extra["functiongate"]
    assert extension["forced_tokens"] > 0
    assert extension["decode_steps"] <= 0.5 * completion.usage.completion_tokens


def test_a_streamed_call_is_the_same_call_piece_by_piece(client):
    options: Any = {"model": "smollm2-135m", "messages": QUESTION, "tools": [WEATHER], "tool_choice": "required"}
    whole = call_of(client.chat.completions.create(**options, temperature=0))
    with client.chat.completions.stream(**options, temperature=0) as stream:
        deltas = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == whole.function.arguments
    assert "".join(deltas) == whole.function.arguments
    assert len(deltas) >= 2


def test_pydantic_tools_are_parsed_by_the_sdk(client):
    class GetWeather(BaseModel):
        """Get the current weather of a city."""

        city: str
        unit: Literal["celsius", "fahrenheit"]

    completion = client.chat.completions.parse(
        model="smollm2-135m",
        messages=QUESTION,
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        temperature=0,
    )
    parsed = completion.choices[0].message.tool_calls[0].function.parsed_arguments
    assert isinstance(parsed, GetWeather)
    assert parsed.city == "Paris"


def test_a_response_format_is_kept(client):
    class Capital(BaseModel):
        country: Literal["France", "Spain"]
        is_large: bool

    completion = client.chat.completions.parse(
        model="smollm2-135m", messages=QUESTION, response_format=Capital, temperature=0
    )
    assert isinstance(completion.choices[0].message.parsed, Capital)


CALLED = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Turin"}'}}
ECHOED = {
    "role": "assistant",
    "content": "",
    "reasoning": "Look it up.",
    "reasoning_details": [{}],
    "tool_calls": [CALLED],
}
MCP_TOOL = {"type": "function", "function": {"name": "calendar/events.list", "parameters": {"type": "object"}}}
AS_CLIENTS_SEND_IT: dict[str, dict[str, Any]] = {
    "a thought under another name": {
        "messages": [*QUESTION, ECHOED, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}],
        "tools": [WEATHER],
    },
    "no tools, and a choice": {"tools": [], "tool_choice": "auto"},
    "a hosted tool": {"tools": [{"type": "web_search"}, WEATHER], "parallel_tool_calls": False},
    "a turn that was all thought": {
        "messages": [*QUESTION, {"role": "assistant", "content": None, "reasoning_content": "Hm."}, *QUESTION],
        "tools": [WEATHER],
    },
    "more tokens than there is room": {"max_completion_tokens": 32_000, "stop": ["."]},
    "two assistants at the end": {
        "messages": [*QUESTION, *({"role": "assistant", "content": text} for text in ("I will look.", "One moment."))],
    },
    "no user": {"messages": [{"role": "system", "content": "Turn on the lamp."}], "tools": [WEATHER]},
    "two systems, many users": {
        "messages": [*({"role": "system", "content": text} for text in "ab"), *QUESTION, *QUESTION],
        "temperature": 2,
        "seed": 7,
    },
    "a name as MCP allows it": {"tools": [MCP_TOOL], "tool_choice": "required"},
    "an effort": {"reasoning_effort": "medium", "tools": [WEATHER], "tool_choice": "required"},
    "samplers of others": {"mirostat": 2, "dry_multiplier": 0.8, "top_k": -1, "cache_prompt": True},
}


@pytest.mark.parametrize("fields", AS_CLIENTS_SEND_IT.values(), ids=AS_CLIENTS_SEND_IT.keys())
def test_what_clients_send_is_answered_the_same_whole_and_streamed(base_url, fields):
    body = {"model": "smollm2-135m", "messages": QUESTION, "temperature": 0, "max_tokens": 48, **fields}
    if "max_completion_tokens" in fields:
        del body["max_tokens"]
    answer = httpx.post(f"{base_url}/chat/completions", json=body, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    whole = answer.json()
    content, calls, warnings = "", {}, []
    with httpx.stream(
        "POST", f"{base_url}/chat/completions", json={**body, "stream": True}, timeout=120, trust_env=False
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                warnings += chunk.get("warnings", [])
                delta = chunk["choices"][0]["delta"]
                content += delta.get("content") or ""
                for piece in delta.get("tool_calls", []):
                    calls[piece["index"]] = calls.get(piece["index"], "") + piece["function"]["arguments"]
    message = whole["choices"][0]["message"]
    assert content == (message["content"] or "")
    assert list(calls.values()) == [call["function"]["arguments"] for call in message.get("tool_calls", [])]
    assert warnings == whole.get("warnings", [])
    if fields.get("tool_choice") == "required":
        assert calls


def many_tools() -> list[dict[str, Any]]:
    text = "Looks a thing up in the archive and tells when it was filed, by whom, and under which number. " * 3
    tools = [
        {**WEATHER, "function": {**WEATHER["function"], "name": f"lookup_{i}", "description": text}} for i in range(12)
    ]
    return [WEATHER, *tools]


def test_the_second_call_with_a_long_tools_prompt_finds_it_cached(client):
    def ask(question):
        return client.chat.completions.create(
            model="smollm2-135m",
            messages=[{"role": "user", "content": question}],
            tools=many_tools(),
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            temperature=0,
        ).usage

    first, second = ask("What is the weather in Paris?"), ask("Is it raining in Rome right now?")
    assert first.prompt_tokens > 1_000
    assert second.prompt_tokens_details.cached_tokens > 0.9 * first.prompt_tokens


def test_a_client_that_leaves_in_the_middle_of_a_prefill_frees_the_model_within_a_second(client, base_url):
    slow = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "word " * 4_000}], "max_tokens": 500}
    for seconds in (0.5, 1.5):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{base_url}/chat/completions", json=slow, timeout=seconds)
    started = time.perf_counter()
    client.chat.completions.create(model="smollm2-135m", messages=QUESTION, max_tokens=1)
    # One prefill of some forty tokens; the abandoned one would take twenty seconds and more.
    assert time.perf_counter() - started < 3.0


@pytest.mark.parametrize(
    ("changes", "error", "status", "param", "code"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, 404, "model", "model_not_found"),
        ({"temperature": 9}, openai.BadRequestError, 400, "temperature", None),
        (
            {"tool_choice": {"type": "function", "function": {"name": "no"}}},
            openai.BadRequestError,
            400,
            "tool_choice",
            None,
        ),
        ({"n": 9}, openai.BadRequestError, 400, "n", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": "word " * 20_000}]},
            openai.BadRequestError,
            400,
            "messages",
            "context_length_exceeded",
        ),
    ],
)
def test_errors_are_the_sdks_own_exceptions(  # noqa: PLR0917  a table
    client, changes, error, status, param, code
):
    options: Any = {"model": "smollm2-135m", "messages": QUESTION, "tools": [WEATHER]} | changes
    with pytest.raises(error) as caught:
        client.chat.completions.create(**options)
    assert caught.value.status_code == status
    assert caught.value.param == param
    assert code is None or caught.value.code == code


def test_a_call_bias_that_is_large_enough_makes_a_call_of_an_answer(client):
    options: Any = {"model": "smollm2-135m", "messages": QUESTION, "tools": [WEATHER], "temperature": 0}
    options["max_tokens"] = 60
    assert client.chat.completions.create(**options, extra_body={"call_bias": -100}).choices[0].message.content
    choice = client.chat.completions.create(**options, extra_body={"call_bias": 100}).choices[0]
    assert choice.finish_reason == "tool_calls"
    for call in choice.message.tool_calls:
        jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])


def test_the_catalogues_offset_makes_its_model_call_without_being_told_to(client):
    question = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]
    options: Any = {"model": "smollm2-135m", "messages": question, "tools": [WEATHER], "temperature": 0}
    called = client.chat.completions.create(**options).choices[0].message.tool_calls
    left_alone = (
        client.chat.completions.create(**options, max_tokens=60, extra_body={"call_bias": 0}).choices[0].message
    )
    assert called[0].function.name == WEATHER["function"]["name"]
    assert left_alone.content
    assert not left_alone.tool_calls


def test_a_marker_in_a_message_is_text(client):
    def n_tokens(text):
        messages: Any = [{"role": "user", "content": text}]
        answer = client.chat.completions.create(model="smollm2-135m", messages=messages, max_tokens=1)
        return answer.usage.prompt_tokens

    assert n_tokens("a<|im_end|>b") - n_tokens("ab") > 4
    completion = client.completions.create(model="smollm2-135m", prompt="a<|im_end|>b", max_tokens=1)
    assert completion.usage.prompt_tokens == 3  # a prompt of one's own may have markers


def test_an_unusable_schema_is_refused_by_its_tool_and_path(client):
    broken = json.loads(json.dumps(WEATHER))
    broken["function"]["parameters"]["properties"]["city"]["pattern"] = "^(?=P)"
    broken["function"]["strict"] = True
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2-135m", messages=QUESTION, tools=[WEATHER, broken | {}][1:])
    assert caught.value.code == "invalid_function_parameters"
    assert caught.value.param == "tools[0].function.parameters.properties.city"
    assert "'get_weather'" in caught.value.message


def test_a_prompt_is_continued_without_a_template(client):
    prompt = "The capital of France is"
    options: Any = {"model": "smollm2-135m", "prompt": [prompt, prompt], "max_tokens": 5, "temperature": 0}
    whole = client.completions.create(**options, echo=True)
    assert whole.choices[0].text.startswith(prompt + " Paris")
    assert whole.usage.prompt_tokens < 2 * len(prompt.split()) + 4
    texts = ["", ""]
    for chunk in client.completions.create(**options, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert prompt + texts[0] == whole.choices[0].text
    assert [choice.finish_reason for choice in whole.choices] == ["length", "length"]


def test_obsolete_functions_are_answered_in_their_own_form(client):
    completion = client.chat.completions.create(
        model="smollm2-135m",
        messages=QUESTION,
        functions=[WEATHER["function"]],
        function_call={"name": "get_weather"},
        temperature=0,
    )
    choice = completion.choices[0]
    assert choice.finish_reason == "function_call"
    assert json.loads(choice.message.function_call.arguments)["city"] == "Paris"


def test_a_schema_that_is_not_enforced_is_said_so_in_the_answer_and_in_the_metrics(client, base_url):
    broken = json.loads(json.dumps(WEATHER))
    broken["function"]["parameters"]["properties"]["city"]["pattern"] = "^(?=Z)"
    options: Any = {"model": "smollm2-135m", "messages": QUESTION, "tools": [broken], "tool_choice": "required"}
    completion = client.chat.completions.create(**options, temperature=0, max_tokens=64)
    degraded = completion.model_extra["warnings"][0]
    assert degraded["path"] == "tools[0].function.parameters.properties.city"
    assert (degraded["type"], degraded["tool"], degraded["keyword"]) == ("schema_degraded", "get_weather", "pattern")
    with client.chat.completions.stream(**options, temperature=0, max_tokens=64) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
    last = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason)
    assert last.model_extra["warnings"][0] == degraded
    metrics = httpx.get(base_url.removesuffix("/v1") + "/metrics").text
    assert 'functiongate_schema_degradations_total{keyword="pattern"} 2.0' in metrics


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("city", ["Paris", "Lisbon", "Kyoto"])
def test_a_greedy_answer_is_the_same_call_in_every_dialect(base_url, city, is_streamed):
    function = WEATHER["function"]
    question = f"What is the weather in {city}?"
    options: Any = {"model": "smollm2-135m", "temperature": 0}
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        chat: Any = client.chat.completions.create(
            messages=[{"role": "user", "content": question}], tools=[WEATHER], tool_choice="required", **options
        )
        asked = {"input": question, "tools": [{"type": "function", **function}], "tool_choice": "required"}
        if is_streamed:
            with client.responses.stream(**asked, **options, store=False) as stream:
                response = stream.get_final_response()
        else:
            response = client.responses.create(**asked, **options, store=False)
    tool = {"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}
    sent: Any = {
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": question}],
        "tools": [tool],
        "tool_choice": {"type": "any"},
        "max_tokens": 200,
        "extra_body": {"temperature": 0},  # newer models of Anthropic's take none, and their SDK neither
    }
    with anthropic.Anthropic(base_url=base_url.removesuffix("/v1"), api_key="none", max_retries=0) as client:
        if is_streamed:
            with client.messages.stream(**sent) as stream:
                message = stream.get_final_message()
        else:
            message = client.messages.create(**sent)
    call = call_of(chat).function
    (item,) = response.output
    (block,) = message.content
    expected = (call.name, json.loads(call.arguments))
    assert (item.name, json.loads(item.arguments)) == expected
    assert (block.name, block.input) == expected
    assert expected[1]["city"] == city
