"""Open Responses' compliance tests against a server that runs, and what became of them since `openresponses.toml`.

The cases are written anew after what the suite asks, by its ids, and answers are validated with the models that
`openresponses-types` generates from the same specification. With `--suite FOLDER`, a checkout of openresponses whose
packages are installed, the suite itself is run by `bun`, and held to the same file. Ends with 1 where something that
passed does not pass any more.

Here models decide at temperature 0; the suite leaves it at 1, where small models now and then say what they should
call.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, get_args

RATCHET = Path(__file__).with_suffix(".toml")

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state"}},
        "required": ["location"],
    },
}
QUESTION = [{"type": "message", "role": "user", "content": "What's the weather like in San Francisco?"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def said(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    """Messages by role and text."""
    return [{"type": "message", "role": role, "content": text} for role, text in turns]


def with_part(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A question about something that is no text."""
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is it?"}, part]}]


class Run:
    """Asks one server; collects what is wrong with its answers."""

    def __init__(self, url: str, model: str) -> None:
        import openresponses_types.types as models  # not there where the suite itself is run

        self._models = models
        self._url = url
        self._model = model
        self._events = {
            kind: model
            for name, model in vars(models).items()
            if name.endswith("StreamingEvent")
            for kind in _types_of(model)
        }

    def cases(self) -> dict[str, list[str]]:
        """What is wrong, by the ids of the suite's tests; nothing where they pass."""
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
        file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjE="}
        pirate = said(("system", "You are a pirate."), ("user", "Say hello."))
        turns = said(("user", "My name is Alice."), ("assistant", "Hello Alice!"), ("user", "What is my name?"))
        return {
            "basic-response": self._plain(input=said(("user", "Say hello in exactly 3 words."))),
            "streaming-response": self._plain(input=said(("user", "Count from 1 to 5.")), stream=True),
            "system-prompt": self._plain(input=pirate),
            "tool-calling": self._calls(),
            "tool-calling-streaming": self._calls(stream=True),
            "function-call-roundtrip": self._roundtrip(),
            "multi-turn": self._plain(input=turns),
            "previous-response-id": self._previous(),
            "image-input": self._plain(input=with_part(image)),
            "file-input": self._plain(input=with_part(file)),
        }

    def _plain(self, **body: Any) -> list[str]:
        response, wrong = self._ask(**body)
        if response is None:
            return wrong
        wrong += [] if response["output"] else ["there is no output"]
        return wrong + ([] if response["status"] == "completed" else [f"the status is {response['status']}"])

    def _calls(self, **body: Any) -> list[str]:
        response, wrong = self._ask(input=QUESTION, tools=[WEATHER], **body)
        if response is None or any(item["type"] == "function_call" for item in response["output"]):
            return wrong
        return [*wrong, "there is no function_call"]

    def _roundtrip(self) -> list[str]:
        forced = {"type": "function", "name": "get_weather"}
        question = "Use the weather tool to get the temperature in San Francisco."
        first, wrong = self._ask(input=question, tools=[WEATHER], tool_choice=forced)
        calls = [] if first is None else [item for item in first["output"] if item["type"] == "function_call"]
        if not calls:
            return [*wrong, "there is no function_call"]
        outputs = [
            {"type": "function_call_output", "call_id": call["call_id"], "output": '{"temperature": "18 C"}'}
            for call in calls
        ]
        items = [*said(("user", question)), *calls, *outputs]
        return wrong + self._plain(input=items, tools=[WEATHER])

    def _previous(self) -> list[str]:
        first, wrong = self._ask(input="Remember this code word: papaya. Reply with only OK.")
        if first is None:
            return wrong
        return wrong + self._plain(input="Which code word?", previous_response_id=first["id"])

    def _ask(self, **body: Any) -> tuple[dict[str, Any] | None, list[str]]:
        """The response, None if it was refused, and what is wrong with it."""
        data = json.dumps({"model": self._model, "temperature": 0, **body}).encode()
        request = urllib.request.Request(  # noqa: S310 -- the server that the caller named
            f"{self._url}/responses", data, {"content-type": "application/json", "authorization": "Bearer any"}
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            return None, [f"HTTP {error.code}: {error.read().decode()}"]
        if not body.get("stream"):
            response = json.loads(text)
            return response, self._faults(self._models.ResponseResource, response)
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
        events = [json.loads(line) for line in lines]
        wrong = [fault for event in events for fault in self._faults(self._events.get(event["type"]), event)]
        response = events[-1]["response"]
        return response, wrong + self._faults(self._models.ResponseResource, response)

    def _faults(self, model: Any, value: dict[str, Any]) -> list[str]:
        from pydantic import ValidationError  # see above

        if model is None:
            return [f"an event that the specification does not know: {value['type']}"]
        try:
            model.model_validate(value)
        except ValidationError as error:
            return [str(error)]
        return []


def _types_of(model: Any) -> list[str]:
    """The values that an event's `type` may have, in either of the ways in which the models say it."""
    annotation = model.model_fields["type"].annotation
    values = get_args(annotation) or tuple(annotation)
    return [str(getattr(value, "value", value)) for value in values]


def of_the_suite(folder: Path, url: str, model: str) -> dict[str, list[str]]:
    """What the suite itself finds wrong, by the ids of its tests."""
    bun = shutil.which("bun") or str(folder / "node_modules" / ".bin" / "bun")
    command = [bun, "bin/compliance-test.ts", "--base-url", url, "--api-key", "any", "--model", model, "--json"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    results = json.loads(ran.stdout)["results"]
    return {result["id"]: (result.get("errors") or []) if result["status"] != "passed" else [] for result in results}


def compared(found: dict[str, list[str]]) -> bool:
    """Print what became of each case; whether none got worse."""
    known = tomllib.loads(RATCHET.read_text("utf-8"))
    worse = []
    for name, wrong in found.items():
        was = known.get(name, "pass")
        line = f"as known {name}: {was}"
        if wrong and was == "pass":
            line = f"WORSE    {name}: {'; '.join(wrong)}"
            worse.append(name)
        elif not wrong and was != "pass":
            line = f"BETTER   {name}: it passes; change its line in {RATCHET.name}"
        print(line)  # noqa: T201  it is the script's output
    return not worse


def main() -> int:
    """Run the cases, or the suite, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the server's base URL, with /v1")
    parser.add_argument("--model", default="any")
    parser.add_argument("--suite", type=Path, help="a checkout of openresponses, to run its own suite")
    given = parser.parse_args()
    if given.suite is not None:
        return 0 if compared(of_the_suite(given.suite, given.url, given.model)) else 1
    return 0 if compared(Run(given.url, given.model).cases()) else 1


if __name__ == "__main__":
    sys.exit(main())
