"""Workloads, the timing of streams, and what rounds say, against a server that is a script."""

import asyncio
import itertools
import json

import pytest

from server.__main__ import PROGRAM
from server.api.chat.request import to_chat_request
from server.api.chat.schemas import read_request
from server.bench.client import Peer, Round, Sample, run_round
from server.bench.summary import HEAD, as_json, as_markdown, paired_ratio, ratios, summarise
from server.bench.workload import load_workload, sessions_of, warm_up, workload_names
from server.commands.bench import _measure, peak_rss
from server.engine.types import ServiceTerms
from server.errors import StartupError


@pytest.mark.parametrize("name", workload_names())
def test_every_workload_asks_what_the_server_understands_and_the_same_each_time(name):
    workload = load_workload(name)
    sessions = sessions_of(workload, 1)
    assert sessions == sessions_of(workload, 1)
    assert workload.kind == "chat" or sessions != sessions_of(workload, 2)
    for body in (body for session in [*sessions, warm_up(workload, 1)] for body in session):
        request = to_chat_request(read_request({"model": "any", **body}), 1000, ServiceTerms())
        assert len(request.tools) in {0, workload.n_tools}


def test_a_cold_round_shares_no_beginning_with_another():
    cold, warm = load_workload("cold-4"), load_workload("tools-2k")

    def beginnings(workload, seed):
        return {body["messages"][0]["content"] for [body] in sessions_of(workload, seed)}

    assert len(beginnings(cold, 1)) == len(beginnings(warm, 1)) == 1
    assert beginnings(cold, 1) != beginnings(cold, 2)
    assert beginnings(warm, 1) == beginnings(warm, 2) == {warm_up(warm, 1)[0]["messages"][0]["content"]}


def test_an_agent_s_requests_continue_each_other_with_calls_that_fit_their_tools():
    [session] = sessions_of(load_workload("agent"), 1)
    assert len(session) == 6
    for earlier, later in itertools.pairwise(session):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in session[0]["tools"]}
    for message in session[-1]["messages"]:
        for call in message.get("tool_calls", ()):
            arguments = json.loads(call["function"]["arguments"])
            assert set(tools[call["function"]["name"]]["required"]) <= set(arguments)


def test_requests_of_one_s_own_and_mistakes_in_files(tmp_path):
    lines = tmp_path / "mine.jsonl"
    lines.write_text('{"messages": [{"role": "user", "content": "a"}]}\n\n{"messages": []}\n')
    assert sessions_of(load_workload(str(lines)), 1) == [
        [{"messages": [{"role": "user", "content": "a"}]}],
        [{"messages": []}],
    ]
    wrong = tmp_path / "wrong.toml"
    for text, message in [
        ('kind = "calls"\nsessons = 1', "unknown keys: sessons"),
        ('title = "x"\nkind = "dance"\nsessions = 1', "of kind 'dance'"),
        ("title = ", "cannot be read"),
    ]:
        wrong.write_text(text)
        with pytest.raises(StartupError, match=message):
            load_workload(str(wrong))
    with pytest.raises(StartupError, match="no workload 'agnet'"):
        load_workload("agnet")


class Script:
    """An HTTP server that streams `pieces`, a pause in seconds before each, to every chat request."""

    def __init__(self, pieces, status="200 OK"):
        self.pieces, self.status, self.n_open, self.most_open = pieces, status, 0, 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return Peer(f"http://127.0.0.1:{port}/v1")

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next((int(line.split()[1]) for line in head.split("\r\n") if line.startswith("content-length")), 0)
        await reader.readexactly(length)
        if head.startswith("get"):
            self.write(writer, '{"data": [{"id": "scripted"}]}')
        elif self.status != "200 OK":
            self.write(writer, '{"error": {"message": "no"}}')
        else:
            self.n_open += 1
            self.most_open = max(self.most_open, self.n_open)
            self.write(writer, "")
            for pause, chunk in self.pieces:
                await asyncio.sleep(pause)
                writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
                await writer.drain()
            writer.write(b"data: [DONE]\n\n")
            self.n_open -= 1
        writer.close()

    def write(self, writer, text):
        writer.write(f"HTTP/1.1 {self.status}\r\nconnection: close\r\n\r\n{text}".encode())


