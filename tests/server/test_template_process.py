"""Templates from files are programs by strangers: whatever they do, the caller has an answer and the next one too."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from datetime import date

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from chat_templates import TemplateFileError, TemplateRequestError, get_family
from chat_templates.render import ArgumentsAs, normalise_messages, render_template
from server.chat.answer.stream import fold
from server.chat.request import ChatRequest
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.errors import RequestError
from server.template_process import TemplateProcess

TODAY = date(2026, 11, 21)
MESSAGES = normalise_messages([{"role": "user", "content": "Zoë 世界 <&>"}], ArgumentsAs.OBJECT)


@pytest.fixture(scope="module")
def process():
    started = TemplateProcess()
    yield started
    started.close()


def nested(n):
    return "{% for i in [1] %}" * n + "{% endfor %}" * n


@pytest.mark.parametrize("family_id", ["qwen2.5", "functionary-v4r", "generic"])
def test_a_template_renders_as_it_does_in_the_server(process, family_id):
    variables = {"messages": MESSAGES, "tools": None, "add_generation_prompt": True, "bos_token": "", "eos_token": ""}
    variables |= {"has_reasoning_mode": True}
    source = get_family(family_id).template
    assert process.render(source, variables, today=TODAY) == render_template(source, variables, today=TODAY)


def test_the_date_is_the_callers(process):
    for day in (TODAY, date(2027, 1, 2)):
        assert process.render("{{ strftime_now('%Y-%m-%d') }}", {}, today=day) == day.isoformat()


def test_variables_of_the_callers_reach_a_file_template_that_reads_them(process):
    source = "{% if thinking %}!{% endif %}{{ x }}"
    assert process.render(source, {"x": 1}, today=TODAY, template_kwargs={"thinking": True}) == "!1"
    with pytest.raises(TemplateRequestError, match="it knows: thinking") as caught:
        process.render(source, {"x": 1}, today=TODAY, template_kwargs={"think": True})
    assert caught.value.param == "chat_template_kwargs.think"
    assert process.render(source, {"x": 1}, today=TODAY) == "1"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "1 s of processor time"),
        ("{{ 10 ** (10 ** 9) }}", "1 s of processor time"),
        ("{{ 'a' * 10**10 }}", "512 MiB of memory"),
        ("{{ 'a'|center(10**10) }}", "512 MiB of memory"),
        ("{{ 'a'.ljust(10**10) }}", "512 MiB of memory"),
        ("{{ '%1000000000d'|format(1) }}", "512 MiB of memory"),
        ("{{ '{:1000000000}'.format(1) }}", "512 MiB of memory"),
        ("{{ ('a' * 10**6).replace('a', 'a' * 10**6) }}", "512 MiB of memory"),
        ("{{ 1|tojson(indent=10**10) }}", "512 MiB of memory"),
        ("{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "more than"),
        ("{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "more than"),
        ("{% for i in range(90000) %}{{ 'a' * 1000 }}{% endfor %}", "writes 90000000 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "RecursionError"),
        (nested(60), "SyntaxError"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ self.__init__.__globals__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% import 'os' as os %}", "no loader"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].nothing.more }}", "no attribute"),
        ("{{ raise_exception('not so') }}", "not so"),
        ("{% if %}", "Expected an expression"),
    ],
)
def test_a_hostile_template_is_refused_within_about_a_second_and_the_next_one_renders(process, source, reason):
    started = time.perf_counter()
    with pytest.raises(TemplateFileError, match=reason):
        process.render(source, {"messages": MESSAGES}, today=TODAY)
    assert process.render("{{ messages[0].content }}", {"messages": MESSAGES}, today=TODAY) == "Zoë 世界 <&>"
    # One second of processor time and a new process; the rest is for a loaded machine.
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("number", [9, 11])
def test_a_process_that_is_lost_between_requests_is_replaced(process, number):
    process.render("x", {}, today=TODAY)
    os.kill(process._process.pid, number)
    process._process.wait()
    assert process.render("x", {}, today=TODAY) == "x"


def test_a_process_that_is_lost_in_the_middle_fails_that_request(process):
    process.render("x", {}, today=TODAY)
    threading.Timer(0.2, os.kill, (process._process.pid, 9)).start()
    with pytest.raises(TemplateFileError, match="exit code -9"):
        process.render("{% for i in range(99999) %}{% for j in range(999) %}{% endfor %}{% endfor %}", {}, today=TODAY)
    assert process.render("x", {}, today=TODAY) == "x"


def test_a_process_that_gets_no_time_is_given_up():
    process = TemplateProcess(wall_seconds=0.5)
    try:
        for _ in range(3):  # the first one includes the start of the interpreter
            with contextlib.suppress(TemplateFileError):
                process.render("x", {}, today=TODAY)
        os.kill(process._process.pid, signal.SIGSTOP)
        with pytest.raises(TemplateFileError, match=r"no prompt within 0\.5 s"):
            process.render("x", {}, today=TODAY)
    finally:
        process.close()


def test_many_threads_have_each_their_own_prompt(process):
    prompts = {}

    def render(i):
        prompts[i] = process.render("{{ i }}-" * 50, {"i": i}, today=TODAY)

    threads = [threading.Thread(target=render, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prompts == {i: f"{i}-" * 50 for i in range(20)}


def test_the_servers_secrets_are_not_in_the_processs_environment(monkeypatch):
    monkeypatch.setenv("FUNCTIONGATE_API_KEY", "hush")
    process = TemplateProcess()
    process.render("x", {}, today=TODAY)
    with open(f"/proc/{process._process.pid}/environ", "rb") as environ:  # noqa: PTH123  a file of the kernel's
        assert b"hush" not in environ.read()
    process.close()
    process.close()


async def test_a_conversation_that_its_template_cannot_take_costs_that_request_only(process):
    template = "{% if messages[0].content == 'bad' %}{{ 'a' * 10**10 }}{% endif %}{{ messages[0].content }}{{ tools }}"
    family = get_family("qwen2.5")
    own = family.with_template(template, bos_token="", eos_token="", renderer=process.render)
    engine = AsyncEngine(FakeRunner(n_ctx=256), ByteVocabulary())
    service = ChatService(engine, family, own.prompt)

    def asked(text):
        return service.open(ChatRequest(({"role": "user", "content": text},), max_tokens=2))

    with pytest.raises(RequestError, match="512 MiB") as caught:
        await asked("bad")
    assert (caught.value.param, caught.value.status) == ("messages", 400)
    assert (await fold(await asked("good"))).usage.prompt == len("goodNone")
    engine.close()
