"""Puts a model to work: file, weights, context, engine, family, chat service.

The one place that knows all the parts by name. Imports them when called, so that the command line answers at once and a
busy port is found before anything heavy is loaded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.calls.setting import call_setting
from server.errors import EngineError, StartupError
from server.machine.setting import ThrottleWatch, choose_setting, self_check, tuning_file
from server.model_files.cache import cache_directory
from server.model_files.catalogue import model_names, resolve
from server.model_files.model_hash import model_hash
from server.model_files.wheel import Progress, silent
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from chat_templates import Family
    from server.api.state import ModelFacts
    from server.chat.completion import Completion
    from server.chat.embedding import EmbeddingService
    from server.chat.render import Render
    from server.chat.request import ChatRequest
    from server.chat.service import ChatService
    from server.chat.tokens import TextTokens
    from server.config import Config
    from server.engine.async_engine import AsyncEngine
    from server.engine.embedder import Embedder
    from server.engine.kv_cache.prefix_store import PrefixStore
    from server.engine.vocabulary import Vocabulary
    from server.llama.context import Context
    from server.llama.model import Model
    from server.machine.tuning import Setting
    from server.template_process import TemplateProcess

log = logging.getLogger(__name__)

MAX_DEFAULT_CTX = 8192  # cells cost memory whether used or not; a longer context is asked for with --ctx-size
PREFILL_BATCH = 512
# Of one batch of embeddings. A text is pooled within one, so this bounds its length; each token has a row of output.
EMBEDDED_TOKENS, EMBEDDED_TEXTS = 1024, 16
# What the engine is told of the machine before it has seen a request: rows of steps, and seconds to find out.
CHECKED_SIZES, CHECK_S = (1, 2, 4, 8, 16, 64), 2.0
GAUGES = frozenset({"running", "waiting", "prefix_nodes", "prefix_tokens"})
IDLE_PREFIXES = 32  # nodes of the prefix tree, each a sequence id of llama.cpp's 256


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model at work. `names` are those that clients may use, the preferred one first.

    Close it with `close`; it is the only owner of the engine's thread and of the native memory.
    """

    chat: ChatService
    completion: Completion
    facts: ModelFacts
    tokens: TextTokens
    embeddings: EmbeddingService | None
    names: tuple[str, ...]
    family_id: str
    n_ctx: int
    n_threads: int
    call_bias: float
    speed: str
    n_vocab: int
    fingerprint: str
    engine: AsyncEngine
    weights: Model
    templates: TemplateProcess
    store: PrefixStore | None
    watch: ThrottleWatch
    embedder: Embedder | None

    @property
    def model_id(self) -> str:
        """The name that `/v1/models` shows."""
        return self.names[0]

    def measurements(self) -> dict[str, float]:
        """The engine's counters by metric name; those that only grow end in `_total`."""
        counts = dataclasses.asdict(self.engine.metrics)
        counts["throttled_periods"] = self.watch.periods
        counts["repeated_calls"] = self.chat.repeated_calls
        counts["further_calls"] = self.chat.further_calls
        counts["ungrounded_calls"] = self.chat.ungrounded_calls
        counts["doubted_calls"] = self.chat.doubted_calls
        counts["copied_arguments"] = self.chat.copied_arguments
        return {name if name in GAUGES else f"{name}_total": value for name, value in counts.items()}

    async def warm(self, request: ChatRequest) -> int:
        """Compute and keep the prefix of a request; how many tokens it has, 0 if none is worth keeping."""
        from server.chat.answer.stream import fold  # noqa: PLC0415 -- see above

        stored = self.engine.metrics.stored_tokens
        await fold(await self.chat.open(dataclasses.replace(request, max_tokens=1)))
        if self.store is not None:
            await asyncio.to_thread(self.store.flush)
        return self.engine.metrics.stored_tokens - stored

    def chat_of(self, family_id: str) -> ChatService:
        """A chat service of another family on the same engine, by the rules of the one that is served."""
        from chat_templates import get_family  # noqa: PLC0415 -- see above
        from server.chat.service import ChatService  # noqa: PLC0415

        family, render = _fit(get_family(family_id), "family", self.weights, self.templates)
        return ChatService(self.engine, family, render, rules=self.chat.rules)

    def on_failure(self, callback: Callable[[EngineError], None]) -> None:
        """Have `callback` called, on the engine's thread, if the engine fails."""
        self.engine.on_failure(callback)

    def close(self) -> None:
        """Stop the engine and free the memory; requests that are still open end with an error."""
        self.engine.close()
        if self.embedder is not None:
            self.embedder.close()
        self.weights.close()
        self.templates.close()