def delta(**fields):
    return {"choices": [{"delta": fields}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": None}}
PIECES = [(0.0, delta(role="assistant")), (0.05, delta(content="a")), (0.1, delta(tool_calls=[{}])), (0.0, USAGE)]


async def test_a_stream_is_timed_from_its_first_piece_of_substance():
    async with Script(PIECES) as peer:
        await peer.connect()
        sample = await peer.ask({"messages": []})
        await peer.close()
    assert peer.model == "scripted"
    assert 0.04 < sample.ttft < 0.14
    assert len(sample.gaps) == 1
    assert 0.09 < sample.gaps[0] < 0.3
    assert (sample.n_prompt, sample.n_completion, sample.n_cached, sample.has_call) == (10, 4, 0, True)


async def test_as_many_ask_at_once_as_there_are_clients():
    for name, most in [("chat-4", 4), ("chat-1", 1)]:
        script, workload = Script(PIECES), load_workload(name)
        async with script as peer:
            one = await run_round(peer, workload, [], sessions_of(workload, 1), 1)
            await peer.close()
        assert script.most_open == most
        assert len(one.samples) == workload.sessions
        assert one.steps is None


async def test_a_server_that_refuses_is_told_of_in_its_own_words():
    async with Script([], status="400 Bad Request") as peer:
        with pytest.raises(StartupError, match=r"answered 400: .*no"):
            await peer.ask({"messages": []})
        await peer.close()
    with pytest.raises(StartupError, match="does not serve a model"):
        await peer_at_a_closed_port()


async def peer_at_a_closed_port():
    peer = Peer("http://127.0.0.1:9/v1")
    try:
        await peer.connect()
    finally:
        await peer.close()


async def test_two_servers_are_measured_in_turns_with_the_same_bodies():
    quick, slow = Script(PIECES), Script([(0.3, chunk) for _, chunk in PIECES])
    async with quick as one, slow as other:
        measured = await _measure(load_workload("chat-1"), [one.url, other.url], 2, 1, "")
    found = ratios(*measured)
    assert found["wall"].largest < 0.6
    assert found["tokens_a_second"].smallest > 1.5
    table = as_markdown(load_workload("chat-1"), {"ours": summarise(measured[0], 10**6)}, found)
    assert table.splitlines()[0].count("|") == HEAD.splitlines()[0].count("|") == table.splitlines()[1].count("|")
    assert json.loads(json.dumps(as_json(load_workload("chat-1"), {}, found)))["ratios"]["wall"]["median"] < 0.6
    await one.close()
    await other.close()


def test_figures_are_those_of_the_requests():
    def one(seconds):
        sample = Sample(ttft=seconds / 2, seconds=seconds, gaps=[0.1, 0.4], n_prompt=100, n_cached=90, n_completion=20)
        return Round((sample,), seconds, (5.0, 20.0))

    summary = summarise([one(1.0), one(3.0), one(2.0)], None)
    assert (summary.wall, summary.requests, summary.worst_gap) == (2.0, 3, 0.4)
    assert summary.tokens_a_second == pytest.approx(10.0)
    assert summary.cached_share == pytest.approx(0.9)
    assert summary.steps_a_token == pytest.approx(0.25)
    ratio = paired_ratio([1.0, 3.0, 2.0], [2.0, 2.0, 2.0])
    assert (ratio.median, ratio.smallest, ratio.largest) == (1.0, 0.5, 1.5)


def test_the_peak_of_a_process_is_its_own():
    import os

    assert 10**6 < peak_rss(os.getpid()) < 10**11
    with pytest.raises(StartupError, match="no process"):
        peak_rss(2**22 + 1)


def test_a_plot_names_workloads_and_servers(tmp_path):
    from server.bench.plot import plot

    summary = summarise([Round((Sample(0.5, 1.0, [0.1], 10, 0, 5),), 1.0, None)], None)
    plot([("agent", {"ours": summary, "theirs": summary})], tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert all(f"<!-- {name} -->" in drawn for name in ("agent", "ours", "theirs"))


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_json_takes_the_tables_place_and_a_file_is_written_beside_either(tmp_path, monkeypatch, capsys, flag):
    async def measured(_workload, urls, *_):
        return [[Round((Sample(0.5, 1.0, [0.1], 10, 0, 5),), 1.0, None)] for _ in urls]

    monkeypatch.setattr("server.commands.bench._measure", measured)
    file = tmp_path / "figures.json"
    assert PROGRAM.run(["bench", "tools-2k", "--json-file", str(file), *flag]) == 0
    shown, written = capsys.readouterr().out, json.loads(file.read_text())
    assert len(written) == 1
    assert (json.loads(shown) == written) if flag else shown.startswith(HEAD)
