"""What llama.cpp can quantize to: tensor types, file types, and what becomes of rows that do not fit a block.

Data and look-ups; knows no model. The law: a name is llama.cpp's own, read without regard to case. Sources are of
llama.cpp at the commit that the bindings pin: `src/llama-quant.cpp`, `include/llama.h`, `tools/quantize/quantize.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantizer.errors import RecipeError
from server.model_files.ggml_types import GGML_TYPES, GgmlType

_NAMED: Mapping[str, GgmlType] = {kind.name: kind for kind in GGML_TYPES.values()}

# Integers are no weights, Q8_1 and Q8_K exist in flight only, NVFP4 needs scales that no conversion writes.
_NOT_TARGETS = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K", "NVFP4"})

TARGETS: Mapping[str, GgmlType] = {name: kind for name, kind in _NAMED.items() if name not in _NOT_TARGETS}

# `tensor_type_fallback`: what takes the place of a type whose block does not divide the row. Types of at most 32
# values a block, and substitutes that do not fit either, become F16; a type that is not here has no substitute.
FALLBACKS: Mapping[str, str] = {
    "IQ1_S": "IQ4_NL",
    "IQ1_M": "IQ4_NL",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q2_0": "Q4_0",
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}

# `tensor_requires_imatrix` refuses these without activations, except for the embeddings and the output …
REQUIRE_IMATRIX = frozenset({"IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S"})
# … and `ggml_quantize_chunk` aborts the process on these, whatever the tensor.
ABORT_WITHOUT_IMATRIX = frozenset({"IQ2_XXS", "IQ2_XS", "IQ1_S"})
# The nearest types of at least as many bits that need no activations.
WITHOUT_IMATRIX: Mapping[str, str] = {
    "IQ1_S": "Q2_K",
    "IQ1_M": "Q2_K",
    "IQ2_XXS": "Q2_K",
    "IQ2_XS": "Q2_K",
    "IQ2_S": "Q2_K",
    "IQ3_XXS": "Q3_K",
}
# Quantized to these, a tensor comes out the same with and without activations.
IGNORE_IMATRIX = frozenset({"F32", "F16", "BF16", "Q8_0", "MXFP4", "TQ1_0", "TQ2_0"})


@dataclass(frozen=True, slots=True)
class FileType:
    """A stock file type: its `llama_ftype` id, its name, and the type of the tensors that no rule mentions."""

    id: int
    name: str
    default: GgmlType


def _file_type(ftype: int, name: str, default: str | None = None) -> FileType:
    return FileType(ftype, name, _NAMED[default or name])


# `llama_ftype_get_default_type`: a label and its default type are not always of one name.
_FILE_TYPES = (
    _file_type(0, "F32"),
    _file_type(1, "F16"),
    _file_type(2, "Q4_0"),
    _file_type(3, "Q4_1"),
    _file_type(7, "Q8_0"),
    _file_type(8, "Q5_0"),
    _file_type(9, "Q5_1"),
    _file_type(10, "Q2_K"),
    _file_type(11, "Q3_K_S", "Q3_K"),
    _file_type(12, "Q3_K_M", "Q3_K"),
    _file_type(13, "Q3_K_L", "Q3_K"),
    _file_type(14, "Q4_K_S", "Q4_K"),
    _file_type(15, "Q4_K_M", "Q4_K"),
    _file_type(16, "Q5_K_S", "Q5_K"),
    _file_type(17, "Q5_K_M", "Q5_K"),
    _file_type(18, "Q6_K"),
    _file_type(19, "IQ2_XXS"),
    _file_type(20, "IQ2_XS"),
    _file_type(21, "Q2_K_S", "Q2_K"),
    _file_type(22, "IQ3_XS", "IQ3_S"),
    _file_type(23, "IQ3_XXS"),
    _file_type(24, "IQ1_S"),
    _file_type(25, "IQ4_NL"),
    _file_type(26, "IQ3_S"),
    _file_type(27, "IQ3_M", "IQ3_S"),
    _file_type(28, "IQ2_S", "IQ2_XS"),
    _file_type(29, "IQ2_M", "IQ2_S"),
    _file_type(30, "IQ4_XS"),
    _file_type(31, "IQ1_M"),
    _file_type(32, "BF16"),
    _file_type(36, "TQ1_0"),
    _file_type(37, "TQ2_0"),
    _file_type(38, "MXFP4_MOE", "MXFP4"),
    _file_type(40, "Q1_0"),
    _file_type(41, "Q2_0"),
)

FILE_TYPES: Mapping[str, FileType] = {each.name: each for each in _FILE_TYPES}
FILE_TYPE_ALIASES: Mapping[str, str] = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}


def target_type(name: str) -> GgmlType:
    """The tensor type that `name` means. Raises `RecipeError` if llama.cpp cannot quantize to it."""
    kind = TARGETS.get(name.upper())
    if kind is None:
        raise RecipeError(f"{name!r} is no type of a tensor; one of {', '.join(TARGETS)}")
    return kind


def file_type(name: str) -> FileType:
    """The stock file type that `name`, or an alias of llama-quantize's, means. Raises `RecipeError`."""
    upper = name.upper()
    found = FILE_TYPES.get(FILE_TYPE_ALIASES.get(upper, upper))
    if found is None:
        raise RecipeError(f"{name!r} is no type of a file; one of {', '.join(FILE_TYPES)}")
    return found


def fits(kind: GgmlType, row_length: int) -> bool:
    """Whether a row of so many values is whole blocks of `kind`."""
    return row_length % kind.block == 0


def fallback(kind: GgmlType, row_length: int) -> GgmlType | None:
    """What llama.cpp puts in the place of `kind` for a row that does not fit it; None where it gives up."""
    substitute = _NAMED.get(FALLBACKS.get(kind.name, kind.name if kind.block <= 32 else ""))
    if substitute is None:
        return None
    return substitute if fits(substitute, row_length) else _NAMED["F16"]
