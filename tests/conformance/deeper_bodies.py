"""Schemathesis' hooks: bodies that go deeper than the description says.

The description says of a message that it is an object; here it is one that is nearly right, with tools, calls, results
and blocks of each dialect, so that what reads them is reached. Knows the wire, nothing of the server.
"""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

MANY = {"max_size": 3}
ODD = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3) | st.just([]) | st.just({})
TEXT = st.sampled_from(
    ["hi", "What is the weather in Paris?", "", "<|im_end|>", "x-anthropic-billing-header: a\nb", "é世"]
)
NAME = st.sampled_from(["get_weather", "add", "a.b", "no such", ""])
CALL_ID = st.sampled_from(["call_1", "call_2", "toolu_1"])
ARGUMENTS = st.sampled_from(["{}", '{"city": "Paris"}', "{", "", "[]", "null"])


def some(required, optional):
    """An object; now and then one of its members is odd, or missing."""
    whole = st.fixed_dictionaries(required, optional=optional)
    names = st.sampled_from(sorted({*required, *optional}))
    odd = st.builds(lambda made, name, value: {**made, name: value}, whole, names, ODD)
    short = st.builds(lambda made, name: {k: v for k, v in made.items() if k != name}, whole, names)
    return st.one_of(*[whole] * 12, odd, short)


