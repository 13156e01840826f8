"""Speed and memory of a file, measured in a process of its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from quantizer.errors import NativeError
from quantizer.measures.speed import measure_speed

MEGABYTE = 1_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a child's peak begins with its parent's")
def test_peak_memory_is_the_childs_own(tiny):
    held = np.ones(600 * MEGABYTE, dtype=np.int8)
    speed = measure_speed(tiny, n_threads=1, n_prompt=16, n_decode=4, repetitions=1)
    assert 10 * MEGABYTE < speed.peak_bytes < len(held)
    assert min(speed.prefill, speed.decode, speed.load_s) > 0


def test_a_file_that_cannot_be_loaded_is_named(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF and no more")
    with pytest.raises(NativeError, match=r"broken\.gguf"):
        measure_speed(path, n_threads=1)
