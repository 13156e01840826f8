"""Every route, by dialect, with what the description for machines tells of it.

Knows the endpoints and the shapes of their bodies; what a route does is the endpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST

from server.api.chat.routes import ChatEndpoint
from server.api.chat.schemas import ChatCompletionRequest
from server.api.chat.template import TemplateEndpoint
from server.api.completions.routes import CompletionsEndpoint
from server.api.completions.schemas import CompletionRequestBody
from server.api.document import answers
from server.api.document.operation import ANSWER, BODY, EVERY, MODEL, Description, Operation, operation_id
from server.api.embeddings.routes import EmbeddingsEndpoint
from server.api.embeddings.schemas import EmbeddingRequest
from server.api.messages.routes import MessagesEndpoint
from server.api.messages.schemas import CountTokensBody, MessagesBody
from server.api.models.routes import ANTHROPIC, MAX_LIMIT, ModelEndpoints
from server.api.responses.routes import ResponsesEndpoint
from server.api.responses.schemas import ResponsesRequest
from server.api.responses.stored.conversations import ConversationBody, ConversationsEndpoints, ItemsBody
from server.api.responses.stored.listing import MAX_LIMIT as MAX_ITEMS
from server.api.system.routes import SystemEndpoints
from server.api.tokens.routes import DetokenizeBody, TokenEndpoints, TokenizeBody

if TYPE_CHECKING:
    from server.api.responses.stored.store import ResponseStore
    from server.api.state import ServingState
    from server.api.system.metrics import HttpMetrics

FOUND = EVERY | {404}
# A base URL of llama-server's clients may end without /v1.
BARE = ("/v1", "")
_SAID = [{"role": "user", "content": "What is the weather in Paris?"}]
_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_WEATHER = {"name": "get_weather", "description": "The weather of a city.", "parameters": _CITY}
_PAGE: Mapping[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_ITEMS},
    "order": {"enum": ["asc", "desc"]},
    "after": {"type": "string"},
}


@dataclass(frozen=True, slots=True)
class Served:
    """What the endpoints of a dialect are made with."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float
    store: ResponseStore | None
    strict_tools: bool


def add_routes(description: Description, served: Served, metrics: HttpMetrics) -> None:
    """Serve and describe everything."""
    _add_system(description, served, metrics)
    _add_models(description, served)
    _add_tokens(description, served)
    _add_prompts(description, served)
    _add_completions(description, served)
    _add_messages(description, served)
    _add_responses(description, served)
    _add_conversations(description, served)


def _add_system(description: Description, served: Served, metrics: HttpMetrics) -> None:
    system = SystemEndpoints(served.state, metrics.registry)
    description.add("GET", "/", system.index, Operation("What there is", answers.INDEX))
    description.add("HEAD", "/", system.index, Operation("Whether the server is there", None))
    health = Operation("Whether it is ready", answers.HEALTH, EVERY - {401}, other_answers={503: answers.HEALTH})
    for at in BARE:
        description.add("GET", f"{at}/health", system.health, health)
    told = Operation("Prometheus' metrics", answers.TEXT, media_type=CONTENT_TYPE_LATEST.replace(" ", ""))
    description.add("GET", "/metrics", system.metrics, told)


