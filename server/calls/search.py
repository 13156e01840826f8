"""The setting that serves a model's calls best, found by trying it on requests of ours.

Knows chat services by their family's id; no file and no machine. The law: what was there before stays unless another
setting wins by more than chance: the search never makes a model worse on the requests that it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.calls.requests import requests
from server.calls.setting import CallSetting
from server.calls.trial import Score, trial

if TYPE_CHECKING:
    from server.chat.service import ChatService

RELEVANT = ("single", "choice", "several", "several_tools")
IRRELEVANT = ("unserved", "lacking", "talk")
FORMS = ("generic", "generic-list", "generic-tagged", "generic-python")
"""What a model may be asked in that was trained to no form."""

BIASES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0)
# A form must win by this share of the requests, an offset by this: less is chance, and the known one is trusted.
FORM_MARGIN, BIAS_MARGIN = 0.05, 0.02
N_FORM, N_BIAS = 70, 301
N_FINALISTS = 3  # offsets that are tried on all requests, besides none; the others on a third
SEED = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """A setting and its score."""

    setting: CallSetting
    score: Score

    @property
    def worth(self) -> float:
        """The mean of the right answers where a call is right and where none is, each kind alike."""
        return (self.score.share(RELEVANT) + self.score.share(IRRELEVANT)) / 2


async def find(
    chat_of: Callable[[str], ChatService],
    own: str,
    report: Callable[[Tried], None],
    *,
    n_form: int = N_FORM,
    n_bias: int = N_BIAS,
) -> Tried:
    """The best setting found, after telling `report` of each that was tried.

    `own` is the family that the model's file tells, `chat_of` a chat service of a family. Only a model that was trained
    to no form (`generic`) is tried in others. The offset is tried in the best form.
    """
    forms = [own, *(form for form in FORMS if form != own)] if own in FORMS else [own]
    family = own
    if len(forms) > 1:
        asked = list(requests(n_form, seed=SEED, kinds=RELEVANT))
        best = 0.0
        for form in forms:
            (score,) = (await trial(chat_of(form), asked, choice="required")).values()
            report(Tried(CallSetting(form), score))
            worth = score.share(RELEVANT)
            if form == own or worth > best + FORM_MARGIN:
                family, best = form, worth
    return await _with_bias(chat_of(family), None if family == own else family, report, n_bias)


async def _with_bias(chat: ChatService, family: str | None, report: Callable[[Tried], None], n: int) -> Tried:
    asked = list(requests(n, seed=SEED + 1))
    first = asked[: -(-n // 3)]
    scores = await trial(chat, first, call_biases=BIASES)
    tried = [Tried(CallSetting(family, bias), score) for bias, score in scores.items()]
    for each in tried:
        report(each)
    by_worth = sorted(tried, key=lambda each: (-each.worth, abs(each.setting.call_bias)))
    finalists = {0.0, *(each.setting.call_bias for each in by_worth[:N_FINALISTS])}
    more = await trial(chat, asked[len(first) :], call_biases=sorted(finalists))
    final = [Tried(CallSetting(family, bias), scores[bias].with_more(score)) for bias, score in more.items()]
    for each in final:
        report(each)
    return best_of(final)


def best_of(tried: Sequence[Tried]) -> Tried:
    """The one without an offset, or the one that is worth most if it is worth clearly more."""
    plain = next(each for each in tried if each.setting.call_bias == 0.0)
    best = max(tried, key=lambda each: (each.worth, -abs(each.setting.call_bias)))
    return best if best.worth > plain.worth + BIAS_MARGIN else plain
