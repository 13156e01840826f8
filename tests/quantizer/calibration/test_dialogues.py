import json
from itertools import islice

import jsonschema
import pytest

from chat_templates import FAMILIES, get_family
from quantizer.calibration import generate_dialogues, render_dialogues, shipped_text
from quantizer.measures.calls.case_files import shipped_cases

# These say nothing with past calls or results: a single turn, or no chat at all.
SILENT = {"xlam-1-fc", "minitron"}


def test_the_same_seed_gives_the_same_dialogues():
    assert list(generate_dialogues(60, seed=5)) == list(generate_dialogues(60, seed=5))
    assert list(generate_dialogues(60, seed=5)) != list(generate_dialogues(60, seed=6))


def test_hundreds_of_dialogues_are_different():
    dialogues = list(generate_dialogues(400))
    assert len({json.dumps([d.messages, d.tools]) for d in dialogues}) > 380
    assert len({d.course for d in dialogues}) == 7
    assert len({tool["function"]["name"] for d in dialogues for tool in d.tools}) >= 20


def test_every_call_fits_its_schema_and_every_result_its_call():
    for dialogue in generate_dialogues(300):
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in dialogue.tools}
        open_ids = []
        for message in dialogue.messages:
            for call in message.get("tool_calls", ()):
                jsonschema.validate(json.loads(call["function"]["arguments"]), schemas[call["function"]["name"]])
                open_ids.append(call["id"])
            if message["role"] == "tool":
                open_ids.remove(message["tool_call_id"])
        assert not open_ids


@pytest.mark.parametrize("family_id", sorted(set(FAMILIES) - SILENT))
def test_every_family_can_say_the_dialogues(family_id):
    dialogues = list(generate_dialogues(28))
    assert len(list(render_dialogues(get_family(family_id), dialogues))) == len(dialogues)


def test_no_function_of_the_shipped_cases_was_calibrated_on():
    calibrated = {tool["function"]["name"] for d in generate_dialogues(300) for tool in d.tools}
    asked = {tool["function"]["name"] for case in shipped_cases() for tool in case.tools}
    assert not calibrated & asked


def test_any_beginning_of_the_shipped_text_has_prose_code_and_other_languages():
    beginning = shipped_text()[:3000]
    assert "The ferry" in beginning
    assert "def shortest_path" in beginning
    assert "Freiburg" in beginning


def test_generating_is_lazy():
    assert len(list(islice(generate_dialogues(10**9), 3))) == 3
