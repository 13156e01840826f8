"""instructor: its modes of asking for a model of data."""

from __future__ import annotations

import instructor
import openai
from check import ASKED, MODEL, URL, report, tried
from pydantic import BaseModel


class Weather(BaseModel):
    """A question about the weather of a city."""

    city: str


def extracted(mode: instructor.Mode) -> bool:
    client = instructor.from_openai(openai.OpenAI(base_url=URL, api_key="none", max_retries=0), mode=mode)
    found = client.create(
        model=MODEL, messages=[{"role": "user", "content": ASKED}], response_model=Weather, max_retries=0, temperature=0
    )
    # In JSON the words are the model's own affair; a call's values are copied from the question. What is found is of
    # a class that instructor derives from ours: it never equals one of ours.
    return isinstance(found, Weather) and ("JSON" in mode.name or found.city == "Paris")


for mode in ("TOOLS", "TOOLS_STRICT", "JSON", "JSON_SCHEMA", "RESPONSES_TOOLS"):
    tried(mode, lambda mode=mode: extracted(instructor.Mode[mode]))
report("instructor", "openai")
