"""What clients send in histories, faults included: nothing is lost, and nothing fails for what means the same."""

import pytest

from chat_templates import FAMILIES, TemplateRequestError, get_family

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Does {name}.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}},
        },
    }
    for name in ("alpha_tool", "beta_tool")
]
CALLERS = pytest.mark.parametrize("family_id", [f for f in FAMILIES if f not in ("minitron", "xlam-1-fc")])
NEEDS_A_USER = ("llama-3.1", "llama-3.2", "mistral-nemo", "mistral-small-3.2", "qwen3.5")


def call(name, arguments="{}", call_id="call00001"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, call_id="call00001"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def conversation(*calls, results):
    turn = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return [{"role": "user", "content": "What?"}, turn, *results]


@CALLERS
def test_a_conversation_without_a_user_keeps_its_tools_or_is_refused(family_id):
    family = get_family(family_id)
    alone = [{"role": "system", "content": "Turn on the lights."}]
    if family_id in NEEDS_A_USER:
        with pytest.raises(TemplateRequestError) as refused:
            family.render(alone, TOOLS)
        assert refused.value.param == "messages"
        return
    prompt = family.render(alone, TOOLS)
    assert "alpha_tool" in prompt
    assert "Turn on the lights." in prompt


@CALLERS
@pytest.mark.parametrize("arguments", ["", "  ", None])
def test_no_arguments_in_history_are_an_empty_object(family_id, arguments):
    family = get_family(family_id)
    none, empty = (
        family.render(conversation(call("alpha_tool", each), results=[result("sunny")]), TOOLS)
        for each in (arguments, "{}")
    )
    assert none == empty


@CALLERS
def test_two_calls_with_one_id_have_their_results_in_order(family_id):
    family = get_family(family_id)
    one_id = conversation(call("alpha_tool"), call("beta_tool"), results=[result("first result"), result("second one")])
    prompt = family.render(one_id, TOOLS)
    assert prompt.count("first result") == prompt.count("second one") == 1
    assert prompt.index("first result") < prompt.index("second one")
    two_ids = conversation(
        call("alpha_tool"),
        call("beta_tool", call_id="call00002"),
        results=[result("first result"), result("second one", "call00002")],
    )
    assert prompt.replace("call00002", "call00001") == family.render(two_ids, TOOLS).replace("call00002", "call00001")


@CALLERS
def test_ids_that_are_used_again_in_a_later_turn_have_their_own_results(family_id):
    turns = [
        [call("alpha_tool"), call("beta_tool", call_id="call00002")],
        [call("beta_tool"), call("alpha_tool", call_id="call00002")],
    ]
    messages = [{"role": "user", "content": "What?"}]
    for i, calls in enumerate(turns):
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [result(f"result {i}a"), result(f"result {i}b", "call00002")]
        messages += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "And?"}]
    prompt = get_family(family_id).render(messages, TOOLS)
    places = [prompt.index(f"result {i}{letter}") for i in (0, 1) for letter in "ab"]
    assert places == sorted(places)
