"""xLAM-2 as data: one template in two framings of turns.

Sources: the chat template of Salesforce/xLAM-2-3b-fc-r, Salesforce's two templates among vLLM's examples, and vLLM's
xlam parser tests. An assistant's turn that says nothing is printed as an array of no calls, which is what it reads as.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.call_array import CallArray
from chat_templates.readers.python_scanner import PythonScanner
from chat_templates.render import ArgumentsAs

XLAM_2_QWEN = Family(
    id="xlam-2-qwen",
    title="xLAM-2 (Qwen)",
    template=template_source(__package__),
    output=OutputFormat(
        call=CallArray(), stop=("<|im_end|>", "<|endoftext|>"), scanner=PythonScanner, keeps_cut_calls=True
    ),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("developed by Salesforce xLAM team", "<|im_start|>"),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    variables={
        "is_chatml": True,
        "tool_role": "tool",
        "default_system": "You are a helpful assistant that can use tools. You are developed by Salesforce xLAM team.",
    },
    example_model="Salesforce/xLAM-2-3b-fc-r-gguf",
    evidence="ST",
)

XLAM_2_LLAMA = replace(
    XLAM_2_QWEN,
    id="xlam-2-llama",
    title="xLAM-2 (Llama)",
    output=replace(XLAM_2_QWEN.output, stop=("<|eot_id|>", "<|end_of_text|>")),
    markers=("developed by Salesforce xLAM team", "<|start_header_id|>"),
    bos_token="<|begin_of_text|>",  # noqa: S106
    eos_token="<|eot_id|>",  # noqa: S106
    variables={
        "is_chatml": False,
        "tool_role": "ipython",
        "default_system": "You are a helpful assistant. You are developed by Salesforce xLAM team.",
    },
    example_model="Salesforce/Llama-xLAM-2-8b-fc-r-gguf",
    evidence="S",
)
