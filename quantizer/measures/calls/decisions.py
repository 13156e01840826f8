"""What matters for calling tools: how far a model is from its reference where a call is decided.

Knows families, a grammar and logits. Dialogues' own calls are teacher-forced: the prompt as served, then the call as
the family writes it. At each of its tokens the grammar says which are allowed. Where only one is, syntax
decides and the token weighs nothing; elsewhere both models' probabilities are renormalised over the allowed ones, and
their divergence counts. The law: the same positions and the same allowed tokens for every model of one vocabulary.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llguidance
import numpy as np

from chat_templates import ChatTemplateError
from quantizer.calibration.rendering import DAY
from quantizer.errors import DataError, FileFormatError
from quantizer.evaluator import Evaluator
from quantizer.measures.estimate import Estimate, bootstrap_errors
from quantizer.measures.text.divergence import MIN_LOG_PROBABILITY
from server.llama.guidance import guidance_tokenizer
from server.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from chat_templates import Family
    from quantizer.calibration import Dialogue
    from server.llama.model import Model
    from server.llama.vocabulary import Vocabulary

MAX_TOKENS = 2048
_MAX_CUTS = 64
_NAMES = ("decision_kld", "decision_kld_max", "decision_same_top", "decision_nll")


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

    `call` tells which call each belongs to; `nll` is the model's -ln p of the token that was decided. Decisions at
    which the model's logits are no numbers are counted and weigh nothing.
    """

    kld: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    nll: NDArray[np.float64]
    call: NDArray[np.int32]

    def estimates(self) -> dict[str, Estimate | None]:
        """`decision_kld`, `decision_kld_max`, `decision_same_top`, `decision_nll`; errors by bootstrap over calls."""
        is_finite = self._is_finite
        of_call = [np.flatnonzero((self.call == i) & is_finite) for i in np.unique(self.call[is_finite])]
        if not of_call:
            return dict.fromkeys(_NAMES)

        def measure(chosen: Sequence[int] | NDArray[np.intp]) -> dict[str, float]:
            at = np.concatenate([of_call[i] for i in chosen])
            return {
                "decision_kld": float(self.kld[at].mean()),
                "decision_kld_max": float(self.kld[at].max()),
                "decision_same_top": float(self.same_top[at].mean()),
                "decision_nll": float(self.nll[at].mean()),
            }

        errors = bootstrap_errors(measure, len(of_call))
        return {name: Estimate(value, errors.get(name)) for name, value in measure(range(len(of_call))).items()}

    @property
    def n_not_finite(self) -> int:
        """How many decisions the model has no numbers for."""
        return int(np.count_nonzero(~self._is_finite))

    @property
    def _is_finite(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.isfinite(self.kld) & np.isfinite(self.nll)
        return found


def forced_calls(model: Model, family: Family, dialogues: Iterable[Dialogue]) -> list[ForcedCall]:
    """The first calls of those dialogues that the family can say and whose tokens its grammar accepts.

    Raises `DataError` if none is left.
    """
    tokenizer = guidance_tokenizer(model.vocabulary)
    found = (_forced_call(model.vocabulary, family, tokenizer, dialogue) for dialogue in dialogues)
    calls = [call for call in found if call is not None and call.decisions]
    if not calls:
        raise DataError(f"no dialogue has a call that the family {family.id} can write and its grammar accepts")
    return calls


@dataclass(frozen=True, slots=True)
class ExpectedDecision:
    """What the reference gives to the allowed tokens at one decision, as far as it is above e^-16.

    `index` points into the allowed tokens, `log_p` is renormalised over them, both `[n]`; `top` is the likeliest's.
    """

    index: NDArray[np.int32]
    log_p: NDArray[np.float32]
    top: int


def expected_decisions(
    model: Model,
    calls: Sequence[ForcedCall],
    *,
    n_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[ExpectedDecision]:
    """The reference's part, decision after decision, over all calls. `progress`: calls done, in all.

    Raises `DataError` if some of its logits are no numbers.
    """
    found = []
    for number, _, log_p in _decisions(model, calls, n_threads, progress):
        if not np.isfinite(log_p).all():
            raise DataError(f"{model.path.name} gives no numbers in call {number + 1}: nothing can be compared with it")
        found.append(_expected(log_p))
    return found


def measure_decisions(
    model: Model,
    calls: Sequence[ForcedCall],
    expected: Sequence[ExpectedDecision],
    *,
    n_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DecisionDivergence:
    """Compare a model with the reference's `expected_decisions` of the same calls."""
    kld, same_top, nll, belongs = [], [], [], []
    decided = zip(_decisions(model, calls, n_threads, progress), expected, strict=True)
    for (number, chosen, log_q), wanted in decided:
        p = np.exp(wanted.log_p.astype(np.float64))
        kld.append(float(np.sum(p * (wanted.log_p - log_q[wanted.index]))))
        same_top.append(int(log_q.argmax()) == wanted.top)
        nll.append(-float(log_q[chosen]))
        belongs.append(number)
    return DecisionDivergence(
        np.array(kld), np.array(same_top, dtype=np.bool_), np.array(nll), np.array(belongs, dtype=np.int32)
    )


def save_expected(path: Path, expected: Sequence[ExpectedDecision]) -> None:
    """Write what `load_expected` reads, whole or not at all. Raises `OSError` if it cannot be written."""
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            n=np.array([len(decision.index) for decision in expected], dtype=np.int64),
            top=np.array([decision.top for decision in expected], dtype=np.int32),
            index=np.concatenate([decision.index for decision in expected]),
            log_p=np.concatenate([decision.log_p for decision in expected]),
        )


def load_expected(path: Path) -> list[ExpectedDecision]:
    """Raises `FileFormatError` if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            ends = np.cumsum(data["n"])[:-1]
            columns = np.split(data["index"], ends), np.split(data["log_p"], ends), data["top"]
            return [ExpectedDecision(index, log_p, int(top)) for index, log_p, top in zip(*columns, strict=True)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"cannot read the decisions {path}: {error} (remove it)") from error


def calls_key(calls: Sequence[ForcedCall]) -> str:
    """A hash of prompts, calls and what was allowed."""
    digest = hashlib.sha256()
    for call in calls:
        digest.update(repr((call.prompt, call.call)).encode())
        for ids in call.allowed:
            digest.update(ids.tobytes())
    return digest.hexdigest()


def _decisions(
    model: Model, calls: Sequence[ForcedCall], n_threads: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """For each decision: its call's number, the index of what was decided, and ln p of all allowed tokens."""
    n_ctx = max(len(call.prompt) + len(call.call) for call in calls)
    n_outputs = max(len(call.call) for call in calls)
    with Evaluator(model, n_ctx=n_ctx, n_outputs=n_outputs, n_threads=n_threads) as evaluator:
        for number, call in enumerate(calls):
            # The token call[i] is predicted after the token before it; the last one need not be evaluated.
            tokens = np.array([*call.prompt, *call.call[:-1]], dtype=np.int32)
            logits = evaluator.logits(tokens, slice(len(call.prompt) - 1, None))
            for i in call.decisions:
                allowed = call.allowed[i]
                yield number, int(np.searchsorted(allowed, call.call[i])), _log_softmax(logits[i][allowed])
            progress(number + 1, len(calls))


def _expected(log_p: NDArray[np.float64]) -> ExpectedDecision:
    index = np.flatnonzero(log_p > MIN_LOG_PROBABILITY).astype(np.int32)
    return ExpectedDecision(index, log_p[index].astype(np.float32), int(log_p.argmax()))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # of what is no number; whoever asked counts it
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
    call, allowed = _walk(tokenizer, grammar, written, vocabulary.pieces)
    return ForcedCall(tuple(tokens), tuple(call), tuple(allowed)) if call else None


def _walk(
    tokenizer: Any, grammar: str, written: Sequence[int], pieces: Sequence[bytes]
) -> tuple[list[int], list[NDArray[np.int32]]]:
    """The tokens that the grammar accepts, to the end of the call, and what it allows at each; none if it refuses."""
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    n_vocab = len(pieces)
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
            # What follows a whole call ends the turn; else the grammar would write this call otherwise.
            return (call, allowed) if matcher.is_accepting() else ([], [])
        is_forced = (forced and forced[0] == token) or _are_one_text(pieces, ids)
        allowed.append(np.array([token], dtype=np.int32) if is_forced else ids)
        call.append(token)
        matcher.consume_token(token)
    return (call, allowed) if matcher.is_accepting() or matcher.is_stopped() else ([], [])


def _are_one_text(pieces: Sequence[bytes], ids: NDArray[np.int32]) -> bool:
    """Whether the tokens are only several ways to cut one forced text: each is the beginning of the longest."""
    if len(ids) > _MAX_CUTS:
        return False
    texts = [pieces[i] for i in ids]
    longest = max(texts, key=len)
    return all(longest.startswith(text) for text in texts)


def _prompt_tokens(vocabulary: Vocabulary, prompt: str) -> list[int]:
    if vocabulary.bos and not prompt.startswith(vocabulary.bos):
        prompt = vocabulary.bos + prompt
    return vocabulary.tokenize(prompt.encode(), parse_special=True)


def decision_counts(calls: Sequence[ForcedCall]) -> Mapping[str, int]:
    """How many calls, tokens of calls, and decisions among them there are."""
    return {
        "calls": len(calls),
        "tokens": sum(len(call.call) for call in calls),
        "decisions": sum(len(call.decisions) for call in calls),
    }
