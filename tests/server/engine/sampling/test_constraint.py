from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from byte_vocabulary import ByteVocabulary

from server.engine.sampling.constraint import Constraint, GrammarCompiler, GrammarError
from server.errors import EngineError

VOCABULARY = ByteVocabulary()
CALL = """
start: <tool_call> "\\n" call "\\n" </tool_call>
call: %json {
  "type": "object",
  "properties": {"name": {"enum": ["add", "sub"]}, "n": {"type": "integer", "minimum": 0, "maximum": 999}},
  "required": ["name", "n"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}
}
"""


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(VOCABULARY)


def allowed_tokens(constraint: Constraint) -> set[int]:
    bits = np.unpackbits(constraint.mask().view(np.uint8), count=len(VOCABULARY.pieces), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def walk(constraint: Constraint, seed: int, *, jump: bool) -> bytes:
    """A random text of the grammar; with `jump` forced runs are taken whole, else each token from the mask."""
    rng = np.random.default_rng(seed)
    tokens: list[int] = []
    while not constraint.is_finished:
        if jump and (run := constraint.forced()):
            tokens += run
            continue
        choices = sorted(allowed_tokens(constraint))
        if choices == [VOCABULARY.eos]:
            break
        # one draw for each real choice, so that both ways consume the same numbers
        token = choices[0] if len(choices) == 1 else choices[int(rng.integers(len(choices)))]
        constraint.accept(token)
        tokens.append(token)
    return b"".join(VOCABULARY.pieces[token] for token in tokens)


@pytest.mark.parametrize("seed", range(20))
def test_forced_runs_are_the_tokens_that_the_mask_would_give_one_by_one(compiler: GrammarCompiler, seed: int) -> None:
    jumped = walk(compiler.compile(CALL), seed, jump=True)
    stepped = walk(compiler.compile(CALL), seed, jump=False)
    assert jumped == stepped
    assert jumped.startswith(b'<tool_call>\n{"name": "')


def test_a_token_is_allowed_exactly_when_its_bit_is_set(compiler: GrammarCompiler) -> None:
    constraint = compiler.compile(CALL)
    n_states = 0
    while not constraint.is_finished:
        constraint.forced()
        if constraint.is_finished:
            break
        allowed = allowed_tokens(constraint)
        assert {t for t in range(len(VOCABULARY.pieces)) if constraint.allows(t)} == allowed
        constraint.accept(max(allowed))
        n_states += 1
    assert n_states == 3


def test_markers_are_special_tokens_and_no_text_matches_them(compiler: GrammarCompiler) -> None:
    marker = VOCABULARY.special["<tool_call>"]
    assert compiler.compile(CALL).forced()[0] == marker
    text = compiler.compile("start: /(.|\\n)*/")
    assert not any(text.allows(token) for token in set(VOCABULARY.special.values()) - VOCABULARY.eog)
    as_string = compiler.compile('start: "<tool_call>"')
    assert not as_string.allows(marker)
    assert bytes(as_string.forced()) == b"<tool_call>"


def test_the_end_is_allowed_when_the_grammar_is_satisfied(compiler: GrammarCompiler) -> None:
    constraint = compiler.compile('start: "a"+')
    assert not constraint.allows(VOCABULARY.eos)
    constraint.forced()
    assert VOCABULARY.eog <= allowed_tokens(constraint)
    assert not constraint.is_finished


def test_a_grammar_that_can_only_end_is_finished(compiler: GrammarCompiler) -> None:
    constraint = compiler.compile('start: "abc"')
    assert bytes(constraint.forced()) == b"abc"
    assert constraint.is_finished
    assert constraint.forced() == []


def test_an_end_marker_written_into_the_grammar_is_a_forced_token(compiler: GrammarCompiler) -> None:
    constraint = compiler.compile('start: "ab" <|eom_id|>')
    assert constraint.forced() == [*b"ab", VOCABULARY.special["<|eom_id|>"]]
    assert constraint.is_finished


def test_copies_and_compilations_are_independent(compiler: GrammarCompiler) -> None:
    first = compiler.compile('start: "a" ("b" | "c")')
    first.forced()
    second = first.fork()
    first.accept(ord("b"))
    assert second.allows(ord("c"))
    assert compiler.compile('start: "a" ("b" | "c")').allows(ord("a"))


def test_a_refused_token_is_an_error_and_stays_one(compiler: GrammarCompiler) -> None:
    constraint = compiler.compile('start: "a" | "b"')
    with pytest.raises(EngineError):
        constraint.accept(ord("x"))
    with pytest.raises(EngineError):
        constraint.mask()
    with pytest.raises(EngineError):
        constraint.allows(ord("a"))


@pytest.mark.parametrize("lark", ['start: "a', "start: unknown", 'start: %json {"type": 1}', ""])
def test_a_bad_grammar_is_the_clients_error(compiler: GrammarCompiler, lark: str) -> None:
    with pytest.raises(GrammarError) as error:
        compiler.compile(lark)
    assert error.value.status == 400


@pytest.mark.parametrize(
    "lark",
    [
        "start: " + " | ".join(f'"{i}x"' for i in range(100_000)),
        'start: %json {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$", "minLength": 5000}',
    ],
)
def test_a_pathological_grammar_is_refused_quickly(compiler: GrammarCompiler, lark: str) -> None:
    started = time.monotonic()
    with pytest.raises(GrammarError):
        compiler.compile(lark)
    assert time.monotonic() - started < 2.0


def test_threads_compile_at_the_same_time(compiler: GrammarCompiler) -> None:
    failures: list[int] = []

    def compile_all() -> None:
        failures.extend(n for n in range(80) if bytes(compiler.compile(f'start: "n{n}"').forced()) != f"n{n}".encode())

    threads = [threading.Thread(target=compile_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
