"""The server's settings: flag, then environment, then file, then default.

Knows names, bounds and precedence; knows no command line (`server.commands`) and starts nothing. The law: a setting
that is not known is an error that names it, wherever it was written.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from server.errors import StartupError
from server.model_files.catalogue import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path("functiongate.toml")


class Config(BaseSettings):
    """What `functiongate serve` can be told. Each field is a flag, FUNCTIONGATE_<FIELD>, and a key of the file.

    `ctx_size` 0 is the model's own length, at most 8192; `threads` 0 is `machine.cpu`'s choice. `draft` is how many
    tokens are guessed ahead at most; it changes the speed and no text. `max_itl` is in milliseconds: how long other
    prompts may hold up a running stream. `request_timeout` and `drain_timeout` are in seconds; no requests time out at
    0. `flash_attn` "auto" is what was tuned, else llama.cpp's choice.
    `model_names` says what clients may call the model: "any" name, "strict" its own ones alone; "auto" is any name
    where no alias was given.
    `embeddings` is how texts are pooled to vectors: "auto" as the model's file says, if it says so.
    `prefix_ram` and `prefix_disk` bound what is kept of tools and system prompts beyond the context.
    `store` bounds the file of stored responses, 0 stores none; `store_age` is in days, 0 keeps them whatever their age.
    `strict_tools` refuses tools that a cloud runs; else they are left out, and the answer says so.
    `api_key` is one key or several, separated by commas; empty means that everyone may ask. `cors_origins` are the
    pages that may ask from a browser: their origins, "local" for this machine's, "*" for all. `chat_template` says
    whose template renders: the family's, or the one in the model's file. `call_bias` is a logit offset, None the
    catalogue's for this model, or 0; a request may say its own. So is `temperature`: None is 0 where an answer may be a
    call or has to be JSON, 1 elsewhere.
    `repeat_calls` "end" lets no call be made again that has its result: the answer goes on in words. `more_calls`
    "asked" asks for one more call where the question names what none has, "model" leaves that to the model.
    `ungrounded_calls` "refuse" lets no call be made with values of which the conversation has no word.
    `copied_arguments` "drop" leaves optional arguments out that are copies of their tool's description.
    """

    model_config = SettingsConfigDict(
        env_prefix="FUNCTIONGATE_", env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    model: str = DEFAULT_MODEL
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    alias: str | None = None
    model_names: Literal["auto", "any", "strict"] = "auto"
    family: str | None = None
    chat_template: Literal["family", "gguf"] = "family"
    call_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    repeat_calls: Literal["end", "allow"] = "end"
    more_calls: Literal["asked", "model"] = "asked"
    ungrounded_calls: Literal["refuse", "allow"] = "refuse"
    copied_arguments: Literal["drop", "allow"] = "drop"
    embeddings: Literal["auto", "off", "mean", "cls", "last"] = "auto"
    ctx_size: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    max_itl: Annotated[int, Field(ge=10, le=60_000)] = 250
    request_timeout: Annotated[float, Field(ge=0)] = 0.0
    prefix_ram: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 << 20)
    prefix_disk: Annotated[ByteSize, Field(ge=0)] = ByteSize(1 << 30)
    store: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 << 20)
    store_age: Annotated[float, Field(ge=0)] = 30.0
    strict_tools: bool = False
    draft: Annotated[int, Field(ge=0, le=8)] = 8
    flash_attn: Literal["auto", "on", "off"] = "auto"
    api_key: Annotated[tuple[str, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("local",)
    max_queue: Annotated[int, Field(ge=0)] = 64
    max_body_size: Annotated[ByteSize, Field(ge=1)] = ByteSize(4 << 20)
    drain_timeout: Annotated[float, Field(ge=0)] = 30.0
    cache_dir: Path | None = None
    verbose: bool = False

    @property
    def answers_to_any_name(self) -> bool:
        """Whether a client may call the one model that is served whatever it was built with."""
        return self.model_names == "any" or (self.model_names == "auto" and self.alias is None)

    @field_validator("api_key", "cors_origins", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(key.strip() for key in value.split(",") if key.strip())


def load_config(flags: Mapping[str, Any], file: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The settings by `flags` (those that were given), the environment, and the TOML `file`.

    Without `file`, FUNCTIONGATE_CONFIG names one, else `functiongate.toml` is read if it is there. PORT, which
    container platforms set, counts as environment below FUNCTIONGATE_PORT. Raises `StartupError` naming what is wrong.
    """
    named = environ.get("FUNCTIONGATE_CONFIG")
    path = file or (Path(named) if named else None)
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    values = {} if path is None else _read_file(path)
    platform = {"port": environ["PORT"]} if environ.get("PORT") else {}

    class Layered(Config):
        """`Config` with this call's file and environment beneath the flags."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings  # two more places would be two more surprises
            port = InitSettingsSource(settings_cls, init_kwargs=platform)
            return init_settings, env_settings, port, InitSettingsSource(settings_cls, init_kwargs=values)

    try:
        return Layered(**flags)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0])
        flag = f"--{name.replace('_', '-')}"
        raise StartupError(f"invalid {name} ({flag}, FUNCTIONGATE_{name.upper()}): {first['msg']}") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StartupError(f"the configuration {path} is not TOML: {error}") from error
    unknown = sorted(set(values) - set(Config.model_fields))
    if unknown:
        known = ", ".join(Config.model_fields)
        raise StartupError(f"{path} has unknown keys: {', '.join(unknown)} (known: {known})")
    return values
