"""Fetches GGUF files of Hugging Face repositories into Hugging Face's own cache, whose settings are honoured.

Knows the hub's library and how repositories name their files; knows no catalogue and no format.
"""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from server.errors import StartupError
from server.model_files.wheel import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def fetch_from_hub(repo: str, wanted: str, progress: Progress = silent) -> Path:
    """A GGUF of a Hugging Face repository, in Hugging Face's own cache; offline once it is there.

    `wanted` is a file's name, a quantization such as "Q4_K_M", or empty if the repository has only one GGUF.
    All parts of a split model are fetched; the path is the first one's.
    Raises `StartupError` naming the choices if `wanted` does not name exactly one.
    """
    import httpx  # noqa: PLC0415 -- a second of imports that a local file does not need
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError  # noqa: PLC0415

    try:
        is_file = wanted.endswith(".gguf")
        name = wanted if is_file else choose_file(repo, HfApi().list_repo_files(repo), wanted)
        bar = _bar_class(progress)
        paths = [Path(hf_hub_download(repo, part, tqdm_class=bar)) for part in shard_names(name)]
    except HFValidationError as error:
        raise StartupError(f"hf:{repo} is not a repository's name (expected hf:organisation/repository)") from error
    except (EntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StartupError(f"cannot download hf:{repo} {wanted}".rstrip() + f": {reason}") from error
    return paths[0]


def cached_from_hub(repo: str, name: str) -> Path | None:
    """The file's path in Hugging Face's cache, or None. Never asks the network."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 -- as above

    found = try_to_load_from_cache(repo, name)
    return Path(found) if isinstance(found, str) else None


def choose_file(repo: str, names: Sequence[str], wanted: str) -> str:
    """The one GGUF among a repository's files that `wanted` names; see `fetch_from_hub`.

    Nothing is preferred silently: a wrong guess costs gigabytes. Projectors (mmproj) are not language models.
    """
    models = sorted(name for name in names if name.endswith(".gguf") and _is_first_part(name))
    models = [name for name in models if "mmproj" not in name.lower()]
    matching = models if not wanted else [name for name in models if _is_quantization(name, wanted)]
    if len(matching) == 1:
        return matching[0]
    if not models:
        raise StartupError(f"hf:{repo} has no GGUF file")
    choices = ", ".join(models)
    if wanted:
        raise StartupError(f"hf:{repo} has {len(matching)} GGUF files for {wanted!r}; name one of: {choices}")
    raise StartupError(f"hf:{repo} has {len(models)} GGUF files; name one (hf:{repo}/FILE) of: {choices}")


def shard_names(name: str) -> list[str]:
    """All parts of a split GGUF given its first ("…-00001-of-00003.gguf"), else the name alone."""
    match = _SHARD.search(name)
    if match is None:
        return [name]
    stem = name[: match.start()]
    return [f"{stem}-{part:05}-of-{match[2]}.gguf" for part in range(1, int(match[2]) + 1)]


def _is_first_part(name: str) -> bool:
    match = _SHARD.search(name)
    return match is None or int(match[1]) == 1


def _is_quantization(name: str, wanted: str) -> bool:
    stem = _SHARD.sub(".gguf", PurePosixPath(name).name).removesuffix(".gguf").lower()
    return re.search(rf"(^|[-_.]){re.escape(wanted.lower())}$", stem) is not None


def _bar_class(progress: Progress) -> Any:
    from huggingface_hub.utils.tqdm import tqdm  # noqa: PLC0415 -- as above

    class Bar(tqdm):
        """Reports to `progress` instead of drawing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # the bar's group, by which Hugging Face's own switch would silence it
            settings = {**kwargs, "disable": False, "file": io.StringIO()}
            super().__init__(*args, **settings)  # type: ignore[no-untyped-call] # the library's

        def display(self, *_: Any, **__: Any) -> None:
            progress(str(self.desc or "download"), int(self.n), int(self.total or 0))

    return Bar
