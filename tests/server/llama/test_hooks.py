"""A llama.cpp that no longer calls what our kernels stand in for does not build: the build's own check, run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[3] / "server" / "llama" / "hooks.cmake"
NAMES = dict(re.findall(r"^ +(ggml_\w+)=(functiongate_\w+)", HOOKS.read_text("utf-8"), flags=re.MULTILINE))
OPERATIONS = """\
static void ggml_compute_forward_mul_mat(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
    if (ggml_compute_forward_mul_mat_tiled(params, dst)) {
        return;
    }
}
static void ggml_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * tensor) {
    if (ggml_cpu_extra_compute_forward(params, tensor)) {
        return;
    }
    ggml_compute_forward_flash_attn_ext(params, tensor);
}
"""


def check(folder: Path, operations: str) -> subprocess.CompletedProcess[str]:
    cmake = shutil.which("cmake", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    assert cmake, "CMake is among what the tests install"
    path = folder / "ggml-cpu.c"
    path.write_text(operations, "utf-8")
    return subprocess.run(
        [cmake, f"-DOPERATIONS={path}", "-P", str(HOOKS)], capture_output=True, text=True, check=False
    )


def test_sources_that_make_every_call_pass(tmp_path):
    done = check(tmp_path, OPERATIONS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        lambda name: OPERATIONS.replace(f"{name}(params", f"{name}_v2(params"),
        lambda name: OPERATIONS.replace(f"{name}(params", f"ggml_x_{name}(params"),
        lambda name: OPERATIONS.replace(f"{name}(params,", f"{name}(params, 0,"),
        lambda name: re.sub(rf".*{name}.*", "", OPERATIONS),
    ],
    ids=["renamed", "longer", "called with more", "gone"],
)
def test_a_call_that_is_gone_ends_the_build_by_its_name(tmp_path, name, change):
    done = check(tmp_path, change(name))
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert f"ggml-cpu.c does not call {name}(params, …) any more: see docs/bump-llama-cpp.md" in said
    assert (HOOKS.parents[2] / "docs" / "bump-llama-cpp.md").is_file()


def test_the_build_runs_the_check_and_compiles_with_each_hook():
    bindings = (HOOKS.parent / "bindings.cmake").read_text("utf-8")
    assert "include(${CMAKE_CURRENT_LIST_DIR}/hooks.cmake)" in bindings
    assert "functiongate_check_hooks(${ggml}/ggml-cpu/ggml-cpu.c)" in bindings
    assert '"${FUNCTIONGATE_HOOKS}"' in bindings
    kernels = "".join(path.read_text("utf-8") for path in (HOOKS.parent / "kernels").glob("*.cpp"))
    assert len(NAMES) == 3
    for name, ours in NAMES.items():
        assert re.search(rf"^(void|bool) {ours}\(", kernels, flags=re.MULTILINE)
        assert f"decltype(&{name})" in kernels  # a static_assert of its signature
