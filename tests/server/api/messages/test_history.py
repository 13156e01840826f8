"""How turns of blocks become messages: what is said is kept, in an order that families know."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from server.api.messages.history import BILLING, read_history
from server.api.request.ignored import IgnoredParameters

USE = {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"ä": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_a", "content": "x"}


def read(messages, system=None, ignored=None):
    said = read_history(system, messages, ignored or IgnoredParameters(), is_continued=False)
    return [each.message for each in said]


def text(*words):
    return [{"type": "text", "text": word} for word in words]


def test_results_come_before_what_the_user_says_with_them():
    messages = [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [*text("so?"), RESULT]}]
    assert [message["role"] for message in read(messages)] == ["assistant", "tool", "user"]


def test_turns_of_one_role_are_one_turn():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": text("b", "c")},
        {"role": "assistant", "content": "d"},
        {"role": "assistant", "content": [*text("e"), USE]},
        {"role": "user", "content": "f"},
        {"role": "user", "content": [RESULT]},
    ]
    first, said, result, last = read(messages)
    assert (first["content"], said["content"], last["content"]) == ("a\nb\nc", "de", "f")
    assert said["tool_calls"][0]["function"]["arguments"] == '{"ä": 1}'
    assert result == {"role": "tool", "content": "x", "tool_call_id": "a"}


def test_a_result_may_be_nothing_and_a_turn_may_be_all_thought():
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    ignored = IgnoredParameters()
    nothing = {"type": "tool_result", "tool_use_id": "toolu_a"}
    messages = [
        {"role": "assistant", "content": [thought, {"type": "redacted_thinking", "data": "x"}]},
        {"role": "user", "content": []},
        {"role": "assistant", "content": [thought, USE]},
        {"role": "user", "content": [nothing]},
    ]
    assert [message["content"] for message in read(messages, ignored=ignored)] == ["", "", None, ""]
    (warning,) = ignored.warnings
    assert (warning.param, warning.count) == ("messages[0].content[0]", 3)


def test_a_tool_that_was_found_is_told_by_its_name():
    found = {**RESULT, "content": [{"type": "tool_reference", "tool_name": "get_weather"}]}
    messages = [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [found]}]
    assert read(messages)[-1]["content"] == "get_weather"


def test_a_billing_header_that_changes_changes_no_prompt():
    user = [{"role": "user", "content": "hi"}]
    headers = [f"{BILLING}: cc_version=2.1.{i}; cch={i:05x};" for i in range(2)]
    for systems in (
        [text(header, "Be kind.") for header in headers],
        [f"{header}\nBe kind." for header in headers],
    ):
        ignored = IgnoredParameters()
        prompts = [read(user, system, ignored) for system in systems]
        assert prompts[0] == prompts[1] == [{"role": "system", "content": "Be kind."}, *user]
        assert [warning.param.startswith("system") for warning in ignored.warnings] == [True]
    assert read(user, text(headers[0])) == user


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.lists(st.text(min_size=1), max_size=3)), min_size=1)
)
def test_nothing_that_is_said_is_lost_and_roles_alternate(turns):
    messages = [{"role": role, "content": text(*words)} for role, words in turns]
    said = read(messages)
    assert [message["role"] for message in said] == [role for role, _ in itertools.groupby(role for role, _ in turns)]
    everything = "".join(word for _, words in turns for word in words)
    assert "".join(message["content"] for message in said).replace("\n", "") == everything.replace("\n", "")
