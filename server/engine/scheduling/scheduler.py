"""Who is evaluated next: a queue, the running sequences, and the prefixes they leave behind.

Pure: integers and token arrays, no model and no clock. A step is either a token of every running sequence, with its
forced run and a draft, or prompts, in turns: a chunk of a long one, or several ends of prompts together. One prefill
serves all who share a prefix. When memory is full, idle prefixes go first, then the youngest sequence is put back in
the queue; what it generated so far is kept and evaluated again later.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.engine.kv_cache.prefix_store import MIN_TOKENS
from server.engine.kv_cache.prefix_tree import NO_MATCH, Match, PrefixTree, common_prefix
from server.engine.sampling.draft import CONSTRAINED, FREE
from server.engine.scheduling.pace import Pace
from server.engine.scheduling.plan import Plan, Slice, chunk, draft_room, without_draft
from server.engine.sequence import Phase, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.engine.kv_cache.prefix_store import StoredBeginning
    from server.engine.kv_cache.residency import Residency
    from server.engine.sampling.draft import Drafter

# A step of prompts alone only delays who comes next.
STEP_ALONE_S = 2.0
# Cells that a sequence must find for its answer beyond its prompt: with fewer, it is soon preempted again.
HEADROOM = 128
# A prefix that another sequence is prefilling is waited for when it saves at least this many tokens.
SINGLE_FLIGHT_GAIN = 32
# A prompt passed over this often by shorter ones goes first.
MAX_PASSED_OVER = 8


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first `n` tokens of a sequence, in memory: in a running sequence's slot, or in the prefix tree."""

    n: int
    slot: int | None = None
    match: Match = NO_MATCH


