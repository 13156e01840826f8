"""Reads a chat completion from standard input; fails unless it calls get_weather with a city."""

import json
import sys

answer = json.load(sys.stdin)
choice = answer["choices"][0]
(call,) = choice["message"]["tool_calls"]
city = json.loads(call["function"]["arguments"])["city"]
if choice["finish_reason"] != "tool_calls" or call["function"]["name"] != "get_weather" or not city:
    sys.exit(f"expected a call of get_weather with a city, got {json.dumps(answer)}")
print(f"get_weather(city={city!r})")  # noqa: T201 - the report is this script's output