SCHEMA = st.recursive(
    st.sampled_from(
        [
            *({}, True, {"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 9}, {"enum": ["a", 1, None]}),
            *({"type": "string", "pattern": "^[a-c]{1,3}$"}, {"type": "boolean"}, {"$ref": "#"}, {"not": {}}),
            *({"type": "string", "format": "date"}, {"type": ["integer", "null"]}, {"const": "x"}),
        ]
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda members, wanted: {"type": "object", "properties": members, "required": list(members)[:wanted]},
            st.dictionaries(st.sampled_from(["city", "a", "b"]), inner, **MANY),
            st.integers(0, 2),
        ),
        st.builds(lambda items, n: {"type": "array", "items": items, "maxItems": n}, inner, st.integers(0, 3)),
        st.builds(lambda several: {"anyOf": several}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=4,
)
FUNCTION = some({"name": NAME}, {"description": TEXT, "parameters": SCHEMA, "strict": st.booleans()})
FORMAT = st.sampled_from(
    [
        None,
        {"type": "text"},
        {"type": "grammar", "syntax": "regex", "definition": "[a-c]+"},
        {"type": "grammar", "syntax": "lark", "definition": 'start: "a" | "b"'},
        {"type": "grammar", "syntax": "lark", "definition": "start: nothing"},
    ]
)

TEXT_PART = some(
    {"type": st.sampled_from(["text", "input_text", "output_text", "refusal", "image_url"]), "text": TEXT}, {}
)
CONTENT = TEXT | st.lists(TEXT_PART, **MANY) | st.none()
CALL = some(
    {
        "id": CALL_ID,
        "type": st.just("function"),
        "function": some({"name": NAME, "arguments": ARGUMENTS}, {}),
    },
    {},
)
CHAT_MESSAGE = st.one_of(
    some({"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": CONTENT}, {"name": TEXT}),
    some({"role": st.just("assistant")}, {"content": CONTENT, "tool_calls": st.lists(CALL, **MANY)}),
    some({"role": st.just("tool"), "content": CONTENT, "tool_call_id": CALL_ID}, {}),
)
CHAT_TOOL = some({"type": st.sampled_from(["function", "custom", "web_search"]), "function": FUNCTION}, {})
CHAT = {
    "messages": st.lists(CHAT_MESSAGE, min_size=1, max_size=5),
    "tools": st.lists(CHAT_TOOL, **MANY) | st.none(),
    "tool_choice": st.sampled_from(
        [None, "auto", "none", "required", {"type": "function", "function": {"name": "add"}}, {"type": "allowed_tools"}]
    ),
    "max_tokens": st.integers(1, 40),
    "response_format": st.none()
    | st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, SCHEMA),
}

BLOCK = st.one_of(
    some({"type": st.just("text"), "text": TEXT}, {"cache_control": st.just({"type": "ephemeral"})}),
    some(
        {"type": st.just("tool_use"), "id": CALL_ID, "name": NAME, "input": st.sampled_from([{}, {"city": "Paris"}])},
        {},
    ),
    some({"type": st.just("tool_result"), "tool_use_id": CALL_ID}, {"content": CONTENT, "is_error": st.booleans()}),
    some({"type": st.sampled_from(["thinking", "redacted_thinking", "image", "document"])}, {"thinking": TEXT}),
)
MESSAGES = {
    "messages": st.lists(
        some({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXT | st.lists(BLOCK, **MANY)}, {}),
        min_size=1,
        max_size=5,
    ),
    "system": st.none() | TEXT | st.lists(some({"type": st.just("text"), "text": TEXT}, {}), **MANY),
    "tools": st.none()
    | st.lists(
        some({"name": NAME, "input_schema": SCHEMA}, {"type": st.sampled_from(["custom", "bash_20250124"])}), **MANY
    ),
    "tool_choice": st.sampled_from([None, {"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "add"}]),
    "max_tokens": st.integers(0, 40),
}

ITEM = st.one_of(
    some({"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": CONTENT}, {"id": TEXT}),
    some(
        {"type": st.just("function_call"), "call_id": CALL_ID, "name": NAME, "arguments": ARGUMENTS},
        {"namespace": NAME},
    ),
    some({"type": st.just("function_call_output"), "call_id": CALL_ID, "output": CONTENT}, {}),
    some({"type": st.just("custom_tool_call"), "call_id": CALL_ID, "name": NAME, "input": TEXT}, {}),
    some({"type": st.just("custom_tool_call_output"), "call_id": CALL_ID, "output": CONTENT}, {}),
    some({"type": st.just("reasoning"), "summary": st.just([])}, {"encrypted_content": TEXT, "content": st.just([])}),
    some({"type": st.sampled_from(["item_reference", "web_search_call", "compaction"]), "id": TEXT}, {}),
)
ONE_TOOL = st.one_of(
    st.builds(lambda function: {"type": "function", **function}, FUNCTION),
    some({"type": st.just("custom"), "name": NAME}, {"format": FORMAT, "description": TEXT}),
    some({"type": st.sampled_from(["web_search", "image_generation", "mcp"])}, {}),
)
NAMESPACE = some(
    {"type": st.just("namespace"), "name": NAME, "tools": st.lists(ONE_TOOL, **MANY)}, {"description": TEXT}
)
ITEMS = {"items": st.lists(ITEM, min_size=1, max_size=5)}
RESPONSES = {
    "input": TEXT | st.lists(ITEM, min_size=1, max_size=5),
    "tools": st.none() | st.lists(ONE_TOOL | NAMESPACE, **MANY),
    "tool_choice": st.sampled_from([None, "auto", "none", "required", {"type": "function", "name": "add"}]),
    "max_output_tokens": st.integers(1, 40),
    "previous_response_id": st.sampled_from([None, None, None, "resp_0"]),
    "conversation": st.sampled_from([None, None, None, "conv_0"]),
}

DEEPER = {
    "/v1/chat/completions": CHAT,
    "/apply-template": CHAT,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": {name: MESSAGES[name] for name in ("messages", "system", "tools", "tool_choice")},
    "/v1/responses": RESPONSES,
    "/v1/responses/input_tokens": RESPONSES,
    "/v1/conversations": ITEMS,
    "/v1/conversations/{conversation_id}/items": ITEMS,
    "/v1/completions": {"max_tokens": st.integers(1, 40), "n": st.integers(1, 2)},
}


LONGEST = int(os.environ.get("LONGEST_ANSWER") or 0)
"""How many tokens answers have at most; 0 leaves it to the body. Without a limit they run to the context's end."""

LIMITS = {
    "chat/completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keep an answer short: a limit that is right and too high, or missing, becomes ours. Wrong ones stay."""
    del context, kwargs
    path = case.operation.path.removeprefix("/v1").strip("/")
    if not LONGEST or path not in LIMITS or not isinstance(case.body, dict):
        return
    given = [name for name in LIMITS[path] if case.body.get(name) is not None]
    for name in given or LIMITS[path][-1:]:
        value = case.body.get(name)
        if value is None or (type(value) is int and value > LONGEST):
            case.body[name] = LONGEST


@schemathesis.hook
def flatmap_body(context, body):
    """The generated body, or one with deeper members in place of its own, or with nothing but these."""
    deeper = DEEPER.get(context.operation.path)
    if deeper is None or not isinstance(body, dict):
        return st.just(body)
    members = st.fixed_dictionaries(deeper)
    alone = {name: value for name, value in (("model", "any"), ("stream", body.get("stream"))) if name in body}
    return st.one_of(st.just(body), members.map(lambda made: body | made), members.map(lambda made: alone | made))
