"""Do the calls still come out right: cases asked of `functiongate serve`, one file served at a time.

Knows HTTP and a child process; nothing of the server's inside. Conventions: greedy, `tool_choice` auto; right means
that the calls are exactly those accepted, in any order; texts are compared without case, spaces and punctuation, which
is BFCL's rule.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from quantizer.errors import QuantizerError
from quantizer.measures.calls.case_files import ANY, AcceptedCall
from quantizer.native.child import mortal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from quantizer.measures.calls.case_files import Case

MAX_TOKENS = 512
START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 20.0
_ALIAS = "measured"
# In place of a reason to finish, and what a server says of a model whose logits are no numbers.
NOT_FINITE = "not_finite"
_NOT_FINITE_WORDS = "output is not finite"
_IGNORED = re.compile(r"[\s,./\-_*^]")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One answer: the calls made, whether they are the accepted ones, and what it took."""

    id: str
    category: str
    is_right: bool
    calls: tuple[tuple[str, Any], ...]
    n_tokens: int
    finish_reason: str


@dataclass(frozen=True, slots=True)
class ToolCallScore:
    """All answers of one file. Cases at which its logits are no numbers have none, and are in no mean."""

    results: tuple[CaseResult, ...]

    @property
    def answered(self) -> tuple[CaseResult, ...]:
        """Those of the cases that have an answer."""
        return tuple(result for result in self.results if result.finish_reason != NOT_FINITE)

    @property
    def accuracy(self) -> float | None:
        """The share of answers that are right; None if there is no answer."""
        return sum(result.is_right for result in self.answered) / len(self.answered) if self.answered else None

    @property
    def error(self) -> float | None:
        """The standard error of `accuracy`, cases taken for independent; 0 with one case."""
        if (p := self.accuracy) is None:
            return None
        n = len(self.answered)
        return math.sqrt(p * (1 - p) / (n - 1)) if n > 1 else 0.0

    @property
    def by_category(self) -> dict[str, tuple[int, int]]:
        """The right ones and all that have an answer, by category."""
        total = Counter(result.category for result in self.answered)
        right = Counter(result.category for result in self.answered if result.is_right)
        return {category: (right[category], n) for category, n in total.items()}


def score_tool_calls(
    model: Path,
    cases: Sequence[Case],
    *,
    n_threads: int,
    family: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ToolCallScore:
    """Serve a file and ask all cases. Raises `QuantizerError` if the server does not start or an answer fails."""
    if not cases:
        raise QuantizerError("there is no case to ask")
    results = []
    with (
        served(model, n_threads=n_threads, family=family) as url,
        httpx.Client(base_url=url, timeout=ANSWER_TIMEOUT_S) as client,
    ):
        for done, case in enumerate(cases, 1):
            results.append(_ask(client, case))
            progress(done, len(cases))
    return ToolCallScore(tuple(results))


@contextmanager
def served(model: Path, *, n_threads: int, family: str | None = None) -> Iterator[str]:
    """The base URL of a server of our own for this file; it ends with the `with`.

    Raises `QuantizerError` with the server's last words if it does not become ready.
    """
    port = _free_port()
    command = [sys.executable, "-m", "server", "serve", str(model.resolve()), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--alias", _ALIAS, "--parallel", "1", "--threads", str(n_threads)]
    # What an operator's servers keep of their prompts is bounded: ours would push it out.
    command += ["--prefix-disk", "0", *(["--family", family] if family else [])]
    # Neither a configuration in the working directory nor the user's settings for another server count here.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FUNCTIONGATE_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as words:
        server = subprocess.Popen(  # noqa: S603  our own server
            mortal(command),
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
        )
        try:
            base = f"http://127.0.0.1:{port}"
            if not _becomes_ready(server, base):
                words.seek(0)
                last = (words.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
                raise QuantizerError(f"the server for {model} did not start: {last}")
            yield f"{base}/v1"
        finally:
            _stop(server)


def is_accepted(calls: Sequence[tuple[str, Any]], accept: Sequence[AcceptedCall]) -> bool:
    """Whether the calls are the accepted ones, each once, in any order."""
    if len(calls) != len(accept):
        return False
    left = list(calls)
    for wanted in accept:
        found = next((call for call in left if _fits(call, wanted)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _fits(call: tuple[str, Any], wanted: AcceptedCall) -> bool:
    name, arguments = call
    if name != wanted.name or not isinstance(arguments, dict) or not set(arguments) <= set(wanted.arguments):
        return False
    return all(_value_fits(arguments, key, values) for key, values in wanted.arguments.items())


def _value_fits(arguments: Mapping[str, Any], key: str, values: Sequence[Any]) -> bool:
    if key not in arguments:
        return None in values
    return ANY in values or any(_equal(arguments[key], value) for value in values)


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and isinstance(found, str):
        return _plain(found) == _plain(wanted)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(_equal, found, wanted))
    if isinstance(wanted, dict) and isinstance(found, dict):
        # BFCL lists the accepted values inside objects too.
        options = {key: value if isinstance(value, list) else [value] for key, value in wanted.items()}
        options = {key: [None if value == "" else value for value in values] for key, values in options.items()}
        return set(found) <= set(options) and all(_value_fits(found, key, values) for key, values in options.items())
    return bool(found == wanted)


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def _ask(client: httpx.Client, case: Case) -> CaseResult:
    body = {"model": _ALIAS, "messages": case.messages, "tools": case.tools, "tool_choice": "auto"}
    try:
        response = client.post("chat/completions", json={**body, "temperature": 0, "max_tokens": MAX_TOKENS})
        response.raise_for_status()
        completion = response.json()
        choice = completion["choices"][0]
        calls = tuple(
            (call["function"]["name"], _arguments(call["function"]["arguments"]))
            for call in choice["message"].get("tool_calls") or ()
        )
    except httpx.HTTPStatusError as error:
        if _NOT_FINITE_WORDS in error.response.text:
            return CaseResult(case.id, case.category, is_right=False, calls=(), n_tokens=0, finish_reason=NOT_FINITE)
        raise QuantizerError(f"the server refused the case {case.id}: {error.response.text[:500]}") from error
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise QuantizerError(f"no answer to the case {case.id}: {type(error).__name__} {error}") from error
    n_tokens = completion.get("usage", {}).get("completion_tokens", 0)
    right = is_accepted(calls, case.accept)
    return CaseResult(case.id, case.category, right, calls, n_tokens, choice.get("finish_reason") or "")


def _arguments(text: str) -> Any:
    """A call's arguments; a text that is not JSON stays a text, which fits no case."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _becomes_ready(server: subprocess.Popen[bytes], base: str) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{base}/health", timeout=5).status_code == httpx.codes.OK:
                return True
        except httpx.HTTPError:
            pass  # it does not listen yet
        time.sleep(0.1)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
