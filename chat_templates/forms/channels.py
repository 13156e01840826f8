"""Messages in channels: `<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{…}<|call|>`.

Every message of an answer has a header. Its channel says what the message is: `analysis` is a thought, `final` and
`commentary` are text; its recipient, where it has one, makes a call of it. Sources: OpenAI's chat template of gpt-oss
and its description of the harmony format. The recipient stands before the channel (so in the template) or behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chat_templates.forms.form import CallForm, Function
from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.readers.json_calls import read_arguments, read_end_tag
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.raw_arguments import RawArguments
from chat_templates.readers.state import MAX_NAME, OfferedNames, ParserState
from chat_templates.readers.tape import Ends, Reading, follows, read_until

START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL = (
    *("<|start|>", "<|channel|>", "<|message|>"),
    *("<|constrain|>", "<|end|>", "<|call|>"),
)
THOUGHT = "analysis"
SPEAKER = "assistant"
TOOLS = "functions."
_RECIPIENT = " to="
_HEADER = re.compile(
    rf"({re.escape(START)})?\s*({SPEAKER})?\s*(to=(?P<before>[^\s<]+))?\s*"
    rf"({re.escape(CHANNEL)}\s*(?P<channel>\w+))?\s*(to=(?P<behind>[^\s<]+))?\s*"
    rf"({re.escape(CONSTRAIN)})?\s*\w*\s*{re.escape(MESSAGE)}"
)
_MAX_HEADER = MAX_NAME + 128


@dataclass(frozen=True, slots=True)
class ChannelCall(CallForm):
    """Calls to the recipient `functions.NAME`. The prompt ends behind the speaker, so an answer begins in a header."""

    separator: str = CALL + START + SPEAKER

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return (START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL)

    @property
    def text_start(self) -> str:
        """See `CallForm.text_start`."""
        return f"{CHANNEL}final{MESSAGE}"

    @property
    def behind_thought(self) -> str:
        """See `CallForm.behind_thought`: the next message begins."""
        return START + SPEAKER

    # --- read --------------------------------------------------------------------------------------------------------

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:  # noqa: ARG002  text has headers, too
        """See `CallForm.openings`: where a header begins, and where a message ends."""
        return (START, CHANNEL, END)

    def begin(self, state: ParserState) -> Reading[None]:
        """See `CallForm.begin`: the first header may begin with its recipient."""
        if (yield from follows(state.tape, _RECIPIENT)):
            yield from self.read(state, "")

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """A header, and all of the message that is a thought or a call."""
        if opening.endswith(END):
            state.answer.content(opening.removesuffix(END))
            return
        header = yield from _header(state, opening)
        if header is None:
            return
        recipient = header["before"] or header["behind"] or ""
        name = recipient.removeprefix(TOOLS)
        if recipient and state.offered.has(name):
            yield from _call(state, name)
        elif recipient:
            state.answer.content(header[0])
        elif header["channel"] == THOUGHT:
            yield from _thought(state)
        else:
            state.answer.start_block()

    # --- written into a grammar --------------------------------------------------------------------------------------

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return f"{CHANNEL}commentary{_RECIPIENT}{TOOLS}{name} {CONSTRAIN}json{MESSAGE}", ""

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`: with the recipient on either side of the channel."""
        told = [(f"{_RECIPIENT}{TOOLS}{name}", f"{CHANNEL}commentary{_RECIPIENT}{TOOLS}{name}") for name in names]
        return tuple(text for both in told for text in both)

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.call`: with the recipient on either side of the channel."""
        to = f"{_RECIPIENT}{TOOLS}{function['name']}"
        behind, before = grammar.literal(f"{CHANNEL}commentary{to}"), grammar.literal(f"{to}{CHANNEL}commentary")
        kind = f'{quoted(" ")} ({grammar.literal(CONSTRAIN)})? "json" {grammar.literal(MESSAGE)}'
        return f"{self._start(grammar)} ({behind} | {before}) {kind} {self.arguments(grammar, function)}"

    def before_text(self, grammar: LarkGrammar) -> str:
        """See `CallForm.before_text`: of an answer, or of words that lead to a call."""
        return f'{self._start(grammar)} {grammar.literal(CHANNEL)} ("final" | "commentary") {grammar.literal(MESSAGE)}'

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: the model's turn ends with a call."""
        del grammar, parallel
        return call

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Text up to the end of its message, then a call."""
        del functions, parallel
        return [f"{head} {call}" for head in grammar.text_up_to(END)]

    def _start(self, grammar: LarkGrammar) -> str:
        """What begins a message behind another one."""
        return grammar.shared(f"({grammar.literal(START + SPEAKER)})?")


def _header(state: ParserState, opening: str) -> Reading[re.Match[str] | None]:
    """The header that begins with the last marker of `opening`. None where it is none, and told as content."""
    at = max(opening.rfind(START), opening.rfind(CHANNEL), 0)
    told, text = opening[:at], opening[at:]
    while not text.endswith(MESSAGE):
        c = yield from state.tape.next()
        if c is None or c == "\n" or len(text) > _MAX_HEADER or text.endswith(END):
            state.tape.give_back(c)
            if not (c is None and state.tape.was_cut):
                state.answer.content(told + text)
            return None
        text += c
    header = _HEADER.fullmatch(text)
    state.answer.content(told if header else told + text)
    return header


def _thought(state: ParserState) -> Reading[None]:
    ends = Ends((END, START, *state.stop))
    _, marker = yield from read_until(state.tape, ends, state.answer.reasoning)
    if marker != END:
        state.tape.give_back(marker)


def _call(state: ParserState, name: str) -> Reading[None]:
    """The arguments; what is no JSON is told as it stands."""
    index = state.answer.start_call(name)
    scan = yield from read_arguments(state, index)
    if scan is Scan.INVALID:
        raw = RawArguments(state, index, blank="")
        marker = yield from raw.until(Ends((CALL, END, START, *state.stop)))
        state.tape.give_back(marker)
        raw.end(is_complete=not (state.tape.is_at_end and state.tape.was_cut))
    yield from read_end_tag(state, CALL)
