"""What matters for calling tools: how far a model is from its reference where a call is decided.

Knows families, a grammar and logits. Dialogues' own calls are teacher-forced: the prompt is rendered as served, then the
call as the family writes it. At each of its tokens the grammar says which tokens are allowed. Where only one is, syntax
decides and the token weighs nothing; elsewhere both models' probabilities are renormalised over the allowed tokens, and
their divergence counts. The law: the same positions and the same allowed tokens for every model of one vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llguidance
import numpy as np

from chat_templates import ChatTemplateError
from quantizer.calibration.rendering import DAY
from quantizer.errors import DataError
from quantizer.estimate import Estimate, bootstrap_errors
from quantizer.evaluation import Evaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from chat_templates import Family
    from quantizer.calibration import Dialogue
    from server.llama.model import Model
    from server.llama.vocabulary import Vocabulary

MAX_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class ForcedCall:
    """A prompt and a call after it, as tokens; `allowed` is, for each token of the call, what the grammar allows there.

    `allowed[i]` holds ascending token ids; one alone means that the token was forced.
    """

    prompt: tuple[int, ...]
    call: tuple[int, ...]
    allowed: tuple[NDArray[np.int32], ...]

    @property
    def decisions(self) -> tuple[int, ...]:
        """The positions in the call at which there was a choice."""
        return tuple(i for i, ids in enumerate(self.allowed) if len(ids) > 1)


@dataclass(frozen=True, slots=True)
class DecisionDivergence:
    """Per decision, flat over all calls: D(reference ‖ model) in nats over the allowed tokens, and agreement.

    `call` tells which call each belongs to; `nll` is the model's -ln p of the token that was decided.
    """

    kld: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    nll: NDArray[np.float64]
    call: NDArray[np.int32]

    def estimates(self) -> dict[str, Estimate]:
        """`decision_kld`, `decision_kld_max`, `decision_same_top`, `decision_nll`; errors by bootstrap over calls."""
        n_call = int(self.call.max()) + 1
        of_call = [np.flatnonzero(self.call == i) for i in range(n_call)]

        def measure(chosen: Sequence[int] | NDArray[np.intp]) -> dict[str, float]:
            at = np.concatenate([of_call[i] for i in chosen])
            return {
                "decision_kld": float(self.kld[at].mean()),
                "decision_kld_max": float(self.kld[at].max()),
                "decision_same_top": float(self.same_top[at].mean()),
                "decision_nll": float(self.nll[at].mean()),
            }

        errors = bootstrap_errors(measure, n_call)
        return {name: Estimate(value, errors.get(name)) for name, value in measure(range(n_call)).items()}


def forced_calls(model: Model, family: Family, dialogues: Iterable[Dialogue]) -> list[ForcedCall]:
    """The first calls of those dialogues that the family can say and whose tokens its grammar accepts.

    Raises `DataError` if none is left.
    """
    tokenizer = _tokenizer(model.vocabulary)
    found = (_forced_call(model.vocabulary, family, tokenizer, dialogue) for dialogue in dialogues)
    calls = [call for call in found if call is not None and call.decisions]
    if not calls:
        raise DataError(f"no dialogue has a call that the family {family.id} can write and its grammar accepts")
    return calls


def decision_logits(
    model: Model,
    calls: Sequence[ForcedCall],
    *,
    n_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[NDArray[np.float32], ...]]:
    """For each call and each of its decisions, the logits of the allowed tokens, float32, in the order of `allowed`."""
    n_ctx = max(len(call.prompt) + len(call.call) for call in calls)
    n_outputs = max(len(call.call) for call in calls)
    found = []
    with Evaluator(model, n_ctx=n_ctx, n_outputs=n_outputs, n_threads=n_threads) as evaluator:
        for done, call in enumerate(calls, 1):
            # The token at call[i] is predicted after the token before it; the last one is never evaluated.
            tokens = np.array([*call.prompt, *call.call[:-1]], dtype=np.int32)
            logits = evaluator.logits(tokens, slice(len(call.prompt) - 1, None))
            found.append(tuple(logits[i][call.allowed[i]] for i in call.decisions))
            progress(done, len(calls))
    return found


def compare_decisions(
    calls: Sequence[ForcedCall],
    reference: Sequence[Sequence[NDArray[np.float32]]],
    logits: Sequence[Sequence[NDArray[np.float32]]],
) -> DecisionDivergence:
    """Two models' `decision_logits` of the same calls."""
    kld, same_top, nll, belongs = [], [], [], []
    for number, (call, expected, found) in enumerate(zip(calls, reference, logits, strict=True)):
        for i, a, b in zip(call.decisions, expected, found, strict=True):
            log_p, log_q = _log_softmax(a), _log_softmax(b)
            kld.append(max(0.0, float(np.sum(np.exp(log_p) * (log_p - log_q)))))
            same_top.append(int(a.argmax()) == int(b.argmax()))
            nll.append(-float(log_q[np.searchsorted(call.allowed[i], call.call[i])]))
            belongs.append(number)
    return DecisionDivergence(
        np.array(kld), np.array(same_top, dtype=np.bool_), np.array(nll), np.array(belongs, dtype=np.int32)
    )


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - float(logits.max())
    log_p: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return log_p


