"""The family of a model file: in its own framing, as the server would serve it.

Knows models and families. A template out of a file is a stranger's program: it runs in a process of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from chat_templates import UnknownFamilyError, detect_family, get_family
from quantizer.errors import DataError
from server.template_process import TemplateProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chat_templates import Family
    from server.llama.model import Model


def check_family(family_id: str | None) -> None:
    """Raise `DataError` for an id that no family has; None is the file's own."""
    try:
        if family_id is not None:
            get_family(family_id)
    except UnknownFamilyError as error:
        raise DataError(str(error)) from error


@contextmanager
def model_family(model: Model, family_id: str | None = None) -> Iterator[Family]:
    """The family that is named, else the one the file's metadata tell. Valid inside the `with` only.

    Raises `DataError` for an unknown id.
    """
    try:
        family = get_family(family_id) if family_id else detect_family(model.metadata)
    except UnknownFamilyError as error:
        raise DataError(str(error)) from error
    vocabulary = model.vocabulary
    templates = TemplateProcess()
    try:
        yield family.fitted(
            model.chat_template,
            bos_token=vocabulary.bos or "",
            eos_token=vocabulary.pieces[vocabulary.eos].decode("utf-8", "replace"),
            renderer=templates.render,
        )
    finally:
        templates.close()
