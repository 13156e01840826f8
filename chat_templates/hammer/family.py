"""Hammer 2.1 as data: the tools in a user's turn of their own, calls as one JSON list, `[]` for none.

Sources: the chat template of Hammer2.1, as its authors quote it in their handler for BFCL, and that handler. It prints
an answer's text alone and leaves calls to its caller; these are printed as the list that the model was taught to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.call_array import CallArray
from chat_templates.render import ArgumentsAs
from chat_templates.tools import to_json


def listed(tools: Sequence[Mapping[str, Any]]) -> str:
    """The tools as Python prints them, as the template does."""
    return str([json.loads(to_json(tool)) for tool in tools])


HAMMER_21 = Family(
    id="hammer-2.1",
    title="Hammer 2.1",
    template=template_source(__package__),
    output=OutputFormat(call=CallArray(), stop=("<|im_end|>", "<|endoftext|>"), keeps_cut_calls=True),
    arguments_as=ArgumentsAs.OBJECT,
    system_first=True,
    markers=("<|im_start|>", "[BEGIN OF TASK INSTRUCTION]", "[BEGIN OF AVAILABLE_TOOLS]"),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    variables={"listed": listed},
    example_model="MadeAgents/Hammer2.1-0.5b",
    evidence="SI",
)
