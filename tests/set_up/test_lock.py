"""The lock: what `make` installs is what pyproject.toml asks for, by version and hash, on every supported Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
FOLDERS = (".ci", "chat_templates", "docs", "quantizer", "server", "tests")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MACHINES = [(f"3.{minor}", machine) for minor in range(11, 15) for machine in ("x86_64", "aarch64")]


def entries(path):
    """Each requirement of a lock with its hashes."""
    text = re.sub(r"\s*\\\n\s*", " ", path.read_text("utf-8"))
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            yield Requirement(requirement), hashes


def installed(path, python, machine):
    """Name to version, of what a lock installs there."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    chosen = {}
    for requirement, _ in entries(path):
        if not requirement.marker or requirement.marker.evaluate(environment):
            assert requirement.name not in chosen
            (pin,) = requirement.specifier
            chosen[requirement.name] = pin.version
    return chosen


def test_there_is_a_lock_for_each_step_of_the_set_up():
    assert [path.name for path in LOCKS] == ["build.txt", "pip.txt", "serve.txt", "test.txt"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_entry_of_a_lock_has_one_version_and_hashes_and_names_no_registry(path):
    assert "://" not in path.read_text("utf-8")
    assert "--index" not in path.read_text("utf-8")
    for requirement, hashes in entries(path):
        assert [pin.operator for pin in requirement.specifier] == ["=="]
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes)


@pytest.mark.parametrize(("python", "machine"), MACHINES, ids=lambda value: value)
@pytest.mark.parametrize("name", ["serve.txt", "test.txt"])
def test_the_lock_gives_what_pyproject_asks_for(name, python, machine):
    asked = PROJECT["project"]["dependencies"] + (PROJECT["dependency-groups"]["dev"] if name == "test.txt" else [])
    chosen = installed(ROOT / "requirements" / name, python, machine)
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(chosen[requirement.name]), f"{requirement}: run `make lock`"


@pytest.mark.parametrize(("python", "machine"), MACHINES, ids=lambda value: value)
def test_the_tests_run_with_what_is_served(python, machine):
    served, tested = (installed(ROOT / "requirements" / name, python, machine) for name in ("serve.txt", "test.txt"))
    assert served.items() <= tested.items()


def test_the_build_backend_is_locked():
    backends = installed(ROOT / "requirements" / "build.txt", *MACHINES[0])
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(backends[requirement.name])


def test_the_version_of_the_bindings_is_written_in_one_place():
    """pyproject.toml; the lock is made from it. Records of what was measured keep the version of their day."""
    (pin,) = (each for each in PROJECT["project"]["dependencies"] if each.startswith("llama-cpp-python"))
    version = pin.partition("==")[2]
    records = {"requirements", "measurements", "notebook", "adr", "golden", "measurements.md", "CHANGELOG.md"}
    written = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in {"", ".toml", ".md"}]
    written += [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    places = [
        path.relative_to(ROOT).as_posix()
        for path in written
        if not records & set(path.parts)
        and path.suffix != ".pyc"
        and version in path.read_text("utf-8", errors="replace")
    ]
    assert places == ["pyproject.toml"]
