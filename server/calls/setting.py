"""How a model is asked for calls: the form, and the offset of the decision to call.

Knows where settings are kept: with the program for models that were tuned for it, in the cache for those that were
tuned here. The law: a model is known by the SHA-256 of its file, whatever the file is called.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from server.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallSetting:
    """`family` is the form in which calls are asked for, None for the one that the file's template tells.

    `call_bias` is added to the logits of the tokens that begin a call, where an answer may be one or not.
    """

    family: str | None = None
    call_bias: float = 0.0


@dataclass(frozen=True, slots=True)
class CallSettingFile:
    """Where the setting of one model is kept in the cache."""

    path: Path

    @classmethod
    def of(cls, cache_dir: Path, model_hash: str) -> CallSettingFile:
        """The file for the model with this SHA-256."""
        return cls(cache_dir / "calls" / f"{model_hash[:32]}.json")

    def read(self) -> CallSetting | None:
        """The setting, None if there is none or it cannot be read."""
        try:
            values = json.loads(self.path.read_text())
            setting = CallSetting(**values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.warning("the setting of calls %s is ignored: %s", self.path, error)
            return None
        is_sound = isinstance(setting.family, str | None) and isinstance(setting.call_bias, int | float)
        if not is_sound or not -100 <= setting.call_bias <= 100:
            log.warning("the setting of calls %s is ignored: %s", self.path, setting)
            return None
        return setting

    def write(self, setting: CallSetting) -> None:
        """Replace the setting."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as aside:
            aside.write_text(json.dumps(dataclasses.asdict(setting)))


def shipped_setting(model_hash: str) -> CallSetting | None:
    """The setting that comes with the program for the model with this SHA-256, None if it was not tuned for it."""
    table = tomllib.loads(files(__package__).joinpath("settings.toml").read_text(encoding="utf-8"))
    known = next((entry for entry in table["model"] if entry["sha256"] == model_hash), None)
    return None if known is None else CallSetting(known.get("family"), float(known.get("call_bias", 0.0)))


def call_setting(cache_dir: Path, model_hash: str) -> CallSetting:
    """The setting found here, else the one that comes with the program, else the default."""
    tuned = CallSettingFile.of(cache_dir, model_hash).read()
    return tuned or shipped_setting(model_hash) or CallSetting()