def _forced_call(vocabulary: Vocabulary, family: Family, tokenizer: Any, dialogue: Dialogue) -> ForcedCall | None:
    end = next((i for i, message in enumerate(dialogue.messages) if message.get("tool_calls")), None)
    if end is None:
        return None
    try:
        prompt = family.render(dialogue.messages[:end], dialogue.tools, today=DAY)
        whole = family.render(dialogue.messages[: end + 1], dialogue.tools, add_generation_prompt=False, today=DAY)
    except ChatTemplateError:
        return None
    if not whole.startswith(prompt):
        return None
    tokens = _prompt_tokens(vocabulary, prompt)
    special = family.special_tokens & set(vocabulary.special)
    grammar = family.grammar(dialogue.tools, "required", special_tokens=special)
    written = vocabulary.tokenize(whole[len(prompt) :].encode(), parse_special=True)
    if grammar is None or len(tokens) + len(written) > MAX_TOKENS:
        return None
    call, allowed = _walk(tokenizer, grammar, written, len(vocabulary.pieces))
    return ForcedCall(tuple(tokens), tuple(call), tuple(allowed)) if call else None


def _walk(
    tokenizer: Any, grammar: str, written: Sequence[int], n_vocab: int
) -> tuple[list[int], list[NDArray[np.int32]]]:
    """The tokens that the grammar accepts, to the end of the call, and what it allows at each; none if it refuses."""
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    mask = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)
    call: list[int] = []
    allowed: list[NDArray[np.int32]] = []
    for token in written:
        if matcher.is_stopped() or matcher.is_error():
            break
        forced = matcher.compute_ff_tokens()
        matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        if matcher.is_error():
            return [], []
        ids = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")[:n_vocab]).astype(np.int32)
        if token not in ids:
            # The call is over and what follows ends the turn; anything else is a call that the grammar writes otherwise.
            return (call, allowed) if matcher.is_accepting() else ([], [])
        # Several ways to cut the same forced text into tokens are no decision.
        allowed.append(np.array([token], dtype=np.int32) if forced and forced[0] == token else ids)
        call.append(token)
        matcher.consume_token(token)
    return (call, allowed) if matcher.is_accepting() or matcher.is_stopped() else ([], [])


def _prompt_tokens(vocabulary: Vocabulary, prompt: str) -> list[int]:
    if vocabulary.bos and not prompt.startswith(vocabulary.bos):
        prompt = vocabulary.bos + prompt
    return vocabulary.tokenize(prompt.encode(), parse_special=True)


def _tokenizer(vocabulary: Vocabulary) -> Any:
    return llguidance.LLTokenizer(_Tokens(vocabulary), eos_token=sorted(vocabulary.eog))


class _Tokens:
    """The vocabulary in the shape that `llguidance.LLTokenizer` asks for; markers are named `<|…|>`."""

    is_tokenizer_wrapper = True
    bos_token_id: int | None = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.eos
        self.tokens = list(vocabulary.pieces)
        for text, token in vocabulary.special.items():
            if not (text.startswith("<") and text.endswith(">")):
                self.tokens[token] = b"<|" + self.tokens[token] + b"|>"
        self.special_token_ids = sorted({*vocabulary.special.values(), *vocabulary.eog})

    def __call__(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text.encode(), parse_special=False)


def decision_counts(calls: Sequence[ForcedCall]) -> Mapping[str, int]:
    """How many calls, tokens of calls, and decisions among them there are."""
    return {
        "calls": len(calls),
        "tokens": sum(len(call.call) for call in calls),
        "decisions": sum(len(call.decisions) for call in calls),
    }
