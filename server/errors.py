"""The server's errors: the type says whose fault it is, the fields are OpenAI's error object.

    FunctionGateError
    ├── RequestError            the client's: 400, with `param` and `code`
    │   ├── ContextLengthError  the prompt does not fit: 400 context_length_exceeded
    │   ├── NotFoundError       no such model or route: 404
    │   ├── UnauthorizedError   no key, or a wrong one: 401
    │   ├── ForbiddenError      a page that may not ask: 403
    │   ├── BodyTooLargeError   413
    │   └── MediaTypeError      the body is not JSON: 415
    ├── OverloadedError         nobody's: 429 with Retry-After, try again later
    ├── NotReadyError           ours, for now: 503 until the model is loaded or while draining
    ├── EngineError             ours: 500; a bug or a broken machine
    │   ├── EngineFailedError   ours: 503, the engine's thread has ended and the process is about to
    │   ├── ConstraintError     the client's, met while generating: 400, this request alone ends
    │   └── DeadlineError       nobody's: 408, this request alone ends
    └── StartupError            the operator's: one line and a non-zero exit, never an HTTP answer

Knows no web framework and no model. Messages name the value, the bound and the way out.
"""


class FunctionGateError(Exception):
    """Base of every error the server raises on purpose."""

    status = 500
    type = "server_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class RequestError(FunctionGateError):
    """The request cannot be served as it is; the client must change it."""

    status = 400
    type = "invalid_request_error"


class ContextLengthError(RequestError):
    """The prompt does not fit the context. Raised before any byte of an answer is sent.

    `parts` are what the prompt was made of, and what to shorten.
    """

    def __init__(
        self, n_prompt: int, n_ctx: int, *, param: str = "messages", parts: str = "the messages and tools"
    ) -> None:
        super().__init__(
            f"This model's maximum context length is {n_ctx} tokens, but {n_prompt} are taken by {parts}. "
            f"Shorten {parts}, or start the server with a larger --ctx-size.",
            param=param,
            code="context_length_exceeded",
        )
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class NotFoundError(RequestError):
    """The request names something that is not here."""

    status = 404


class UnauthorizedError(RequestError):
    """The request has no key, or not one of the server's."""

    status = 401


class ForbiddenError(RequestError):
    """The request comes from a page that may not use this server."""

    status = 403


class BodyTooLargeError(RequestError):
    """The body is longer than the server reads: `max_bytes`."""

    status = 413

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The body is longer than {max_bytes} bytes. Send less, or start the server with a larger --max-body-size.",
            code="request_too_large",
        )


class MediaTypeError(RequestError):
    """The body claims to be something else than JSON."""

    status = 415


class OverloadedError(FunctionGateError):
    """The queue is full. `retry_after_s` is an estimate in seconds, at least 1."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, code="rate_limit_exceeded")
        self.retry_after_s = retry_after_s


class NotReadyError(FunctionGateError):
    """The model is still loading, or the server is draining before it stops."""

    status = 503
    type = "server_error"


class EngineError(FunctionGateError):
    """Decoding failed for a reason that the client did not cause."""


class EngineFailedError(EngineError):
    """The engine's thread has ended by an exception, which is this one's cause. Nothing is generated any more.

    The process is about to end with an exit code other than 0, so that whoever supervises it starts it again.
    """

    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The engine has failed and the server is about to end: {reason}. The log has the trace.",
            code="engine_failed",
        )


class ConstraintError(EngineError):
    """The request's grammar outgrew its limits while the answer was generated. Ends this request, and no other."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str) -> None:
        super().__init__(message, code="grammar_limit_exceeded")


class DeadlineError(EngineError):
    """The request was not answered in the time that it, or the server's --request-timeout, allowed."""

    status = 408
    type = "timeout_error"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"The request was not finished within {timeout_s:g} seconds. Ask for fewer tokens, or allow more time.",
            code="timeout",
        )


class StartupError(FunctionGateError):
    """The server cannot start: a missing file, a busy port, a bad flag."""