def load_chat(config: Config, progress: Progress = silent) -> LoadedModel:
    """Fetch, load and wire the configured model; takes seconds to minutes, so not on an event loop.

    Raises `StartupError` with one line if any of it is impossible.
    """
    from chat_templates import UnknownFamilyError, detect_family, get_family  # noqa: PLC0415 -- see above
    from server.chat.answer.continuation import CallRules  # noqa: PLC0415
    from server.chat.completion import CompletionService  # noqa: PLC0415
    from server.chat.embedding import EmbeddingService  # noqa: PLC0415
    from server.chat.service import ChatService  # noqa: PLC0415
    from server.chat.tokens import TextTokens  # noqa: PLC0415
    from server.llama.errors import LlamaError  # noqa: PLC0415
    from server.llama.library import library  # noqa: PLC0415
    from server.llama.model import Model  # noqa: PLC0415
    from server.machine.rates import measure_steps  # noqa: PLC0415
    from server.template_process import TemplateProcess  # noqa: PLC0415

    path = resolve(config.model, cache_dir=config.cache_dir, progress=progress)
    cache_dir = config.cache_dir or cache_directory()
    file_hash = model_hash(path, cache_dir)
    watch = ThrottleWatch()
    try:
        tuning = tuning_file(config, cache_dir, file_hash, library().build_info())
        setting = choose_setting(config, tuning)
        weights = Model(path, repack=setting.repack, verbose=config.verbose)
    except LlamaError as error:
        raise StartupError(f"cannot load {path}: {error}") from error
    templates = TemplateProcess()
    try:
        calls = call_setting(cache_dir, file_hash)
        family_id = config.family or calls.family
        family = get_family(family_id) if family_id else detect_family(weights.metadata)
        family, render = _fit(family, config.chat_template, weights, templates)
        weights.vocabulary.end_on(family.output.stop)
        context = _open_context(config, weights, setting)
        steps = measure_steps(context, CHECKED_SIZES, CHECK_S)
        store = _open_store(config, context, cache_dir, file_hash)
        engine = _start_engine(config, context, weights.vocabulary, store, steps)
    except (LlamaError, UnknownFamilyError, StartupError) as error:
        weights.close()
        templates.close()
        raise StartupError(str(error)) from error
    call_bias = calls.call_bias if config.call_bias is None else config.call_bias
    rules = CallRules(
        ends_loops=config.repeat_calls == "end",
        asks_for_more=config.more_calls == "asked",
        grounded=config.ungrounded_calls == "refuse",
        drops_copies=config.copied_arguments == "drop",
    )
    chat = ChatService(engine, family, render, call_bias=call_bias, rules=rules)
    chat.warm_up()
    embedder = _embedder(config, weights, setting)
    names = model_names(config.model, path)
    aliases = (config.alias,) if config.alias else ()
    return LoadedModel(
        chat=chat,
        completion=CompletionService(engine),
        facts=_facts(config, weights, family, engine.n_ctx),
        tokens=TextTokens(weights.vocabulary),
        embeddings=None if embedder is None else EmbeddingService(embedder, weights.vocabulary),
        names=tuple(dict.fromkeys((*aliases, *names))),
        family_id=family.id,
        n_ctx=engine.n_ctx,
        n_threads=setting.n_threads,
        call_bias=call_bias,
        speed=self_check(steps, watch, setting.n_threads),
        n_vocab=weights.n_vocab,
        fingerprint=_fingerprint(weights, family, config),
        engine=engine,
        weights=weights,
        templates=templates,
        store=store,
        watch=watch,
        embedder=embedder,
    )


def _fit(family: Family, whose: str, weights: Model, templates: TemplateProcess) -> tuple[Family, Render]:
    """The family for this file, and what renders its prompts. Templates of the file run in `templates`."""
    from chat_templates import TemplateFileError  # noqa: PLC0415 -- see above

    vocabulary, template = weights.vocabulary, weights.chat_template
    bos_token = vocabulary.bos or ""
    eos_token = vocabulary.pieces[vocabulary.eos].decode("utf-8", "replace")
    if whose == "family":
        family = family.fitted(template, bos_token=bos_token, eos_token=eos_token, renderer=templates.render)
        return family, family.prompt
    if template is None:
        raise StartupError(f"{weights.path} has no chat template of its own; leave out --chat-template gguf")
    own = family.with_template(template, bos_token=bos_token, eos_token=eos_token, renderer=templates.render)
    try:
        own.render([{"role": "user", "content": "?"}])
    except TemplateFileError as error:
        raise StartupError(f"--chat-template gguf: {error}") from error
    return family, own.prompt


