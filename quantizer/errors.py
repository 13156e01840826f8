"""The quantizer's errors: the type says whose fault it is.

    QuantizerError
    ├── FileFormatError   the file's: damaged, truncated, hostile, or not of the format it claims
    ├── RecipeError       the recipe's author's: a rule that cannot be read or that no tensor meets
    ├── PlanError         the user's: what the recipe asks for cannot be made from this model
    ├── DataError         the user's: texts, tasks or cases that cannot be used
    └── NativeError       llama.cpp's: it refused or failed, or its structs are not those we know

Messages name the value, the bound and the way out.
"""


class QuantizerError(Exception):
    """Base of every error the quantizer raises on purpose."""


class FileFormatError(QuantizerError):
    """A file is damaged, truncated, hostile, or not of the format it claims."""


class RecipeError(QuantizerError):
    """A recipe cannot be read, or names what does not exist."""


class PlanError(QuantizerError):
    """A recipe asks for something that cannot be made from this model."""


class DataError(QuantizerError):
    """Calibration texts, tasks or cases cannot be used."""


class NativeError(QuantizerError):
    """llama.cpp refused or failed, or its structs are not those this package knows."""
