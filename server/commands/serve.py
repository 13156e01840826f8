"""`functiongate serve`: flags, environment and file become a running server.

Knows flags and the terminal; what serves is imported when the settings are known to be good.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from server.commands.options import MODEL_HELP
from server.config import Config, load_config
from server.errors import EngineFailedError, FunctionGateError

if TYPE_CHECKING:
    import socket

    from server.api.responses.stored.store import ResponseStore
    from server.launch import LoadedModel

log = logging.getLogger(__name__)

EXIT_FAILED = 70  # EX_SOFTWARE of sysexits.h: a supervisor that restarts on failure does


def serve(  # noqa: PLR0917 -- typer calls it by name
    model: Annotated[
        str | None,
        typer.Argument(help=MODEL_HELP),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8000]")] = None,
    alias: Annotated[str | None, typer.Option(help="One more name for the model, shown first.")] = None,
    model_names: Annotated[
        str | None,
        typer.Option(help="Which names clients may use: any, strict, or auto, any without an alias. [default: auto]"),
    ] = None,
    family: Annotated[str | None, typer.Option(help="Chat family, if the file's template does not tell.")] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(help="Whose chat template renders: the family's, or gguf, the file's own. [default: family]"),
    ] = None,
    call_bias: Annotated[
        float | None,
        typer.Option(
            help="Logit offset of tokens that begin a call, where it is optional. [default: the catalogue's, or 0]"
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Of requests that name none. [default: 0 with tools or for JSON, else 1]"),
    ] = None,
    repeat_calls: Annotated[
        str | None,
        typer.Option(help="A call that has its result already: end the loop in words, or allow it. [default: end]"),
    ] = None,
    more_calls: Annotated[
        str | None,
        typer.Option(
            help="One more call where the question names what none has (asked), or as the model writes (model). "
            "[default: asked]"
        ),
    ] = None,
    ungrounded_calls: Annotated[
        str | None,
        typer.Option(
            help="A call with values of which the conversation has no word: refuse it, or allow it. [default: refuse]"
        ),
    ] = None,
    copied_arguments: Annotated[
        str | None,
        typer.Option(
            help="An optional argument that is a copy of its tool's description: drop it, or allow it. [default: drop]"
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="How texts become vectors: mean, cls, last, off, or auto, as the model's file says. [default: auto]"
        ),
    ] = None,
    ctx_size: Annotated[
        int | None, typer.Option(help="Tokens of context, shared by all requests. [default: the model's, at most 8192]")
    ] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests that run at once. [default: 4]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. [default: what the machine allows]")] = None,
    max_itl: Annotated[
        int | None, typer.Option(help="Milliseconds that other prompts may hold up a running stream. [default: 250]")
    ] = None,
    request_timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a request is given up; 0 is never. [default: 0]")
    ] = None,
    prefix_ram: Annotated[
        str | None, typer.Option(help="Memory for tools prompts beyond the context. [default: 256MiB]")
    ] = None,
    prefix_disk: Annotated[
        str | None, typer.Option(help="Disk for tools prompts, so that a restart finds them. [default: 1GiB]")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Disk for stored responses; 0 stores none. [default: 256MiB]")
    ] = None,
    store_age: Annotated[
        float | None, typer.Option(help="Days that a response is stored; 0 is until there is no room. [default: 30]")
    ] = None,
    strict_tools: Annotated[
        bool | None,
        typer.Option("--strict-tools/--no-strict-tools", help="Refuse tools that a cloud runs, not leave them out."),
    ] = None,
    flash_attn: Annotated[
        str | None, typer.Option(help="Flash attention: on, off, or auto, as tuned. [default: auto]")
    ] = None,
    draft: Annotated[
        int | None, typer.Option(help="Tokens guessed ahead at most, 0 to 8; changes the speed, no text. [default: 8]")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Keys that clients may use, separated by commas. Better: FUNCTIONGATE_API_KEY.")
    ] = None,
    cors_origins: Annotated[
        str | None,
        typer.Option(
            help="Pages that may ask from a browser: origins, separated by commas, local for this machine's, * for "
            "all. [default: local]"
        ),
    ] = None,
    max_queue: Annotated[int | None, typer.Option(help="Requests that may wait. [default: 64]")] = None,
    max_body_size: Annotated[str | None, typer.Option(help="Largest request body. [default: 4MiB]")] = None,
    drain_timeout: Annotated[
        float | None, typer.Option(help="Seconds that running requests have after a stop. [default: 30]")
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Where fetched models are kept.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file. [default: FUNCTIONGATE_CONFIG or ./functiongate.toml]")
    ] = None,
    verbose: Annotated[
        bool | None, typer.Option("--verbose/--no-verbose", help="Log requests and llama.cpp; show tracebacks.")
    ] = None,
) -> int:
    """Serve a model. Every option is also an environment variable, FUNCTIONGATE_PORT for example."""
    flags = {name: value for name, value in locals().items() if name != "config" and value is not None}
    settings = load_config(flags, config)
    try:
        run_server(settings)
    except EngineFailedError as failure:
        typer.echo(f"functiongate: {failure}", err=True)
        return EXIT_FAILED
    except FunctionGateError:
        if settings.verbose:
            Console(stderr=True).print_exception()
        raise
    return 0


def run_server(config: Config) -> None:
    """Serve by `config` until a signal. Raises `StartupError` if it cannot start, all of it within one line."""
    # Imported here, so that `--help` and usage errors do not wait for the web framework.
    import asyncio  # noqa: PLC0415

    from server.api.app import create_app  # noqa: PLC0415
    from server.api.serving import bind, serve  # noqa: PLC0415
    from server.api.state import ServedModel, ServingState  # noqa: PLC0415
    from server.launch import load_chat  # noqa: PLC0415
    from server.machine.heap import freeze_heap  # noqa: PLC0415
    from server.model_files.progress import DownloadBar  # noqa: PLC0415

    level = logging.INFO if config.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    listener = bind(config.host, config.port)
    state = ServingState()
    store = _open_store(config)
    application = create_app(
        state,
        api_keys=config.api_key,
        cors_origins=config.cors_origins,
        max_body_bytes=config.max_body_size,
        store=store,
        strict_tools=config.strict_tools,
    )

    def load() -> LoadedModel:
        with DownloadBar(Console(stderr=True)) as bar:
            return load_chat(config, bar.update)

    def ready(loaded: LoadedModel) -> None:
        freeze_heap()
        state.ready(
            ServedModel(
                loaded.chat,
                loaded.completion,
                loaded.names,
                loaded.n_vocab,
                loaded.fingerprint,
                loaded.facts,
                loaded.tokens,
                loaded.embeddings,
                answers_to_any_name=config.answers_to_any_name,
                temperature=config.temperature,
                measurements=loaded.measurements,
                degradations=lambda: loaded.chat.degradations,
            )
        )
        typer.echo(_welcome(loaded, listener), err=True)

    serving = serve(
        application,
        state,
        listener,
        load,
        ready,
        drain_timeout_s=config.drain_timeout,
        has_access_log=config.verbose,
    )
    with contextlib.nullcontext() if store is None else contextlib.closing(store):
        asyncio.run(serving)


def _open_store(config: Config) -> ResponseStore | None:
    """Where responses are stored, None if they are not: a folder that cannot be written to stops no server."""
    from server.api.responses.stored.store import ResponseStore, StoreError  # noqa: PLC0415 -- see above
    from server.model_files.cache import cache_directory  # noqa: PLC0415

    if not config.store:
        return None
    path = (config.cache_dir or cache_directory()) / "responses" / "responses.db"
    try:
        return ResponseStore(path, max_bytes=config.store, max_age_s=config.store_age * 86_400)
    except StoreError as error:
        log.warning("responses are not stored: %s (--store 0 says so too)", error)
        return None


def _welcome(loaded: LoadedModel, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    bias = f", call bias {loaded.call_bias:+g}" if loaded.call_bias else ""
    return (
        f"http://{host}:{port}/v1 serves {loaded.model_id} (family {loaded.family_id}{bias}, "
        f"{loaded.n_threads} threads, {loaded.n_ctx} tokens of context; {loaded.speed})"
    )
