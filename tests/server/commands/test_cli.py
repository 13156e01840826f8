"""The command line as a user meets it: processes, exit codes, one line for everything that goes wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from server.model_files.catalogue import CATALOGUE, HubFile

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "server"]


@pytest.fixture
def environ(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FUNCTIONGATE_")}
    kept.pop("PORT", None)
    return {**kept, "PYTHONPATH": str(ROOT), "FUNCTIONGATE_CACHE_DIR": str(tmp_path), "COLUMNS": "200"}


@pytest.fixture
def run(environ, tmp_path):
    def start(*arguments, **extra):
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**environ, **extra},
            cwd=tmp_path,
        )

    return start


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def assert_one_line(done, code, part):
    assert done.returncode == code
    assert part in done.stderr
    assert done.stderr.startswith("functiongate: ")
    assert done.stderr.count("\n") == 1


def test_a_busy_port_is_one_clear_line(run, port):
    assert_one_line(run("serve", "--port", str(port)), 1, f"127.0.0.1:{port}: Address already in use")


def test_a_host_that_is_none_is_one_clear_line(run):
    assert_one_line(run("serve", "--host", "no.such.host.invalid"), 1, "cannot listen on host")


def test_a_model_that_cannot_be_read_is_one_clear_line(run, tmp_path):
    assert_one_line(run("serve", "missing.gguf", "--port", "0"), 1, "no model 'missing.gguf'")
    (tmp_path / "text.gguf").write_text("hello, world")
    assert_one_line(run("serve", "text.gguf", "--port", "0"), 1, "not a GGUF file")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["serve", "--prot", "1"], 2, "No such option: --prot"),
        (["serve", "--port", "x"], 2, "--port"),
        (["serve", "--port", "70000"], 1, "invalid port"),
        (["serve", "--parallel", "0"], 1, "FUNCTIONGATE_PARALLEL"),
        (["serve", "--chat-template", "mine"], 1, "invalid chat_template"),
        (["sever"], 2, "No such command"),
        (["serve", "--config", "absent.toml"], 1, "absent.toml"),
    ],
)
def test_a_bad_flag_is_one_clear_line(run, arguments, code, part):
    assert_one_line(run(*arguments), code, part)


def test_a_bad_variable_is_one_clear_line(run):
    assert_one_line(run("serve", FUNCTIONGATE_THREADS="all"), 1, "FUNCTIONGATE_THREADS")


def test_verbose_adds_the_traceback(run):
    done = run("serve", "missing.gguf", "--port", "0", "--verbose")
    assert done.returncode == 1
    assert "StartupError" in done.stderr


def test_help_and_version_answer(run):
    assert "serve" in run("--help").stdout
    assert run("version").stdout.strip()


def test_models_lists_the_catalogue_for_people_and_machines(run):
    assert "smollm2-135m" in run("models").stdout
    rows = json.loads(run("models", "--json").stdout)
    assert {"name", "size_bytes", "licence", "source", "description", "path"} == set(rows[0])
    assert rows[0]["path"] is None


def test_a_model_in_hugging_faces_cache_is_found(run, tmp_path):
    entry = next(entry for entry in CATALOGUE.values() if isinstance(entry.source, HubFile))
    folder = tmp_path / "hub" / f"models--{entry.source.repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    path = snapshot / entry.source.name
    path.write_bytes(b"not a model")
    hub = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    rows = {row["name"]: row for row in json.loads(run("models", "--json", **hub).stdout)}
    assert rows[entry.name]["path"] == str(path)
    assert_one_line(run("serve", entry.name, "--port", "0", **hub), 1, "not a GGUF file")
    assert_one_line(run("serve", "hf:org/absent/x.gguf", "--port", "0", **hub), 1, "cannot download hf:org/absent")
    assert_one_line(run("serve", "hf:org/absent", "--port", "0", **hub), 1, "cannot download hf:org/absent")


@contextlib.contextmanager
def served(environ, tmp_path, model, *options):
    with subprocess.Popen(
        [*COMMAND, "serve", str(model), "--port", "0", "--ctx-size", "512", "--threads", "1", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=tmp_path,
    ) as process:
        try:
            line = next(line for line in process.stderr if line.startswith("http://"))
            yield process, line.split()[0]
        finally:
            process.kill()


@pytest.mark.native
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_answer_end_and_exits_with_0(environ, tmp_path, number):
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model)
    with served(environ, tmp_path, model) as (process, url):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 300, "stream": True}
        with httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=60, trust_env=False) as response:
            events = response.iter_lines()
            next(events)
            process.send_signal(number)
            assert [line for line in events if line][-1] == "data: [DONE]"
        assert process.wait(30) == 0


BROKEN_ENGINE = """
import sys
from server.__main__ import run
from server.engine.engine import Engine

step = Engine.step

def step_three_times(self):
    self.n = getattr(self, "n", 0) + 1
    if self.n > 3:
        raise ZeroDivisionError("the fourth step")
    return step(self)

Engine.step = step_three_times
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.native
def test_an_exception_in_the_engine_reaches_clients_health_log_and_exit_code(environ, tmp_path):
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model)
    arguments = [sys.executable, "-c", BROKEN_ENGINE, "serve", str(model), "--port", "0", "--ctx-size", "512"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path) as process:
        try:
            url = next(line for line in process.stderr if line.startswith("http://")).split()[0]
            body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 300}
            failed = httpx.post(f"{url}/chat/completions", json=body, timeout=60, trust_env=False)
            assert failed.status_code == 503
            assert failed.json()["error"]["code"] == "engine_failed"
            assert "ZeroDivisionError: the fourth step" in failed.json()["error"]["message"]
            health = httpx.get(url.removesuffix("/v1") + "/health", trust_env=False)
            assert (health.status_code, health.json()["status"]) == (503, "failed")
            assert process.wait(30) == 70
        finally:
            process.kill()
        log = process.stderr.read()
    assert "Traceback" in log
    assert "in step_three_times" in log
    assert log.splitlines()[-1].startswith("functiongate: The engine has failed")


