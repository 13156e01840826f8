"""What the image's recipe names is there; tests/container/run.sh builds it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text("utf-8")
KEPT = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
COPIED = [name for names in re.findall(r"^COPY ([^-\n]+) \S+$", RECIPE, flags=re.MULTILINE) for name in names.split()]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize(("module", "name"), re.findall(r"from (server[\w.]*) import (\w+)", RECIPE))
def test_the_python_in_the_recipe_can_be_imported(module, name):
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_is_in_the_context(name):
    assert (ROOT / name).exists()
    assert name == "." or any(name == kept or name.startswith(f"{kept}/") for kept in KEPT)


@pytest.mark.parametrize("name", re.findall(r"(?<= )requirements/[\w.]+", RECIPE))
def test_the_recipes_locks_are_there(name):
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_pages_say_of_the_image_holds(page):
    text = page.read_text("utf-8")
    assert set(re.findall(r"--build-arg (\w+)=", text)) <= set(re.findall(r"^ARG (\w+)=", RECIPE, flags=re.MULTILINE))
    for port in re.findall(r"docker run .*-p \d+:(\d+)", text):
        assert f"EXPOSE {port}\n" in RECIPE
    for folder in re.findall(r"docker run .*-v \w+:(\S+)", text):
        assert f"VOLUME {folder}\n" in RECIPE
