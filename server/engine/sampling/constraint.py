"""A grammar over one vocabulary: which tokens may come next, and which must.

Knows llguidance; knows no model and no meaning of the text. Special tokens (`<tool_call>`) are written in a Lark
grammar by their name, `[TOOL_CALLS]` as `<|[TOOL_CALLS]|>`; no regex and no string of a grammar ever matches them.
llguidance's matchers never raise: their error is asked for here and becomes `GrammarError` (the grammar's fault), or
`ConstraintError` for a limit met on the way and `EngineError` for anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llguidance
import numpy as np

from server.errors import ConstraintError, EngineError, RequestError
from server.llama.guidance import guidance_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from server.engine.vocabulary import Vocabulary

# llguidance checks its own limits late: 3 MB of alternatives take 39 s to be refused, 540 KB compile in 1.9 s.
# MCP servers are known to send 100 KB of tool schemas.
MAX_GRAMMAR_CHARS = 512 * 1024
# A second's worth: compiling takes about 6 to 10 us a symbol. 150 tools of 8 arguments (144 KB) take some 40,000.
MAX_GRAMMAR_SYMBOLS = 50_000
# What one mask may build of the lexer: some 40 ms of it. In `auto` the name of one of 120 tools needs 550,000 if no two
# have the same arguments; with llguidance's 200,000 such a call ended in an error.
MAX_STEP_FUEL = 1_000_000

# How llguidance words its limits; its stop reasons call some of them internal errors.
_LIMIT_WORDS = (
    "schema too large",
    "stack level exceeded",
    "too big",
    "Too many",
    "too many",
    "Unable to determine if regex is empty",
    "items; max is",
    "NoExtensionBias",  # recursion that never ends
)


class GrammarError(RequestError):
    """A grammar that cannot be compiled, or that exceeds the limits on its size (`is_too_large`)."""

    def __init__(self, message: str, *, is_too_large: bool = False) -> None:
        super().__init__(message, code="invalid_grammar")
        self.is_too_large = is_too_large


class GrammarCompiler:
    """Compiles Lark grammars for one vocabulary. Thread-safe.

    Building it takes one to two seconds for 150,000 tokens: build one per model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tokenizer = guidance_tokenizer(vocabulary)
        self._n_vocab = len(vocabulary.pieces)
        self._end = vocabulary.eos
        self._limits = llguidance.LLParserLimits(
            max_grammar_size=MAX_GRAMMAR_SYMBOLS,
            max_lexer_states=100_000,
            step_lexer_fuel=MAX_STEP_FUEL,
            verbose_errors=False,  # the grammar holds the client's schema, which does not belong in logs
        )

    def compile(self, lark: str) -> Constraint:
        """A constraint for a grammar, at its beginning; fork it to use it again. Raises `GrammarError`."""
        return Constraint(self._build(lark), self._n_vocab, self._end)

    def _build(self, lark: str) -> Any:
        if len(lark) > MAX_GRAMMAR_CHARS:
            raise GrammarError(
                f"the grammar of these tools has {len(lark)} characters; the limit is {MAX_GRAMMAR_CHARS} "
                f"(offer fewer tools or smaller schemas)",
                is_too_large=True,
            )
        grammar = llguidance.LLMatcher.grammar_from_lark(lark)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)
        if not matcher.is_error():
            # The first mask builds most of the lexer, which every copy then inherits.
            matcher.compute_ff_tokens()
            if not matcher.is_stopped():
                matcher.compute_bitmask()
        if matcher.is_error():
            reason = matcher.get_error()
            raise GrammarError(f"the grammar cannot be used: {reason}", is_too_large=_is_limit(reason))
        return matcher


class Constraint:
    """The state of one generation under a grammar. Used by one thread at a time. `end` is the token of a text's end."""

    def __init__(self, matcher: Any, n_vocab: int, end: int) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self.end = end
        self._mask = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)

    @property
    def is_accepting(self) -> bool:
        """Whether the text may end here."""
        return bool(self._matcher.is_accepting())

    @property
    def is_finished(self) -> bool:
        """Whether the grammar is complete and nothing but the end can follow."""
        self._check()  # a failed matcher calls itself stopped
        return bool(self._matcher.is_stopped())

    def allows(self, token: int) -> bool:
        """Whether the token may come next; the same answer as its bit in `mask`, without computing it."""
        n_valid: int = self._matcher.validate_tokens([token])
        self._check()
        return n_valid == 1

    def n_valid(self, tokens: list[int]) -> int:
        """How many of these tokens could follow, in this order; nothing is accepted."""
        if not tokens or self._matcher.is_stopped():
            return 0
        n_valid: int = self._matcher.validate_tokens(tokens)
        self._check()
        return n_valid

    def mask(self) -> NDArray[np.uint32]:
        """The allowed tokens, one bit each, shape `[ceil(n_vocab / 32)]`, lowest bit first.

        A view: valid until the next call. Raises `ConstraintError` if the grammar exceeds its limits here.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        return self._mask

    def accept(self, token: int) -> None:
        """Advance by one token. Raises `EngineError` if the grammar does not allow it."""
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        """The tokens that must come next, as the model's tokenizer would write them; they are accepted.

        Empty when there is a choice. A forced text whose last token could still merge with what follows is
        withheld by llguidance until it is certain. Raises `EngineError` if the grammar fails.
        """
        tokens: list[int] = [] if self._matcher.is_stopped() else self._matcher.compute_ff_tokens()
        if tokens:
            self._matcher.consume_tokens(tokens)
        self._check()
        return tokens

    def fork(self) -> Constraint:
        """An independent copy in the same state."""
        return Constraint(self._matcher.deep_copy(), self._n_vocab, self.end)

    def _check(self) -> None:
        if not self._matcher.is_error():
            return
        reason = self._matcher.get_error()
        if _is_limit(reason):
            raise ConstraintError(
                f"The answer came to a part of a schema that is too complex to go on ({_first_line(reason)}). "
                f"Simplify its patterns and alternatives."
            )
        raise EngineError(f"the grammar failed: {reason}")


def _is_limit(reason: str) -> bool:
    return any(words in reason for words in _LIMIT_WORDS)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
