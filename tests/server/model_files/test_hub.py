"""Downloads with Hugging Face's own client, from a hub on this machine that speaks what the client asks for."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {
    "README.md": b"# Models",
    "tiny-Q4_K_M.gguf": b"GGUF" + bytes(300_000),
    "tiny-Q8_0-00001-of-00002.gguf": b"GGUF" + b"1" * 1000,
    "tiny-Q8_0-00002-of-00002.gguf": b"GGUF" + b"2" * 1000,
}
ASK = """
import json, sys
from server.errors import StartupError
from server.model_files.hub import cached_from_hub, fetch_from_hub
seen = []
try:
    path = fetch_from_hub(sys.argv[1], sys.argv[2], lambda what, done, total: seen.append([done, total]))
except StartupError as error:
    print(json.dumps({"error": str(error)}))
else:
    known = cached_from_hub(sys.argv[1], path.name)
    print(json.dumps({"path": str(path), "is_known": known == path, "seen": seen}))
"""


class Hub(BaseHTTPRequestHandler):
    """The repository org/tiny."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, *, with_body: bool) -> None:
        prefix = "/org/tiny/resolve/main/"
        if self.path.startswith("/api/models/org/tiny/tree/main"):
            tree = [{"type": "file", "path": n, "size": len(f), "oid": COMMIT} for n, f in FILES.items()]
            body, headers = json.dumps(tree).encode(), {"Content-Type": "application/json"}
        elif self.path.startswith(prefix) and (name := self.path.removeprefix(prefix)) in FILES:
            body = FILES[name]
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if "org/tiny" in self.path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(tmp_path: Path, endpoint: str) -> Callable[..., dict[str, object]]:
    def ask(repo: str, wanted: str, **settings: str) -> dict[str, object]:
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "NO_PROXY": "*",
            **settings,
        }
        done = subprocess.run(
            [sys.executable, "-c", ASK, repo, wanted],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    return ask


def read(path: object) -> bytes:
    return Path(str(path)).read_bytes()


def test_a_quantization_is_found_and_downloaded_with_progress(fetch: Callable[..., dict[str, object]]) -> None:
    found = fetch("org/tiny", "Q4_K_M")
    assert read(found["path"]) == FILES["tiny-Q4_K_M.gguf"]
    assert found["is_known"]
    assert found["seen"][-1] == [300_004, 300_004]


def test_a_split_model_comes_with_all_its_files(fetch: Callable[..., dict[str, object]]) -> None:
    first = str(fetch("org/tiny", "Q8_0")["path"])
    assert read(first) == FILES["tiny-Q8_0-00001-of-00002.gguf"]
    assert read(first.replace("00001-of", "00002-of")) == FILES["tiny-Q8_0-00002-of-00002.gguf"]


def test_what_was_fetched_needs_no_hub_any_more(fetch: Callable[..., dict[str, object]]) -> None:
    path = fetch("org/tiny", "tiny-Q4_K_M.gguf")["path"]
    assert fetch("org/tiny", "tiny-Q4_K_M.gguf", HF_HUB_OFFLINE="1")["path"] == path
    gone = fetch("org/tiny", "tiny-Q4_K_M.gguf", HF_ENDPOINT="http://127.0.0.1:9")
    assert gone["path"] == path


@pytest.mark.parametrize(
    ("repo", "wanted", "part"),
    [
        ("org/tiny", "", "2 GGUF files; name one"),
        ("org/tiny", "Q6_K", "0 GGUF files for 'Q6_K'"),
        ("org/tiny", "absent.gguf", "cannot download hf:org/tiny absent.gguf"),
        ("org/absent", "Q4_K_M", "cannot download hf:org/absent"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    fetch: Callable[..., dict[str, object]], repo: str, wanted: str, part: str
) -> None:
    error = str(fetch(repo, wanted)["error"])
    assert part in error
    assert "\n" not in error
