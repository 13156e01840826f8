"""POST /v1/embeddings: texts become vectors, all at once.

Knows OpenAI's shape of the answer. The law: a client that leaves stops what is not computed yet.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.embeddings.schemas import read_embedding_request, texts
from server.api.http.body import read_object
from server.api.http.connection import cancelled_when_left
from server.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.api.state import ServingState


@dataclass(frozen=True, slots=True)
class EmbeddingsEndpoint:
    """Answers requests for embeddings with the state's model."""

    state: ServingState
    max_body_bytes: int

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        wanted = read_embedding_request(await read_object(request, self.max_body_bytes))
        model = self.state.require_named(wanted.model)
        if model.embeddings is None:
            raise RequestError(
                "This model gives no embeddings: its file does not say how they are pooled. Start the server with "
                "--embeddings mean (or cls, or last) to have them all the same, or with a model made for them.",
                param="model",
                code="unsupported_model",
            )
        embedded = await cancelled_when_left(model.embeddings.embed(texts(wanted)), request)
        is_packed = wanted.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": i, "embedding": _packed(vector) if is_packed else vector.tolist()}
            for i, vector in enumerate(embedded.vectors)
        ]
        usage = {"prompt_tokens": embedded.n_tokens, "total_tokens": embedded.n_tokens}
        answer: dict[str, Any] = {"object": "list", "data": data, "model": wanted.model, "usage": usage}
        return JSONResponse(answer)


def _packed(vector: NDArray[np.float32]) -> str:
    """The vector's floats of 32 bits, little-endian."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
