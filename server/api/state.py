"""The state of the served model: loading, ready, draining or failed.

The one mutable object of the HTTP side; changed on the event loop's thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from server.errors import EngineError, NotFoundError, NotReadyError, RequestError

if TYPE_CHECKING:
    from server.chat.completion import Completion
    from server.chat.embedding import Embeddings
    from server.chat.service import Chat


class Phase(Enum):
    """A server's life, seen from outside."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Tokens(Protocol):
    """A model's vocabulary as clients may ask about it: ids, and the bytes that they stand for."""

    @property
    def n_vocab(self) -> int:
        """How many ids there are."""
        ...

    def of(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """The ids of a text. `add_special` puts the token in front that begins a text, where the model wants one."""
        ...

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each. Raises `IndexError` with the first id that is none."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What clients ask about a model before they use it.

    `n_ctx` is how many tokens a prompt and its answer may have, `n_ctx_train` how many it was trained for. `template`
    is the source of its chat template, `bos` and `eos` are the texts around its texts, `description` is llama.cpp's.
    `n_parallel` requests run at once.
    """

    n_ctx: int
    n_ctx_train: int
    n_embd: int
    n_params: int
    size_bytes: int
    description: str
    family: str
    template: str
    bos: str
    eos: str
    n_parallel: int
    can_think: bool


def no_gauges() -> Mapping[str, int]:
    """Measurements of a model that has none."""
    return {}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model as the API sees it.

    `names` are the model's own, the preferred one first; clients may use any other if `answers_to_any_name`. `n_vocab`
    bounds the ids of `logit_bias`. `temperature` is for requests that name none, None as
    `server.api.request.sampling.settled` has it. `facts` and `tokens` are for those who ask about it. `fingerprint`
    changes when the same seed may give another answer. `embeddings` is None for a model that gives none.
    `measurements` gives the engine's counters by name at this moment, `degradations` those of schemas by keyword; see
    `server.api.system.metrics`.
    """

    chat: Chat
    completion: Completion
    names: tuple[str, ...]
    n_vocab: int
    fingerprint: str
    facts: ModelFacts
    tokens: Tokens
    embeddings: Embeddings | None = None
    answers_to_any_name: bool = False
    temperature: float | None = None
    measurements: Callable[[], Mapping[str, float]] = no_gauges
    degradations: Callable[[], Mapping[str, int]] = no_gauges


class ServingState:
    """The served model and the phase."""

    def __init__(self) -> None:
        self._model: ServedModel | None = None
        self._is_draining = False
        self._failure: EngineError | None = None
        self.created = int(time.time())

    @property
    def phase(self) -> Phase:
        """Where the server is in its life."""
        if self._failure is not None:
            return Phase.FAILED
        if self._is_draining:
            return Phase.DRAINING
        return Phase.LOADING if self._model is None else Phase.READY

    @property
    def model(self) -> ServedModel | None:
        """The loaded model, None while it is loading."""
        return self._model

    def ready(self, model: ServedModel) -> None:
        """Begin to serve the model."""
        self._model = model

    def drain(self) -> None:
        """Refuse new work from now on; what runs may end."""
        self._is_draining = True

    def fail(self, failure: EngineError) -> None:
        """Answer everything with this failure from now on."""
        self._failure = failure

    @property
    def failure(self) -> EngineError | None:
        """Why nothing is answered any more."""
        return self._failure

    def require_ready(self) -> ServedModel:
        """The model to work with. Raises `NotReadyError` while loading or draining, the failure after one."""
        if self._failure is not None:
            raise self._failure
        if self._is_draining:
            raise NotReadyError("The server is shutting down; send the request elsewhere.", code="draining")
        if self._model is None:
            raise NotReadyError("The model is still loading; try again in some seconds.", code="loading")
        return self._model

    def require_named(self, name: str | None) -> ServedModel:
        """The model that a client calls `name`, or means without a name; see above.

        Raises `NotFoundError` if none is called so, and `RequestError` for no name where names are looked at.
        """
        model = self.require_ready()
        if name is None and model.answers_to_any_name:
            return model
        if name is None:
            raise RequestError("Missing required parameter: 'model'.", param="model", code="missing_required_parameter")
        if name not in model.names and not model.answers_to_any_name:
            raise NotFoundError(
                f"The model {name!r} does not exist here. This server has: {', '.join(model.names)}.",
                param="model",
                code="model_not_found",
            )
        return model
