"""Types of all tensors of a model, short enough to be read: by kind, and by layers where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_BLOCK = re.compile(r"blk\.(\d+)\.")


def summary(types: Mapping[str, str]) -> dict[str, str]:
    """`{"attn_v": "Q6_K 0-2,5 Q4_K rest"}` from types by tensor; a kind of one type is that type's name."""
    layers: dict[str, dict[str, list[int]]] = {}
    for name, kind in types.items():
        match = _BLOCK.match(name)
        of_kind = layers.setdefault(_BLOCK.sub("", name).removesuffix(".weight"), {})
        of_kind.setdefault(kind, []).append(int(match[1]) if match else -1)
    return {name: _said(of_kind) for name, of_kind in sorted(layers.items()) if set(of_kind) != {"F32"}}


def _said(of_kind: Mapping[str, list[int]]) -> str:
    *fewer, most = sorted(of_kind, key=lambda kind: (len(of_kind[kind]), kind))
    if not fewer:
        return most
    return " ".join([f"{kind} {_ranges(of_kind[kind])}" for kind in fewer] + [most, "rest"])


def _ranges(layers: Iterable[int]) -> str:
    found: list[list[int]] = []
    for layer in sorted(layers):
        if found and found[-1][-1] == layer - 1:
            found[-1][1:] = [layer]
        else:
            found.append([layer])
    return ",".join("-".join(map(str, ends)) for ends in found)