def _add_models(description: Description, served: Served) -> None:
    models = ModelEndpoints(served.state)
    page = {"limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "after_id": answers.TEXT}
    headers = {ANTHROPIC: answers.TEXT}
    several = Operation("The model and its names", answers.MODELS, EVERY | {400}, query=page, headers=headers)
    for at in BARE:
        description.add("GET", f"{at}/models", models.list, several)
    one = Operation("One model by any of its names", answers.MODEL, EVERY | MODEL, headers=headers)
    description.add("GET", "/v1/models/{name:path}", models.one, one)
    props = Operation("The model's properties, as llama-server tells them", answers.PROPS, EVERY | {503})
    description.add("GET", "/props", models.props, props)
    for path in ("/version", "/api/version"):
        description.add("GET", path, models.version, Operation("The server's version", answers.VERSION))
    tags = Operation("The model, where Ollama's clients ask", answers.TAGS)
    description.add("GET", "/api/tags", models.tags, tags)


def _add_tokens(description: Description, served: Served) -> None:
    tokens = TokenEndpoints(served.state, served.max_body_bytes)
    read = Operation("The tokens of a text", answers.TOKENS, BODY | MODEL, TokenizeBody, {"content": "Hello"})
    description.add("POST", "/tokenize", tokens.tokenize, read)
    written = Operation("The text of tokens", answers.DETOKENIZED, BODY | MODEL, DetokenizeBody, {"tokens": [1, 2]})
    description.add("POST", "/detokenize", tokens.detokenize, written)
    embeddings = EmbeddingsEndpoint(served.state, served.max_body_bytes)
    vectors = Operation(
        "Texts as vectors",
        answers.EMBEDDINGS,
        BODY | MODEL | ANSWER,
        EmbeddingRequest,
        {"model": "any", "input": ["A kitten naps.", "The cat sleeps."]},
    )
    description.add("POST", "/v1/embeddings", embeddings.__call__, vectors)


def _add_prompts(description: Description, served: Served) -> None:
    template = TemplateEndpoint(served.state, served.max_body_bytes)
    asked = {"model": "any", "messages": _SAID}
    prompt = Operation("The prompt of a chat", answers.PROMPT, BODY | MODEL, ChatCompletionRequest, asked)
    description.add("POST", "/apply-template", template.text, prompt)
    counted = Operation(
        "How many tokens a chat's prompt has", answers.RESPONSE_TOKENS, BODY | MODEL, ChatCompletionRequest, asked
    )
    for at in BARE:
        description.add("POST", f"{at}/chat/completions/input_tokens", template.input_tokens, counted)


def _add_completions(description: Description, served: Served) -> None:
    chat = ChatEndpoint(served.state, served.max_body_bytes, served.ping_interval_s, served.strict_tools)
    tools = [{"type": "function", "function": _WEATHER}]
    answer = Operation(
        "A chat's next message",
        answers.CHAT,
        BODY | MODEL | ANSWER,
        ChatCompletionRequest,
        {"model": "any", "messages": _SAID, "tools": tools, "max_tokens": 64},
        is_streamed=True,
    )
    for at in BARE:
        description.add("POST", f"{at}/chat/completions", chat.__call__, answer)
    text = CompletionsEndpoint(served.state, served.max_body_bytes, served.ping_interval_s)
    continued = Operation(
        "A text continued",
        answers.COMPLETION,
        BODY | MODEL | ANSWER,
        CompletionRequestBody,
        {"model": "any", "prompt": "The capital of France is", "max_tokens": 16},
        is_streamed=True,
    )
    description.add("POST", "/v1/completions", text.__call__, continued)


def _add_messages(description: Description, served: Served) -> None:
    messages = MessagesEndpoint(served.state, served.max_body_bytes, served.ping_interval_s, served.strict_tools)
    tools = [{"name": "get_weather", "description": _WEATHER["description"], "input_schema": _CITY}]
    asked = {"model": "any", "messages": _SAID, "tools": tools}
    answer = Operation(
        "A conversation's next message, as Anthropic's clients read it",
        answers.MESSAGE,
        BODY | MODEL | ANSWER,
        MessagesBody,
        {**asked, "max_tokens": 64},
        is_streamed=True,
    )
    description.add("POST", "/v1/messages", messages.create, answer)
    counted = Operation(
        "How many tokens a message's prompt has", answers.INPUT_TOKENS, BODY | MODEL, CountTokensBody, asked
    )
    description.add("POST", "/v1/messages/count_tokens", messages.count_tokens, counted)


def _add_responses(description: Description, served: Served) -> None:
    responses = ResponsesEndpoint(
        served.state, served.max_body_bytes, served.ping_interval_s, served.store, served.strict_tools
    )
    one = "/v1/responses/{response_id}"
    of_one = (("GET", one), ("DELETE", one), ("POST", f"{one}/cancel"), ("GET", f"{one}/input_items"))
    asked = {"model": "any", "input": _SAID, "tools": [{"type": "function", **_WEATHER}]}
    answer = Operation(
        "A response",
        answers.RESPONSE,
        BODY | MODEL | ANSWER,
        ResponsesRequest,
        {**asked, "max_output_tokens": 64},
        goes_on={operation_id(*each): "response_id" for each in of_one},
        is_streamed=True,
    )
    counted = Operation(
        "How many tokens a response's prompt has", answers.RESPONSE_TOKENS, BODY | MODEL, ResponsesRequest, asked
    )
    for at in BARE:
        description.add("POST", f"{at}/responses", responses.__call__, answer)
        description.add("POST", f"{at}/responses/input_tokens", responses.input_tokens, counted)
    streamed = {"stream": {"type": "boolean"}}
    stored = Operation("A stored response", answers.RESPONSE, FOUND | {400}, query=streamed)
    description.add("GET", one, responses.retrieve, stored)
    description.add("DELETE", one, responses.delete, Operation("Drop it", answers.RESPONSE_DELETED, FOUND))
    refused = Operation("Refused: nothing is answered in the background", answers.RESPONSE, FOUND | {400})
    description.add("POST", f"{one}/cancel", responses.cancel, refused)
    items = Operation("What its request sent", answers.ITEMS, FOUND | {400}, query=_PAGE)
    description.add("GET", f"{one}/input_items", responses.input_items, items)


def _add_conversations(description: Description, served: Served) -> None:
    conversations = ConversationsEndpoints(served.store, served.max_body_bytes)
    one = "/v1/conversations/{conversation_id}"
    of_one = (("GET", one), ("DELETE", one), ("GET", f"{one}/items"), ("POST", f"{one}/items"))
    begun = Operation(
        "A conversation begins",
        answers.CONVERSATION,
        BODY,
        ConversationBody,
        {"items": _SAID, "metadata": {"topic": "weather"}},
        goes_on={operation_id(*each): "conversation_id" for each in of_one},
    )
    description.add("POST", "/v1/conversations", conversations.create, begun)
    stored = Operation("A stored conversation", answers.CONVERSATION, FOUND | {400})
    description.add("GET", one, conversations.retrieve, stored)
    ended = Operation("Drop it with its responses", answers.CONVERSATION_DELETED, FOUND | {400})
    description.add("DELETE", one, conversations.delete, ended)
    items = Operation("All that was said in it", answers.ITEMS, FOUND | {400}, query=_PAGE)
    description.add("GET", f"{one}/items", conversations.items, items)
    added = Operation("Items are added to it", answers.ITEMS, BODY | {404}, ItemsBody, {"items": _SAID})
    description.add("POST", f"{one}/items", conversations.add, added)