class Scheduler:
    """Plans steps for at most `n_parallel` running sequences of `n_batch` tokens in all, `n_draft` of them drafted.

    A step gives `n_logits` rows of logits at most.
    """

    def __init__(
        self,
        residency: Residency,
        drafter: Drafter,
        *,
        n_parallel: int,
        n_batch: int,
        n_draft: int,
        n_logits: int,
        n_prefixes: int,
        max_itl_s: float,
        shares_prefixes: bool,
    ) -> None:
        self._residency = residency
        self.prefixes = PrefixTree(residency, max_nodes=n_prefixes if shares_prefixes else 0)
        self._drafter = drafter
        self._n_parallel = n_parallel
        self._n_batch = n_batch
        self._n_draft = n_draft
        self._n_logits = n_logits
        self._shares_prefixes = shares_prefixes
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._is_squeezed = False
        self._is_decodes_turn = True
        self._max_itl_s = max_itl_s
        self.pace = Pace()
        self.n_restored = 0  # tokens that came from the store

    @property
    def has_work(self) -> bool:
        """Whether any sequence is not ended, and waits for nothing but its turn."""
        return bool(self.running) or any(_is_ready(sequence) for sequence in self.waiting)

    def add(self, sequence: Sequence) -> None:
        """Put a new sequence at the end of the queue."""
        self.waiting.append(sequence)

    def schedule(self) -> Plan:
        """Choose this step's tokens, and reserve their cells."""
        self._admit()
        while True:
            is_prompts_turn = not self._is_decodes_turn
            slices = (self._prefill() or self._decodes()) if is_prompts_turn else (self._decodes() or self._prefill())
            self._is_decodes_turn = is_prompts_turn
            if slices or not self.running:
                return Plan(tuple(slices))
            # Prompts that were admitted together have filled memory between them: all wait for one another.
            self._preempt_youngest()

    def complete(self, plan: Plan) -> None:
        """Record that a plan was evaluated, its drafts included; `accept_draft` says what of them is true."""
        for planned in plan.slices:
            planned.sequence.n_computed = planned.stop
            planned.sequence.n_decode_steps += planned.sequence.phase is Phase.DECODING

    def accept_draft(self, planned: Slice, n_accepted: int) -> None:
        """Keep the first `n_accepted` tokens of an evaluated draft in memory and drop the rest of it."""
        sequence = planned.sequence
        self._drafter.learn(planned.n_match, len(planned.draft), n_accepted, _kind_of_draft(sequence))
        if planned.is_expected:
            sequence.n_expected += n_accepted
            sequence.n_unexpected += len(planned.draft) - n_accepted
        if sequence.phase is Phase.ENDED:
            return  # parked already, without its draft
        sequence.n_computed = planned.stop + n_accepted
        if n_accepted == len(planned.draft):
            return
        assert sequence.slot is not None
        if not self._residency.trim(sequence.slot, sequence.n_computed):
            self._preempt(sequence)

    def roll_back(self, plan: Plan) -> None:
        """Undo the reservations of a plan that was not evaluated, whatever part of it reached memory."""
        for planned in plan.slices:
            if planned.sequence.slot is not None and not self._residency.trim(planned.sequence.slot, planned.start):
                self._preempt(planned.sequence)

    def relieve(self) -> bool:
        """Free memory after the runner found none. False: one sequence is left and it does not fit.

        Nobody is admitted then before somebody ends: the ledger does not know what the runner lacked.
        """
        self._is_squeezed = True
        if self.prefixes.evict():
            return True
        if len(self.running) <= 1:
            return False
        self._preempt_youngest()
        return True

    def end(self, sequence: Sequence) -> None:
        """Take a sequence out; what it computed stays in memory as an idle prefix."""
        self._drafter.remember(sequence.tokens, sequence.n_prompt)
        if sequence.phase is Phase.WAITING:
            self.waiting.remove(sequence)
        elif sequence.phase is not Phase.ENDED:
            self.running.remove(sequence)
            self._park(sequence)
        sequence.phase = Phase.ENDED
        self._is_squeezed = False

    def n_known(self, sequence: Sequence) -> int:
        """How many of a sequence's first tokens memory holds, or will when a running prompt is evaluated."""
        coming = (common_prefix(sequence.tokens, running.tokens) for running in self._sharing())
        return max(self._longest_beginning(sequence).n, *coming, 0)

    def export_prefix(self, sequence: Sequence, n: int) -> bytes | None:
        """The state of a running sequence's first `n` tokens; None if the model cannot or no slot is free."""
        if not self._shares_prefixes or sequence.slot is None or not self._residency.has_free_slot:
            return None
        slot = self._residency.open_slot()
        try:
            return self._residency.save(slot) if self._residency.share(sequence.slot, slot, n) else None
        finally:
            self._residency.close_slot(slot)

    def check(self) -> None:
        """Raise `EngineError` unless the ledger, the runner and the sequences agree. Between steps only."""
        expected = self.prefixes.spans()
        for sequence in self.running:
            assert sequence.slot is not None
            expected[sequence.slot] = 0, sequence.n_computed
        self._residency.check(expected)
        self.prefixes.check()

    def _decodes(self) -> list[Slice]:
        slices: list[Slice] = []
        room = self._n_batch
        for sequence in tuple(self.running):  # oldest first: a victim is younger, so not planned yet
            if sequence.phase is not Phase.DECODING:
                continue
            n = min(sequence.n_pending, room)
            if n and self._reserve(sequence, n):
                slices.append(without_draft(sequence, n))
                room -= n
        return self._with_drafts(slices, room)

    def _with_drafts(self, slices: list[Slice], room: int) -> list[Slice]:
        """The slices with drafts behind those that reach their sequences' ends, where they are worth their time."""
        room = min(room, self._n_draft if self._shares_prefixes else 0)  # a rejected draft must be trimmed
        n_rows = sum(planned.n_tokens for planned in slices)
        n_sure = sum(planned.reaches_end for planned in slices)
        drafted = []
        for planned in slices:
            whole = self._with_draft(planned, room, n_rows, n_sure) if planned.reaches_end else planned
            room -= len(whole.draft)
            n_rows += len(whole.draft)
            drafted.append(whole)
        return drafted

    def _with_draft(self, planned: Slice, n_max: int, n_rows: int, n_sure: int) -> Slice:
        sequence = planned.sequence
        n_max = min(n_max, sequence.n_left - 1, self._residency.n_free)
        found = self._drafter.find(sequence.tokens, n_max, sequence.expected)
        draft, n_match = found.tokens, found.n_match
        if sequence.constraint is not None:
            draft = draft[: sequence.constraint.n_valid(draft.tolist())]
        draft = self._drafter.worth(
            draft, n_match, n_sure, lambda n: self.pace.seconds(n_rows + n), _kind_of_draft(sequence)
        )
        if not len(draft):
            return planned
        assert sequence.slot is not None
        self._residency.extend(sequence.slot, len(draft))
        return dataclasses.replace(planned, draft=draft, n_match=n_match, is_expected=found.is_expected)

    def _reserve(self, sequence: Sequence, n: int) -> bool:
        """Get `n` cells for a running sequence. False if it was the youngest and had to go itself."""
        while self._residency.n_free < n:
            if self.prefixes.evict():
                continue
            self._preempt_youngest()
            if sequence.phase is Phase.WAITING:
                return False
        assert sequence.slot is not None
        self._residency.extend(sequence.slot, n)
        return True

    def _prefill(self) -> list[Slice]:
        """A chunk of one prompt, the shortest unless another was passed over for long, and whole ones that fit beside.

        Rows above `MIN_CHUNK` cost little each: what is left of prompts after a shared prefix is evaluated together.
        """
        is_alone = all(sequence.phase is Phase.PREFILLING for sequence in self.running)
        room = min(self._n_batch, self.pace.rows(STEP_ALONE_S if is_alone else self._max_itl_s))
        prompts = [sequence for sequence in self.running if sequence.phase is Phase.PREFILLING]
        prompts.sort(key=lambda sequence: (sequence.n_passed_over < MAX_PASSED_OVER, sequence.n_pending))
        if prompts and prompts[0].weighs:
            room = min(room, self._n_logits)
        chosen: list[tuple[Sequence, int]] = []
        for sequence in prompts:
            wanted = chunk(sequence.n_pending, room)
            if chosen and (wanted < sequence.n_pending or sequence.weighs or chosen[0][0].weighs):
                continue
            while self._residency.n_free < wanted and self.prefixes.evict():
                pass
            n = wanted if chosen else min(wanted, self._residency.n_free)
            if 0 < n <= self._residency.n_free:
                assert sequence.slot is not None
                self._residency.extend(sequence.slot, n)
                chosen.append((sequence, n))
                room -= n
        if not chosen:
            return []
        taken = {sequence.id for sequence, _ in chosen}
        for sequence in prompts:
            sequence.n_passed_over = 0 if sequence.id in taken else sequence.n_passed_over + 1
        slices = [without_draft(sequence, n) for sequence, n in chosen]
        if len(slices) > 1 or chosen[0][0].weighs:
            return slices
        return self._with_drafts(slices, draft_room(chosen[0][1], self._n_batch))

    def _admit(self) -> None:
        if self._is_squeezed and self.running:
            return
        passed_over: set[int] = set()
        while len(self.running) < self._n_parallel and (sequence := self._next_waiting(passed_over)) is not None:
            beginning = self._longest_beginning(sequence)
            if self._waits_for_another(sequence, beginning.n):
                passed_over.add(sequence.id)
                continue
            if sequence.stored is not None:
                if not sequence.stored.has_arrived:
                    passed_over.add(sequence.id)
                    continue
                if self._import(sequence, sequence.stored, beginning):
                    beginning = self._longest_beginning(sequence)
            if not self._allocate(sequence, beginning):
                return
            sequence.stored = None
            self._place(sequence, beginning)
            self.waiting.remove(sequence)
            self.running.append(sequence)
            self.running.sort(key=lambda running: running.id)
            sequence.phase = Phase.PREFILLING

    def _next_waiting(self, passed_over: set[int]) -> Sequence | None:
        """Whose turn it is: who was preempted, then the owner with the fewest running, then who came first."""
        n_running = Counter(running.terms.owner for running in self.running)
        candidates = (sequence for sequence in self.waiting if sequence.id not in passed_over)
        return min(candidates, key=lambda one: (not one.was_preempted, n_running[one.terms.owner]), default=None)

    def _longest_beginning(self, sequence: Sequence) -> Beginning:
        """The most of a sequence that memory holds; all but its last token, which is evaluated for its logits."""
        if not self._shares_prefixes or sequence.is_private:
            return Beginning(0)
        match = self.prefixes.match(sequence.tokens[:-1])
        best = Beginning(match.n, None, match)
        for running in self._sharing():
            n = common_prefix(sequence.tokens[:-1], running.tokens[: running.n_computed])
            if n > best.n:
                best = Beginning(n, running.slot)
        return best

    def _waits_for_another(self, sequence: Sequence, n_shared: int) -> bool:
        """Single flight: whether a running prompt is about to compute much more of this one's beginning."""
        if not self._shares_prefixes or sequence.is_private:
            return False
        longest = sequence.n_tokens - 1
        return any(
            min(common_prefix(sequence.tokens, other.tokens), longest)
            >= max(n_shared + SINGLE_FLIGHT_GAIN, other.n_computed + 1)
            for other in self._sharing()
            if other.phase is Phase.PREFILLING
        )

    def _sharing(self) -> Iterator[Sequence]:
        """The running sequences whose beginnings others may begin with."""
        return (running for running in self.running if not running.is_private)

    def _import(self, sequence: Sequence, stored: StoredBeginning, beginning: Beginning) -> bool:
        """Take a stored prefix into memory, in place of others, where it and the sequence behind it fit.

        False, and no prefix evicted for it, where they do not or memory knows most of it by now. False too where the
        state turns out not to be one of this context.
        """
        tokens, state = stored.tokens, stored.state
        if state is None or stored.n < beginning.n + MIN_TOKENS:
            return False
        n_room = self._residency.n_free + self.prefixes.reclaimable(beginning.match)
        if n_room < len(tokens) + self._n_needed(sequence, stored.n):
            return False
        while self._residency.n_free < len(tokens) or not self._residency.has_free_slot:
            if not self.prefixes.evict(beginning.match.path):
                return False
        slot = self._residency.open_slot()
        if not self._residency.restore(slot, state, len(tokens)):
            self._residency.close_slot(slot)
            return False
        self.prefixes.adopt(slot, tokens, min(stored.n, sequence.n_prefix))
        self.n_restored += stored.n
        return True

    def _n_needed(self, sequence: Sequence, n_known: int) -> int:
        """Cells for a sequence of which `n_known` tokens are in memory, beside all that is promised to others."""
        promised = sum(running.n_pending for running in self.running)
        return sequence.n_tokens + min(HEADROOM, sequence.n_left) - n_known + promised

    def _allocate(self, sequence: Sequence, beginning: Beginning) -> bool:
        """Evict prefixes until the sequence's own tokens fit beside all that is promised to others."""
        needed = self._n_needed(sequence, beginning.n)
        if self._residency.n_free + self.prefixes.reclaimable(beginning.match) < needed:
            return False
        while self._residency.n_free < needed:
            if not self.prefixes.evict(beginning.match.path) and not self.prefixes.trim(beginning.match):
                return False
        return True

    def _place(self, sequence: Sequence, beginning: Beginning) -> None:
        """Give a sequence a slot and begin it with what memory holds already."""
        slot = sequence.slot = self._residency.open_slot()
        if beginning.slot is None:
            sequence.n_computed = self.prefixes.copy_to(beginning.match, slot)
        else:
            sequence.n_computed = beginning.n if self._residency.share(beginning.slot, slot, beginning.n) else 0
        if sequence.n_cached is None:
            sequence.n_cached = min(sequence.n_computed, sequence.n_prompt)

    def _park(self, sequence: Sequence) -> None:
        slot, sequence.slot = sequence.slot, None
        assert slot is not None
        if not sequence.is_private and self._residency.trim(slot, sequence.n_computed):
            self.prefixes.adopt(slot, sequence.tokens[: sequence.n_computed], sequence.n_prefix)
        else:
            self._residency.close_slot(slot)

    def _preempt_youngest(self) -> None:
        """Put the youngest running sequence back in the queue."""
        assert len(self.running) > 1, "a sequence alone fits: it is no longer than the context"
        self._preempt(self.running[-1])

    def _preempt(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        self.running.remove(sequence)
        self._residency.close_slot(sequence.slot)
        sequence.slot = None
        sequence.n_computed = 0
        sequence.phase = Phase.WAITING
        sequence.was_preempted = True
        self.waiting.appendleft(sequence)


def _is_ready(sequence: Sequence) -> bool:
    """Whether a waiting sequence can be admitted, or ended: no stored prefix of it is on its way."""
    return sequence.stored is None or sequence.stored.has_arrived


def _kind_of_draft(sequence: Sequence) -> int:
    return FREE if sequence.constraint is None else CONSTRAINED