@pytest.mark.native
def test_a_model_without_a_chat_template_continues_text_and_refuses_to_chat(environ, tmp_path):
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model, chat_template=None)
    with served(environ, tmp_path, model) as (_, url):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
        refused = httpx.post(f"{url}/chat/completions", json=chat, trust_env=False)
        assert refused.status_code == 400
        assert "/v1/completions" in refused.json()["error"]["message"]
        assert "--family generic" in refused.json()["error"]["message"]
        text = {"model": "tiny", "prompt": "a", "max_tokens": 3}
        answer = httpx.post(f"{url}/completions", json=text, timeout=60, trust_env=False).json()
        assert answer["usage"]["completion_tokens"] <= 3
    with served(environ, tmp_path, model, "--family", "generic") as (_, url):
        chat |= {"max_tokens": 3}
        assert httpx.post(f"{url}/chat/completions", json=chat, timeout=60, trust_env=False).status_code == 200


@pytest.mark.native
def test_a_files_own_template_renders_when_it_is_asked_to(environ, tmp_path):
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model, chat_template="{% for tool in tools or [] %}T{% endfor %}{{ messages[0].content }}")
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    body["tools"] = [{"type": "function", "function": {"name": f"f{i}"}} for i in range(3)]
    with served(environ, tmp_path, model, "--chat-template", "gguf", "--family", "qwen2.5") as (_, url):
        chat = httpx.post(f"{url}/chat/completions", json=body, timeout=60, trust_env=False).json()
        text = {"model": "tiny", "prompt": "TTTa", "max_tokens": 1}
        same = httpx.post(f"{url}/completions", json=text, timeout=60, trust_env=False).json()
    assert chat["usage"]["prompt_tokens"] == same["usage"]["prompt_tokens"]


@pytest.mark.native
def test_a_file_whose_own_template_cannot_render_is_one_clear_line(run, tmp_path):
    model = tmp_path / "tiny.gguf"
    arguments = ["serve", str(model), "--port", "0", "--chat-template", "gguf"]
    write_tiny_gguf(model, chat_template="{{ 'a' * 10**10 }}")
    assert_one_line(run(*arguments), 1, "--chat-template gguf: The chat template needs more than 512 MiB")
    write_tiny_gguf(model, chat_template=None)
    assert_one_line(run(*arguments), 1, "has no chat template of its own")


@pytest.mark.native
def test_health_is_503_first_and_200_when_ready(environ, smollm2_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [*COMMAND, "serve", str(smollm2_path), "--port", str(port), "--ctx-size", "512"]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, env=environ) as process:
        seen = []
        deadline = time.monotonic() + 120
        while 200 not in seen and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                seen.append(httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code)
        process.terminate()
        assert process.wait(30) == 0
    assert set(seen) == {503, 200}


TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d" * 60, "parameters": {"type": "object"}}}
    for name in ("alpha", "beta")
]


def cached_tokens(url, body):
    answer = httpx.post(f"{url}/chat/completions", json=body, timeout=60, trust_env=False).json()
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.mark.native
def test_a_restarted_server_knows_the_tools_of_the_last_one_and_a_warmed_one_those_it_was_shown(environ, run, tmp_path):
    model, tools = tmp_path / "tiny.gguf", tmp_path / "tools.json"
    write_tiny_gguf(model)
    tools.write_text(json.dumps(TOOLS))
    body = {"model": "tiny", "tools": TOOLS, "max_tokens": 1, "messages": [{"role": "user", "content": "b?"}]}
    other = {**body, "messages": [{"role": "system", "content": "s" * 80}, {"role": "user", "content": "c?"}]}
    options = ("--ctx-size", "2048", "--family", "qwen2.5")
    done = run("warm", str(tools), str(model), *options)
    assert done.returncode == 0, done.stderr
    n_warmed = int(done.stdout.split()[0])
    assert n_warmed > 200
    with served(environ, tmp_path, model, *options) as (process, url):
        assert cached_tokens(url, body) == n_warmed
        assert cached_tokens(url, other) < n_warmed / 2
        process.terminate()
        assert process.wait(30) == 0
    with served(environ, tmp_path, model, *options) as (_, url):
        assert cached_tokens(url, {**other, "messages": [*other["messages"][:1], body["messages"][0]]}) > n_warmed
    with served(environ, tmp_path, model, *options, "--prefix-disk", "0") as (_, url):
        assert cached_tokens(url, body) == 0
    assert "nothing new" in run("warm", str(tools), str(model), *options).stdout
    tools.write_text("3")
    assert_one_line(run("warm", str(tools), str(model)), 1, "neither a list of tools")


@pytest.mark.native
def test_a_tuning_is_found_kept_and_used_by_the_next_server(environ, run, tmp_path):
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model)
    done = run("tune", str(model))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("of the default") >= 6
    [file] = (tmp_path / "tunings").iterdir()
    assert str(file) in done.stdout
    file.write_text(json.dumps({**json.loads(file.read_text()), "n_threads": 1, "n_threads_batch": 1}))
    with subprocess.Popen(
        [*COMMAND, "serve", str(model), "--port", "0"], stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path
    ) as process:
        try:
            line = next(line for line in process.stderr if line.startswith("http://"))
        finally:
            process.kill()
    assert "1 threads" in line
    assert "tokens/s" in line
