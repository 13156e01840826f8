"""Which kernels llama.cpp chose, that they run, and how fast: one JSON line.

Runs inside the container (and inside an emulated CPU), so it needs only what the image holds:
`python decode.py MODEL [--prefill N] [--decode N] [--threads N]`. Greedy; speeds in tokens per second.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from llama_cpp import Llama

from server.llama.library import library


def kernels() -> str:
    """File name of the CPU backend that is mapped into this process."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    names = {Path(line.split()[-1]).name for line in maps if "libggml-cpu" in line}
    (name,) = names
    return name


def main() -> None:
    """Prefill a made-up prompt, decode after it, print what happened."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model")
    options.add_argument("--prefill", type=int, default=16)
    options.add_argument("--decode", type=int, default=4)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()

    library()
    llama = Llama(
        chosen.model,
        n_ctx=chosen.prefill + chosen.decode + 8,
        n_threads=chosen.threads,
        n_threads_batch=chosen.threads,
        verbose=False,
    )
    words = llama.tokenize(b"The capital of France is Paris and the capital of Italy is")
    prompt = (words * (chosen.prefill // len(words) + 1))[: chosen.prefill]
    # The weights are read from disk at their first use: not part of the kernels' speed.
    llama.eval(prompt)
    llama.reset()

    start = time.perf_counter()
    llama.eval(prompt)
    prefilled = time.perf_counter()
    tokens = []
    for _ in range(chosen.decode):
        tokens.append(llama.sample(temp=0.0))
        llama.eval(tokens[-1:])
    decoded = time.perf_counter()
    report = {
        "kernels": kernels(),
        "prefill_tokens_per_s": round(chosen.prefill / (prefilled - start), 2),
        "decode_tokens_per_s": round(chosen.decode / (decoded - prefilled), 2),
        "text": llama.detokenize(tokens[:12]).decode("utf-8", "replace"),
    }
    print(json.dumps(report))  # noqa: T201 - the report is this script's output


if __name__ == "__main__":
    main()
