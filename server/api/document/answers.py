"""The shapes of answers, as JSON Schema: what every client can rely on. Answers may have more members.

Data alone. What writes them is in the dialects' folders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Schema = Mapping[str, Any]


def _shape(**members: Any) -> Schema:
    """An object with at least these members; a text is the one value that a member has."""
    properties = {name: {"const": value} if isinstance(value, str) else dict(value) for name, value in members.items()}
    return {"type": "object", "required": list(members), "properties": properties}


def _either(*values: Any) -> Schema:
    return {"enum": list(values)}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": dict(items), **more}


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_OBJECT: Schema = {"type": ["object", "null"]}
TRUE: Schema = {"const": True}

USAGE = _shape(prompt_tokens=COUNT, completion_tokens=COUNT, total_tokens=COUNT)
CHAT = _shape(
    id=TEXT,
    object="chat.completion",
    created=COUNT,
    model=TEXT,
    system_fingerprint=TEXT,
    choices=_list(
        _shape(
            index=COUNT,
            message=_shape(role="assistant", content=MAYBE_TEXT),
            logprobs=MAYBE_OBJECT,
            finish_reason=_either("stop", "length", "tool_calls", "function_call"),
        ),
        minItems=1,
    ),
    usage=USAGE,
)
COMPLETION = _shape(
    id=TEXT,
    object="text_completion",
    created=COUNT,
    model=TEXT,
    choices=_list(
        _shape(index=COUNT, text=TEXT, logprobs=MAYBE_OBJECT, finish_reason=_either("stop", "length")), minItems=1
    ),
    usage=USAGE,
)
EMBEDDINGS = _shape(
    object="list",
    data=_list(_shape(object="embedding", index=COUNT, embedding={"type": ["array", "string"]})),
    model=TEXT,
    usage=_shape(prompt_tokens=COUNT, total_tokens=COUNT),
)

MESSAGE = _shape(
    id=TEXT,
    type="message",
    role="assistant",
    model=TEXT,
    content=_list(_shape(type=_either("text", "thinking", "tool_use"))),
    stop_reason=_either("end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"),
    stop_sequence=MAYBE_TEXT,
    usage=_shape(input_tokens=COUNT, output_tokens=COUNT, cache_read_input_tokens=COUNT),
)
INPUT_TOKENS = _shape(input_tokens=COUNT)

RESPONSE = _shape(
    id=TEXT,
    object="response",
    created_at=COUNT,
    status=_either("completed", "incomplete", "failed"),
    error=MAYBE_OBJECT,
    incomplete_details=MAYBE_OBJECT,
    model=TEXT,
    output=_list(_shape(type=TEXT, id=TEXT, status=_either("completed", "incomplete"))),
    tools=_list(OBJECT),
    usage=MAYBE_OBJECT,
)
RESPONSE_TOKENS = _shape(object="response.input_tokens", input_tokens=COUNT)
RESPONSE_DELETED = _shape(id=TEXT, object="response", deleted=TRUE)
ITEMS = _shape(
    object="list",
    data=_list(_shape(id=TEXT, type=TEXT)),
    first_id=MAYBE_TEXT,
    last_id=MAYBE_TEXT,
    has_more={"type": "boolean"},
)
CONVERSATION = _shape(id=TEXT, object="conversation", created_at=COUNT, metadata=OBJECT)
CONVERSATION_DELETED = _shape(id=TEXT, object="conversation.deleted", deleted=TRUE)

MODELS: Schema = {
    "anyOf": [
        _shape(object="list", data=_list(_shape(id=TEXT, object="model")), models=_list(OBJECT)),
        _shape(data=_list(_shape(type="model", id=TEXT)), has_more={"type": "boolean"}),
    ]
}
MODEL: Schema = {"anyOf": [_shape(id=TEXT, object="model", created=COUNT), _shape(type="model", id=TEXT)]}
PROPS = _shape(default_generation_settings=OBJECT, total_slots=COUNT, chat_template=TEXT, chat_template_caps=OBJECT)
TAGS = _shape(models=_list(_shape(name=TEXT, details=OBJECT)))
VERSION = _shape(version=TEXT)

TOKENS = _shape(tokens=_list({"anyOf": [COUNT, _shape(id=COUNT, piece={"type": ["string", "array"]})]}))
DETOKENIZED = _shape(content=TEXT)
PROMPT = _shape(prompt=TEXT)

INDEX = _shape(name=TEXT, routes=OBJECT)
HEALTH = _shape(status=_either("loading", "ready", "draining", "failed"))
