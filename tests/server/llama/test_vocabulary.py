"""The vocabulary of SmolLM2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native


def test_a_special_token_may_be_made_an_end_and_other_texts_change_nothing(smollm2_path: Path) -> None:
    from server.engine.sampling.constraint import GrammarCompiler
    from server.llama.model import Model

    with Model(smollm2_path) as model:
        vocabulary = model.vocabulary
        start = vocabulary.special["<|im_start|>"]
        before = vocabulary.eog
        vocabulary.end_on(["<|stop|>", "Hello"])
        assert vocabulary.eog == before
        vocabulary.end_on(["<|im_start|>"])
        assert vocabulary.eog == before | {start}
        constraint = GrammarCompiler(vocabulary).compile('start: "Yes"\n')
        assert not constraint.allows(start)
        for token in vocabulary.tokenize(b"Yes", parse_special=False):
            constraint.accept(token)
        assert constraint.is_finished or constraint.allows(start)
