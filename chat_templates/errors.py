"""What can be wrong with a request's messages or tools, seen from the templates.

TemplateRequestError    the caller's: names the field (`messages[2].content`)
UnknownFamilyError      the caller's: no family has this id
TemplateFileError       the template's: a GGUF's own template does not compile or does not run
"""


class ChatTemplateError(Exception):
    """Base of the errors raised by `chat_templates`."""


class TemplateRequestError(ChatTemplateError):
    """A message or a tool cannot be rendered. `param` is the path of the offending field."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class UnknownFamilyError(ChatTemplateError):
    """No family has the requested id."""


class TemplateFileError(ChatTemplateError):
    """A chat template is not valid Jinja or fails on a well-formed conversation."""
