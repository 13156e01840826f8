"""The completion service over an engine without a model: prompts as they are, nothing around them."""

from __future__ import annotations

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.chat.completion import CompletionRequest, CompletionService
from server.engine.async_engine import AsyncEngine
from server.engine.types import SamplingParams
from server.errors import ContextLengthError, RequestError

GREEDY = SamplingParams(temperature=0.0)


class VocabularyWithBos(ByteVocabulary):
    @property
    def bos(self):
        return "<|im_start|>"


@pytest.fixture
async def open_service():
    engines = []

    def build(vocabulary):
        engines.append(AsyncEngine(FakeRunner(n_ctx=64), vocabulary))
        return CompletionService(engines[-1])

    yield build
    for engine in engines:
        engine.close()


async def answer(service, **fields):
    chunks = [chunk async for chunk in await service.open(CompletionRequest(max_tokens=4, **fields))]
    return "".join(chunk.text for chunk in chunks), chunks[-1].usage


async def test_text_and_its_token_ids_have_the_same_answer(open_service):
    service = open_service(ByteVocabulary())
    text, counts = await answer(service, prompt="ab<|im_end|>", sampling=GREEDY)
    assert counts.prompt == 3
    ids, _ = await answer(service, prompt=(97, 98, 261), sampling=GREEDY)
    assert ids == text


@pytest.mark.parametrize(("prompt", "n_tokens"), [("ab", 3), ("<|im_start|>ab", 3), ("", 1), ((97, 98), 2)])
async def test_the_beginning_that_the_model_wants_comes_once_and_never_before_ids(open_service, prompt, n_tokens):
    _, counts = await answer(open_service(VocabularyWithBos()), prompt=prompt)
    assert counts.prompt == n_tokens


@pytest.mark.parametrize("prompt", ["ab<|im_end|>", (97, 98, 261)])
async def test_echo_puts_the_prompts_text_in_front(open_service, prompt):
    text, _ = await answer(open_service(ByteVocabulary()), prompt=prompt, echo=True)
    assert text.startswith("ab<|im_end|>")


@pytest.mark.parametrize("prompt", ["aé<|im_end|>", (97, 195, 169, 261)])
async def test_an_echo_with_its_tokens_is_the_prompt_and_then_the_answer(open_service, prompt):
    service = open_service(ByteVocabulary())
    chunks = [chunk async for chunk in await service.open(CompletionRequest(prompt, GREEDY, 6, echo=True, n_others=1))]
    text, tokens = "".join(chunk.text for chunk in chunks), [token for chunk in chunks for token in chunk.choices]
    assert chunks[0].text == "aé<|im_end|>"
    assert [token.is_first for token in chunks[0].choices] == [True, False, False, False]
    assert [token.start for token in chunks[0].choices] == [0, 1, 1, 2]
    assert b"".join(token.piece for token in tokens).decode("utf-8", "replace") == text
    answer = [token.start for chunk in chunks[1:] for token in chunk.choices]
    assert answer[0] == len(chunks[0].text)
    assert answer == sorted(answer)


async def test_what_a_tokenizer_adds_to_a_prompt_has_no_place_in_its_text(open_service):
    service = open_service(VocabularyWithBos())
    chunks = [chunk async for chunk in await service.open(CompletionRequest("ab", GREEDY, 1, echo=True, n_others=0))]
    assert chunks[0].text == "ab"
    assert [(token.piece, token.start) for token in chunks[0].choices] == [(b"<|im_start|>", 0), (b"a", 0), (b"b", 1)]


@pytest.mark.parametrize("prompt", ["", (), (len(ByteVocabulary().pieces),), (5, -1), "\ud800"])
async def test_a_prompt_that_is_none_is_refused_by_its_place(open_service, prompt):
    with pytest.raises(RequestError) as caught:
        await open_service(ByteVocabulary()).open(CompletionRequest(prompt, param="prompt[3]"))
    assert caught.value.param == "prompt[3]"
    assert "prompt[3]" in caught.value.message


async def test_a_prompt_that_is_too_long_says_so(open_service):
    with pytest.raises(ContextLengthError, match="64 are taken by the prompt") as caught:
        await open_service(ByteVocabulary()).open(CompletionRequest("x" * 64))
    assert (caught.value.param, caught.value.n_prompt) == ("prompt", 64)


@pytest.mark.parametrize(
    ("infill", "tokens"),
    [((258, 259, 260), (258, *b"ab", 259, *b"yz", 260)), ((258, 259, None), (259, *b"yz", 258, *b"ab"))],
)
async def test_what_stands_between_prompt_and_suffix_is_asked_in_the_models_order(open_service, infill, tokens):
    class VocabularyWithInfill(ByteVocabulary):
        @property
        def infill(self):
            return infill

    service = open_service(VocabularyWithInfill())
    assert service._tokens(CompletionRequest("ab", suffix="yz")) == tokens


async def test_a_model_without_tokens_for_it_refuses_a_suffix(open_service):
    with pytest.raises(RequestError) as caught:
        await open_service(ByteVocabulary()).open(CompletionRequest("ab", suffix="yz"))
    assert caught.value.param == "suffix"
