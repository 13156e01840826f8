"""How a model is asked for calls, and what is known of it."""

import json
import logging

import pytest

from chat_templates import FAMILIES
from server.calls.setting import CallSetting, CallSettingFile, call_setting, shipped_setting
from server.model_files.catalogue import CATALOGUE, DEFAULT_MODEL

SMOLLM2 = CATALOGUE[DEFAULT_MODEL].source.sha256


def test_a_model_that_was_tuned_for_the_program_is_known_by_its_bytes(tmp_path):
    assert shipped_setting(SMOLLM2).call_bias > 0
    assert call_setting(tmp_path, SMOLLM2) == shipped_setting(SMOLLM2)
    assert call_setting(tmp_path, "0" * 64) == CallSetting()


def test_what_was_found_here_comes_before_what_is_shipped(tmp_path):
    found = CallSetting("generic-python", -1.0)
    CallSettingFile.of(tmp_path, SMOLLM2).write(found)
    assert call_setting(tmp_path, SMOLLM2) == found
    assert call_setting(tmp_path, "1" * 64) == CallSetting()


@pytest.mark.parametrize("text", ["", "[]", '{"family": 3}', '{"call_bias": "high"}', '{"call_bias": 1e9}', '{"a": 1}'])
def test_a_setting_that_cannot_be_read_is_told_and_ignored(tmp_path, caplog, text):
    file = CallSettingFile.of(tmp_path, SMOLLM2)
    file.path.parent.mkdir()
    file.path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert file.read() is None
    assert "ignored" in caplog.text


def test_the_file_is_json_that_a_person_can_write(tmp_path):
    file = CallSettingFile.of(tmp_path, SMOLLM2)
    file.path.parent.mkdir()
    file.path.write_text(json.dumps({"call_bias": 2}))
    assert file.read() == CallSetting(None, 2)


def test_forms_that_are_tried_are_families():
    from server.calls.search import FORMS

    assert set(FORMS) <= set(FAMILIES)
