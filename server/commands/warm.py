"""`functiongate warm`: compute the prefix of tools and system messages ahead, and keep it for `serve`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from server.commands.options import CACHE_DIR, MODEL, given
from server.config import load_config
from server.errors import StartupError


def warm(
    file: Annotated[Path, typer.Argument(help="JSON: a list of tools, or the body of a chat request.")],
    model: Annotated[str | None, MODEL] = None,
    *,
    family: Annotated[str | None, typer.Option(help="Chat family, if the file's template does not tell.")] = None,
    ctx_size: Annotated[int | None, typer.Option(help="Tokens of context.")] = None,
    cache_dir: Annotated[Path | None, CACHE_DIR] = None,
) -> None:
    """Compute the prefix of tools and system messages ahead, so that a server's first request with them is quick."""
    from server.api.chat.request import to_chat_request  # noqa: PLC0415 -- `--help` does not need them
    from server.api.chat.schemas import read_request  # noqa: PLC0415
    from server.engine.types import ServiceTerms  # noqa: PLC0415
    from server.launch import load_chat  # noqa: PLC0415

    config = load_config(given(model=model, family=family, ctx_size=ctx_size, cache_dir=cache_dir), None)
    if not config.prefix_disk:
        raise StartupError("nothing can be kept with --prefix-disk 0")
    body = read_warm_file(file)
    loaded = load_chat(config)
    try:
        started = time.monotonic()
        request = to_chat_request(read_request({"model": "any", **body}), loaded.n_vocab, ServiceTerms())
        n = asyncio.run(loaded.warm(request))
        seconds = time.monotonic() - started
    finally:
        loaded.close()
    if n:
        typer.echo(f"{n} tokens computed in {seconds:.1f} s and kept; a server's first request with them skips that")
    else:
        typer.echo(f"nothing new to keep: {file} is known already, or renders to no prefix of 64 tokens")


def read_warm_file(file: Path) -> dict[str, Any]:
    """The body of a chat request whose prefix to compute. Raises `StartupError` if the file has none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise StartupError(f"{file} is not JSON: {error}") from error
    if isinstance(content, list):
        return {"messages": [{"role": "user", "content": "?"}], "tools": content}
    if isinstance(content, dict):
        return {"messages": [{"role": "user", "content": "?"}], **content}
    raise StartupError(f"{file} has neither a list of tools nor the body of a chat request")
