"""What can be said of a model before anything is made of it: types and bits, rows that no block divides, a duplicate.

Reads heads, and of the weights only the rows by which a duplicated embedding is told. The law: it says what llama.cpp
would do without asking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chat_templates import detect_family
from quantizer.model.categories import allows_quantization
from quantizer.model.duplicate import EMBEDDING, OUTPUT, SAME_COSINE, duplicate_cosine
from quantizer.model.groups import Group, grouped
from quantizer.model.inventory import Inventory
from quantizer.planning.types import TARGETS, fallback, fits


@dataclass(frozen=True, slots=True)
class Misalignment:
    """Rows of one length that blocks of 256 values do not divide. `substitutes`: what llama.cpp makes of each type."""

    row_length: int
    kinds: tuple[str, ...]
    n_tensors: int
    share: float
    substitutes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A tied embedding that is there twice, and what leaving out the copy of fewer bits would save."""

    cosine: float
    embedding_type: str
    output_type: str
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `inspect` shows. `kinds` are groups by what a tensor is in any layer; `share` is of all weights."""

    files: tuple[str, ...]
    size_bytes: int
    architecture: str
    name: str | None
    n_layer: int
    n_values: int
    bits_per_weight: float
    is_tied: bool
    family: str
    has_template: bool
    groups: tuple[Group, ...]
    kinds: tuple[Group, ...]
    misaligned: tuple[Misalignment, ...]
    duplicate: Duplicate | None
    metadata: Mapping[str, str | int | float | bool]

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON's types."""
        return asdict(self)


def inspect(inventory: Inventory) -> Inspection:
    """Inspect the model."""
    typed = [(tensor, tensor.type) for tensor in inventory.tensors]
    n_values = sum(tensor.n_values for tensor in inventory.tensors)
    data_bytes = sum(tensor.size_bytes for tensor in inventory.tensors)
    return Inspection(
        files=tuple(str(path) for path in inventory.paths),
        size_bytes=inventory.size_bytes,
        architecture=inventory.hyperparameters.architecture,
        name=inventory.header.name,
        n_layer=inventory.hyperparameters.n_layer,
        n_values=n_values,
        bits_per_weight=8 * data_bytes / n_values,
        is_tied=inventory.is_tied,
        family=detect_family(inventory.text_metadata).id,
        has_template=inventory.header.chat_template is not None,
        groups=grouped(typed),
        kinds=grouped(typed, lambda tensor: tensor.kind),
        misaligned=_misaligned(inventory, n_values),
        duplicate=_duplicate(inventory),
        metadata=inventory.header.metadata,
    )


def _misaligned(inventory: Inventory, n_values: int) -> tuple[Misalignment, ...]:
    architecture = inventory.hyperparameters.architecture
    changeable = [tensor for tensor in inventory.tensors if allows_quantization(tensor, architecture)]
    found = []
    for length in sorted({tensor.row_length for tensor in changeable if tensor.row_length % 256}):
        tensors = [tensor for tensor in changeable if tensor.row_length == length]
        substitutes = {
            name: substitute.name if (substitute := fallback(kind, length)) else "none"
            for name, kind in TARGETS.items()
            if not fits(kind, length)
        }
        kinds = tuple(sorted({tensor.kind for tensor in tensors}))
        share = sum(tensor.n_values for tensor in tensors) / n_values
        found.append(Misalignment(length, kinds, len(tensors), share, substitutes))
    return tuple(found)


def _duplicate(inventory: Inventory) -> Duplicate | None:
    cosine = duplicate_cosine(inventory)
    if cosine is None or cosine < SAME_COSINE:
        return None
    embedding, output = inventory.by_name[EMBEDDING], inventory.by_name[OUTPUT]
    saved_bytes = min(embedding.size_bytes, output.size_bytes)
    return Duplicate(cosine, embedding.type.name, output.type.name, saved_bytes)
