import pytest
from byte_vocabulary import ByteVocabulary
from real_vocabulary import real_vocabulary

from chat_templates import FAMILIES, ChatTemplateError, Markers, Prompt, get_family
from server.chat.prompt import tokenize_prompt
from server.chat.stable_prefix import Beginning, StablePrefix

TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": {"type": "object"}},
    }
]
SYSTEM = {"role": "system", "content": "Be brief."}
VOCABULARY = ByteVocabulary()
MARKERS = Markers(VOCABULARY.special)


def chats():
    for family_id in FAMILIES:
        family = get_family(family_id)
        try:
            family.render([SYSTEM, {"role": "user", "content": "?"}], TOOLS)
        except ChatTemplateError:
            continue
        yield family


@pytest.mark.parametrize("family", list(chats()), ids=lambda family: family.id)
def test_the_prefix_begins_every_conversation_and_holds_what_does_not_change(family):
    prefixes = StablePrefix(VOCABULARY, MARKERS)
    text = prefixes.of([SYSTEM], "tools", {}, lambda messages: family.render(messages, TOOLS)).text
    for content in ("Hello", "A", "weather in Paris?"):
        assert family.render([SYSTEM, {"role": "user", "content": content}], TOOLS).startswith(text)
    if family.id not in {"mistral-small-3.2", "mistral-nemo"}:  # these write tools beside the last user turn
        assert "get_weather" in text


@pytest.fixture(scope="module", params=["llama-bpe", "llama-spm", "qwen2", "phi-3"])
def vocabulary(request):
    from server.llama.model import Model

    with Model(real_vocabulary(request.param), vocab_only=True) as model:
        yield model.vocabulary


@pytest.mark.native
@pytest.mark.parametrize("family", list(chats()), ids=lambda family: family.id)
def test_the_tokens_of_a_prompt_are_the_same_with_its_beginning_known(family, vocabulary):
    markers = Markers(vocabulary.special)
    known = StablePrefix(vocabulary, markers).of([SYSTEM], "t", {}, lambda messages: family.render(messages, TOOLS))
    for content in ("Hello", " x", "\n\n", "<|im_end|>", "", "Zürich 世界", "a<|im_start|>user b"):
        messages = [SYSTEM, {"role": "user", "content": content}]
        try:
            prompt = family.prompt(messages, TOOLS, markers=markers)
        except ChatTemplateError:
            continue
        tokens = tokenize_prompt(vocabulary, prompt, param="messages")
        assert tokenize_prompt(vocabulary, prompt, known, param="messages") == tokens
        n = known.n_tokens(tokens)
        n_bytes = sum(len(vocabulary.pieces[token]) for token in tokens[:n])
        assert n_bytes <= known.n_bytes < n_bytes + len(vocabulary.pieces[tokens[n]])


def test_a_head_that_the_tokenizer_does_not_cut_at_is_not_used():
    """A marker that swallows the white space behind it, as some vocabularies have them."""

    class Swallowing(ByteVocabulary):
        def tokenize(self, text, *, parse_special):
            for marker in self.special:
                text = text.replace(f"{marker}\n".encode(), marker.encode())
            return super().tokenize(text, parse_special=parse_special)

    def render(messages):
        return "".join(f"<|im_start|>\n{message['content']}" for message in messages)

    known = StablePrefix(Swallowing(), MARKERS).of([SYSTEM], "t", {}, render)
    assert (known.text, known.head) == ("<|im_start|>\nBe brief.<|im_start|>\n", "")
    assert StablePrefix(VOCABULARY, MARKERS).of([SYSTEM], "t", {}, render).head == known.text.rstrip()


def test_a_prefix_is_found_once_and_only_by_what_it_depends_on():
    calls = []

    def render(messages):
        calls.append(messages)
        return "".join(message["content"] for message in messages)

    prefixes = StablePrefix(VOCABULARY, MARKERS)
    assert prefixes.of([SYSTEM, {"role": "user", "content": "x"}], "", {}, render).text == "Be brief."
    assert prefixes.of([SYSTEM, {"role": "user", "content": "y"}], "", {}, render).text == "Be brief."
    assert len(calls) == 2
    assert prefixes.of([{"role": "user", "content": "y"}], "", {}, render) == Beginning()
    assert prefixes.of([SYSTEM], "tools", {}, render).text == "Be brief."
    assert len(calls) == 6
    prefixes.of([SYSTEM], "tools", {"enable_thinking": False}, render)
    assert len(calls) == 8


def test_a_template_that_refuses_has_no_prefix():
    def refuse(messages):
        raise ChatTemplateError(str(messages))

    assert StablePrefix(VOCABULARY, MARKERS).of([SYSTEM], "tools", {}, refuse) == Beginning()


def test_half_of_a_surrogate_pair_is_the_tokenizers_to_refuse():
    broken = {"role": "system", "content": "\ud800"}
    found = StablePrefix(VOCABULARY, MARKERS).of(
        [broken], "", {}, lambda messages: messages[0]["content"] + str(messages[-1])
    )
    assert found == Beginning()


def test_a_prompt_that_begins_otherwise_is_tokenized_whole():
    known = Beginning("<|im_start|>ab", "<|im_start|>", (VOCABULARY.special["<|im_start|>"],), 14, 2, VOCABULARY.pieces)
    tokens = tokenize_prompt(VOCABULARY, Prompt("other"), known, param="messages")
    assert tokens == tuple(b"other")