def _open_context(config: Config, weights: Model, setting: Setting) -> Context:
    from server.llama.context import Context  # noqa: PLC0415 -- see above

    return Context(
        weights,
        n_ctx=config.ctx_size or min(weights.n_ctx_train, MAX_DEFAULT_CTX),
        n_batch=PREFILL_BATCH,
        n_ubatch=setting.n_ubatch,
        n_seq_max=config.parallel + IDLE_PREFIXES,
        n_threads=setting.n_threads,
        n_threads_batch=setting.n_threads_batch,
        flash_attn=setting.flash_attn,
    )


def _embedder(config: Config, weights: Model, setting: Setting) -> Embedder | None:
    """What makes vectors of texts; None for a model that gives none. Nothing is allocated before the first."""
    from server.engine.embedder import Embedder  # noqa: PLC0415 -- see above
    from server.llama.context import Context  # noqa: PLC0415

    pooling = weights.pooling if config.embeddings == "auto" else config.embeddings
    if pooling is None or pooling == "off":
        return None
    n_batch = min(weights.n_ctx_train, EMBEDDED_TOKENS)

    def open_context() -> Context:
        return Context(
            weights,
            n_ctx=n_batch,
            n_batch=n_batch,
            n_seq_max=EMBEDDED_TEXTS,
            n_threads=setting.n_threads_batch,
            flash_attn=setting.flash_attn,
            pooling=pooling,
        )

    return Embedder(open_context, n_batch=n_batch, n_seq_max=EMBEDDED_TEXTS, n_queue=config.max_queue)


def _start_engine(
    config: Config, context: Context, vocabulary: Vocabulary, store: PrefixStore | None, steps: Mapping[int, float]
) -> AsyncEngine:
    from server.engine.async_engine import AsyncEngine  # noqa: PLC0415 -- see above
    from server.engine.runner import LlamaRunner  # noqa: PLC0415

    return AsyncEngine(
        LlamaRunner(context),
        vocabulary,
        n_parallel=config.parallel,
        n_queue=config.max_queue,
        n_owners=len(config.api_key),
        n_draft=config.draft,
        max_itl_s=config.max_itl / 1000,
        timeout_s=config.request_timeout or math.inf,
        store=store,
        steps=steps,
    )


def _open_store(config: Config, context: Context, cache_dir: Path, file_hash: str) -> PrefixStore | None:
    """Where prefixes are kept beyond the context; None if that is switched off or the model cannot share them."""
    from server.engine.kv_cache.prefix_store import PrefixStore  # noqa: PLC0415 -- see above

    if not (config.prefix_ram or config.prefix_disk):
        return None
    if not context.can_share_prefix:
        log.warning("this model's memory is a running sum: no prefix can be shared or kept, every prompt is evaluated")
        return None
    return PrefixStore(
        cache_dir / "prefixes",
        identity=f"model {file_hash}, {context.state_format}",
        max_ram=config.prefix_ram,
        max_disk=config.prefix_disk,
    )


def _facts(config: Config, weights: Model, family: Family, n_ctx: int) -> ModelFacts:
    from server.api.state import ModelFacts  # noqa: PLC0415 -- see above

    vocabulary, metadata = weights.vocabulary, weights.metadata
    return ModelFacts(
        n_ctx=n_ctx,
        n_ctx_train=weights.n_ctx_train,
        n_embd=int(metadata.get(f"{metadata.get('general.architecture')}.embedding_length", 0)),
        n_params=weights.n_params,
        size_bytes=weights.size_bytes,
        description=weights.description,
        family=family.id,
        template=weights.chat_template or "",
        bos=vocabulary.bos or "",
        eos=vocabulary.pieces[vocabulary.eos].decode("utf-8", "replace"),
        n_parallel=config.parallel,
        can_think=family.output.reasoning is not None and family.output.reasoning[0] in (weights.chat_template or ""),
    )


def _fingerprint(weights: Model, family: Family, config: Config) -> str:
    text = f"{functiongate_version()} {weights.path.name} {weights.size_bytes} {family.id} {config.chat_template}"
    return f"fg_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
