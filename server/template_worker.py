"""The process that runs templates from model files: `python -m server.template_worker`, started by `template_process`.

A template from a file is a program by a stranger. Here it runs in Jinja's sandbox and under the kernel's limits on
memory and processor time: what the sandbox overlooks costs this process, never the server. Talks frames: four bytes of
length, then JSON. Knows no model and no request; imports nothing heavy.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, BinaryIO

from chat_templates.errors import TemplateFileError, TemplateRequestError
from chat_templates.render import ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CPU_SECONDS = 1.0  # ordinary templates take milliseconds, also for long conversations
MEMORY_BYTES = 512 << 20  # of addresses; the process itself takes some 30 MiB of them
MAX_PROMPT_BYTES = 64 << 20  # far above what any context holds

_LENGTH = struct.Struct("<I")


def frame(value: Any) -> bytes:
    """A JSON value as a frame."""
    data = json.dumps(value).encode()
    return _LENGTH.pack(len(data)) + data


def read_frame(read: Callable[[int], bytes]) -> Any:
    """The JSON value of the next frame; `read` gives exactly so many bytes. Raises `EOFError` at the end."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    return json.loads(read(length))


class Worker:
    """Renders what it is sent. Keeps the last template compiled: a server has one."""

    def __init__(self) -> None:
        self._template: tuple[str, str, ChatTemplate] | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, str]:
        """`{"prompt": …}`, or `{"error": …}` for what is the template's fault, with a `param` if it is the caller's."""
        try:
            template = self._compiled(request["source"], request["today"])
            prompt = template.render(request["variables"], request["template_kwargs"])
        except TemplateRequestError as error:
            return {"error": error.message, "param": error.param}
        except TemplateFileError as error:
            return {"error": str(error)}
        except MemoryError:
            return {"error": f"The chat template needs more than {MEMORY_BYTES >> 20} MiB of memory."}
        if len(prompt) > MAX_PROMPT_BYTES // 4:
            return {"error": f"The chat template writes {len(prompt)} characters, more than {MAX_PROMPT_BYTES // 4}."}
        return {"prompt": prompt}

    def _compiled(self, source: str, today: str) -> ChatTemplate:
        if self._template is None or self._template[:2] != (source, today):
            self._template = source, today, ChatTemplate(source, date.fromisoformat(today))
        return self._template[2]


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer frames until there are no more. A request that exceeds its time ends the process by SIGPROF."""

    def read(n_bytes: int) -> bytes:
        data = source.read(n_bytes)
        if len(data) < n_bytes:
            raise EOFError
        return data

    worker = Worker()
    while True:
        try:
            request = read_frame(read)
        except EOFError:
            return
        # The kernel counts and kills: no loop in C, and no load of the machine, changes what a template may take.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        reply = frame(worker.answer(request))
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(reply)
        sink.flush()


def main() -> None:
    """Limit this process, then serve its standard streams."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
