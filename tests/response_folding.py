"""A client's fold: the response that a stream's events add up to, made of nothing but the events before the last."""

from __future__ import annotations

import copy

ENDS = ("response.completed", "response.incomplete", "response.failed")


def fold(events):
    """The output by the events, each index and id checked. Raises `AssertionError` where they contradict each other."""
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    output, is_open = [], False
    for event in events[2:]:
        kind = event["type"].removeprefix("response.")
        if kind == "in_progress":
            continue
        if kind == "output_item.added":
            assert not is_open, "one item at a time"
            assert event["output_index"] == len(output)
            assert event["item"]["status"] == "in_progress"
            output.append(copy.deepcopy(event["item"]))
            is_open = True
            continue
        if event["type"] in ENDS or kind == "error":
            continue
        assert is_open
        item = output[event["output_index"]]
        assert event["output_index"] == len(output) - 1
        if kind == "output_item.done":
            assert item == {**event["item"], "status": "in_progress"}
            item["status"] = event["item"]["status"]
            is_open = False
            continue
        assert event["item_id"] == item["id"]
        _grow(item, kind, event)
    return output


def _grow(item, kind, event):
    match kind:
        case "content_part.added":
            assert event["content_index"] == len(item["content"])
            item["content"].append(copy.deepcopy(event["part"]))
        case "output_text.delta" | "reasoning_text.delta":
            item["content"][event["content_index"]]["text"] += event["delta"]
        case "output_text.done" | "reasoning_text.done":
            assert event["text"] == item["content"][event["content_index"]]["text"]
        case "content_part.done":
            assert event["part"] == item["content"][event["content_index"]]
        case "function_call_arguments.delta":
            item["arguments"] += event["delta"]
        case "function_call_arguments.done":
            assert event["arguments"] == item["arguments"]
            assert event["name"] == item["name"]
        case "custom_tool_call_input.delta":
            item["input"] += event["delta"]
        case "custom_tool_call_input.done":
            assert event["input"] == item["input"]
        case _:
            raise AssertionError(f"an event that nobody knows: {kind}")
