"""Whatever happens, in whatever order: every node carries exactly its drawdowns, and no hold takes it above its limit.

The machine plays holds, all that can become of a drawdown, repayments and their reversals, limit cuts and propagation
on two programmes of one anchor group, with lines of two tiers and a distributor's of which the group bears a share. One
firm has a line in each programme: its claims on the anchor get a limit as a pair at some time, and its cover, some of
it for one line only, carries what its documents do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from services.credit.domain import propagation
from services.credit.domain.covers import Cover, CoverState, Need, allocate
from services.credit.domain.drawdowns import AlreadyApplied, Input, State, after_repayment, repay, step
from services.credit.domain.limits import LimitExceeded, Move, Node, available_on, hold
from services.credit.domain.paths import Level, Place, Step, line_node, pair_node, path_of, programme_node
from services.credit.domain.support import Support, on_cover
from shared.values.money import Money

_HOLDING = frozenset({State.HELD, State.REFERRED, State.APPROVED, State.CANCELLING})
_PAYABLE = frozenset({State.APPROVED, State.CANCELLING, State.RELEASED})
_TOP = 2_000


def _line(
    name: str, *, programme: str = "p", downstream: bool = False, tier: int = 1, support: int = 0, firm: str = ""
) -> Place:
    direction = "downstream" if downstream else "upstream"
    firm = firm or f"firm-{name}"
    return Place(name, programme, firm, "anchor", direction, tier, "CNY", not downstream, support)


LINES = (
    _line("a"),
    _line("b"),
    _line("c", tier=2),
    _line("d", downstream=True, support=333_333),
    _line("e", downstream=True, support=1),
    _line("f", programme="q"),
    _line("g", programme="q", firm="firm-a"),
)
# Both lines of one firm: a pair with the anchor, and cover of which some secures only the first.
FIRM = ("a", "g")
PAIR = Step(Level.PAIR, pair_node(seller_id="firm-a", obligor_id="anchor", currency="CNY"))


def _cover(name: str, line_ids: frozenset[str] | None) -> Cover:
    return Cover(
        cover_id=name,
        asset=name,
        kind="building",
        state=CoverState.REGISTERED,
        value_minor=0,
        valued_on=None,
        prior_minor=0,
        rank=1,
        secured_minor=0,
        valid_until=date.max,
        line_ids=line_ids,
    )


COVERS = (_cover("for-a", frozenset({"a"})), _cover("for-all", None))
PATHS = {each.line_id: path_of(each, obligor_id="anchor") for each in LINES}
COVER_NODES = sorted(Support("firm-a", "CNY", "a", COVERS, {}, 0).node_ids)
NODES = sorted({node.node_id for path in PATHS.values() for node in path})
MEMBERS = [each.line_id for each in LINES if each.programme_id == "p"]
LINE_NODES = {line_node(line_id=each.line_id) for each in LINES}


@dataclass(slots=True)
class Drawn:
    """A drawdown as the limits see it; a purchase carries more than its principal."""

    nth: int
    line_id: str
    path: tuple[Step, ...]
    exposure: int
    principal: int
    state: State = State.HELD
    disbursed: int = 0
    outstanding: int = 0
    used: int = 0

    @property
    def carried(self) -> int:
        return self.exposure if self.state in _HOLDING else self.used


def _propagate(*, limit: int, lines: Sequence[tuple[str, int, int, int, int]]) -> propagation.Propagation:
    """Share a limit: lines as (id, weight, ceiling, used, committed)."""
    return propagation.propagate(limit=limit, lines=[propagation.LineInput(*line) for line in lines])


class Limits(RuleBasedStateMachine):
    """Limit nodes and the drawdowns on them."""

    drawdowns: Bundle[Drawn] = Bundle("drawdowns")

    def __init__(self) -> None:
        super().__init__()
        self.nodes = {name: Node(name, 0, 0, 0) for name in (*NODES, *COVER_NODES)}
        self.drawn: list[Drawn] = []
        self.count = 0
        self.values = dict.fromkeys(("for-a", "for-all"), 0)

    @initialize(limits=st.fixed_dictionaries({name: st.integers(0, _TOP) for name in NODES}))
    def sanction(self, limits: dict[str, int]) -> None:
        for name, limit in limits.items():
            self.nodes[name].sanctioned = limit

    @rule(
        target=drawdowns,
        line_id=st.sampled_from(sorted(PATHS)),
        exposure=st.integers(1, _TOP),
        share=st.sampled_from([1_000, 800, 1]),
        exactly_what_is_left=st.booleans(),
    )
    def hold(self, line_id: str, exposure: int, share: int, *, exactly_what_is_left: bool) -> Any:
        path = self._path(line_id)
        if exactly_what_is_left:
            exposure = max(1, available_on(self.nodes, path))
        before = self._standing()
        fits = all(node.carries(exposure) <= self.nodes[node.node_id].available for node in path)
        refused = self._refusal(path, exposure)
        if refused is not None:
            assert not fits
            assert refused.available.amount_minor == self.nodes[refused.binding_node].available < exposure
            assert self._standing() == before, "a refusal left something behind"
            return multiple()
        assert fits
        assert all(self.nodes[node.node_id].shortfall == 0 for node in path if node.carries(exposure))
        return self._drawn(line_id, path, exposure, max(1, exposure * share // 1_000))

    @rule(
        target=drawdowns,
        line_id=st.sampled_from(FIRM),
        exposure=st.integers(1, _TOP),
        documents=st.integers(0, _TOP),
        exactly_what_is_left=st.booleans(),
    )
    def hold_on_cover(self, line_id: str, exposure: int, documents: int, *, exactly_what_is_left: bool) -> Any:
        """Draw what documents carry some of; the rest stands on cover, or is refused by whatever leaves too little."""
        support = self._support(line_id)
        above = min(documents, exposure - 1)
        if exactly_what_is_left:
            exposure = above + max(1, support.room(self.nodes))
        path = (*self._path(line_id), *support.steps(above=above))
        before, were_secured = self._standing(), self._all_secured()
        refused = self._refused_by_cover(support, exposure, above)
        if refused is not None:
            assert refused.available.amount_minor == support.room(self.nodes) < exposure - above
            # R10: what is refused could not have been secured, unless cover that fell leaves older loans short.
            more = Need("z", line_id, exposure - above)
            assert not were_secured or self._secured([*self._needs(), more]) < self._needed() + more.minor
            return multiple()
        if self._refusal(path, exposure) is not None:
            assert self._standing() == before, "a refusal left something behind"
            return multiple()
        made = self._drawn(line_id, path, exposure, exposure)
        assert not were_secured or self._all_secured(), "more was held than the covers can carry"
        return made

    @rule(value=st.integers(0, _TOP), name=st.sampled_from(["for-a", "for-all"]))
    def revalue(self, value: int, name: str) -> None:
        """Let a cover be registered, revalued, released: its firm's nodes are sanctioned what is left (R12)."""
        before = self._standing()
        self.values[name] = value
        (firm, own) = COVER_NODES
        self.nodes[firm].sanctioned = sum(self.values.values())
        self.nodes[own].sanctioned = sum(self.values.values())
        assert self._standing() == before

    @rule(limit=st.integers(0, _TOP))
    def limit_pair(self, limit: int) -> None:
        """Limit the pair, for the first time or again: what was drawn before is brought in, ended or not."""
        if PAIR.node_id not in self.nodes:
            node = self.nodes[PAIR.node_id] = Node(PAIR.node_id, limit, 0, 0)
            for each in self.drawn:
                if each.line_id in FIRM:
                    each.path = (*each.path, PAIR)
                    node.held += each.exposure if each.state in _HOLDING else 0
                    node.utilised += each.used
        self.nodes[PAIR.node_id].sanctioned = limit

    @rule(drawn=drawdowns, happened=st.sampled_from([each for each in Input if each is not Input.CLOSED]))
    def happen(self, drawn: Drawn, happened: Input) -> None:
        """Approve, confirm, cancel, expire, block, fail, in time or late, once or again."""
        before = self._standing()
        done = step(drawn.state, happened, exposure_minor=drawn.exposure)
        if isinstance(done, AlreadyApplied):
            return
        if happened is Input.DISBURSED:
            assert drawn.state in _PAYABLE
            drawn.disbursed = drawn.outstanding = drawn.principal
            drawn.used = drawn.exposure
        late = drawn.state is State.RELEASED
        drawn.state = done.state
        self._move(drawn, done.move)
        if not late:
            assert all(held + used <= sum(before[name]) for name, (held, used) in self._standing().items())

    @rule(drawn=drawdowns, principal=st.integers(-_TOP, _TOP))
    def repay(self, drawn: Drawn, principal: int) -> None:
        """Repay some principal; a negative amount is the reversal of a payment, and never fails (R11)."""
        if drawn.state not in {State.UTILISED, State.REPAID}:
            return
        principal = max(principal, drawn.outstanding - drawn.disbursed)
        found = repay(
            exposure_minor=drawn.exposure,
            disbursed_minor=drawn.disbursed,
            outstanding_minor=drawn.outstanding,
            used_minor=drawn.used,
            principal_minor=principal,
        )
        assert 0 <= found.used_minor <= drawn.exposure
        assert (found.used_minor <= drawn.used) if principal >= 0 else (found.used_minor >= drawn.used)
        drawn.outstanding, drawn.used = found.outstanding_minor, found.used_minor
        drawn.state = after_repayment(drawn.state, outstanding_minor=drawn.outstanding)
        self._move(drawn, found.move)

    @rule(drawn=drawdowns)
    def close(self, drawn: Drawn) -> None:
        if drawn.state is State.UTILISED and drawn.outstanding == 0:
            done = step(drawn.state, Input.CLOSED, exposure_minor=drawn.exposure)
            assert not isinstance(done, AlreadyApplied)
            drawn.state = done.state
            self._move(drawn, done.move)

    @rule(name=st.sampled_from(NODES), limit=st.integers(0, _TOP))
    def cut(self, name: str, limit: int) -> None:
        """Set a limit, below its use too: nothing that is held or used changes (R12)."""
        before, node = self._standing(), self.nodes[name]
        node.sanctioned = limit
        assert self._standing() == before
        over = node.held + node.utilised - limit
        assert (node.available, node.shortfall) == (max(0, -over), max(0, over))

    @rule(
        limit=st.integers(0, 3 * _TOP),
        weights=st.lists(st.integers(0, 900), min_size=len(MEMBERS), max_size=len(MEMBERS)),
        ceilings=st.lists(st.integers(0, _TOP), min_size=len(MEMBERS), max_size=len(MEMBERS)),
    )
    def propagate(self, limit: int, weights: list[int], ceilings: list[int]) -> None:
        """Let a programme's limit become its lines' anew, with what each has in use as its floor."""
        before = self._standing()
        use = {name: sum(before[line_node(line_id=name)]) for name in MEMBERS}
        lines = [
            (name, weight, ceiling, use[name], 0)
            for name, weight, ceiling in zip(MEMBERS, weights, ceilings, strict=True)
        ]
        found = _propagate(limit=limit, lines=lines)
        assert found.reserved <= max(limit, sum(use.values()))
        self.nodes[programme_node(programme_id="p")].sanctioned = limit
        for share in found.shares:
            assert share.reserved >= use[share.line_id]
            self.nodes[line_node(line_id=share.line_id)].sanctioned = share.cap
        assert self._standing() == before, "a propagation writes only what is sanctioned"

    @rule(drawn=consumes(drawdowns))
    def end(self, drawn: Drawn) -> None:
        """Let a drawdown come to its end, whatever it is at: it leaves nothing on its path."""
        for happened in (Input.CANCEL, Input.FAILED):
            self.happen(drawn, happened)
        self.repay(drawn, drawn.outstanding)
        self.close(drawn)
        assert drawn.state in {State.RELEASED, State.REPAID}
        assert drawn.used == 0
        self.drawn.remove(drawn)

    @invariant()
    def every_node_carries_exactly_its_drawdowns(self) -> None:
        held: Counter[str] = Counter()
        used: Counter[str] = Counter()
        for each in self.drawn:
            for place in each.path:
                held[place.node_id] += place.carries(each.exposure if each.state in _HOLDING else 0)
                used[place.node_id] += place.carries(each.used)
        for name, node in self.nodes.items():
            assert (node.held, node.utilised) == (held[name], used[name]), name
            assert node.held >= 0 <= node.utilised

    @invariant()
    def what_the_lines_carry_their_programme_carries_too(self) -> None:
        for programme in ("p", "q"):
            lines = [line_node(line_id=each.line_id) for each in LINES if each.programme_id == programme]
            node = self.nodes[programme_node(programme_id=programme)]
            assert node.held == sum(self.nodes[name].held for name in lines)
            assert node.utilised == sum(self.nodes[name].utilised for name in lines)

    @invariant()
    def a_limited_pair_carries_all_that_is_drawn_between_the_two(self) -> None:
        pair = self.nodes.get(PAIR.node_id)
        if pair is not None:
            lines = [self.nodes[line_node(line_id=name)] for name in FIRM]
            assert (pair.held, pair.utilised) == (sum(n.held for n in lines), sum(n.utilised for n in lines))

    def _path(self, line_id: str) -> tuple[Step, ...]:
        limited = line_id in FIRM and PAIR.node_id in self.nodes
        return (*PATHS[line_id], PAIR) if limited else PATHS[line_id]

    def _drawn(self, line_id: str, path: tuple[Step, ...], exposure: int, principal: int) -> Drawn:
        self.count += 1
        made = Drawn(self.count, line_id, path, exposure, principal)
        self.drawn.append(made)
        return made

    def _support(self, line_id: str) -> Support:
        return Support("firm-a", "CNY", line_id, COVERS, self.values, 0)

    def _needs(self) -> list[Need]:
        return [Need(f"{each.nth:06}", each.line_id, on_cover(each.path, each.carried)) for each in self.drawn]

    def _needed(self) -> int:
        return sum(each.minor for each in self._needs())

    def _secured(self, needs: Sequence[Need]) -> int:
        given = allocate(COVERS, self.values, needs)
        return sum(given.of_loan(each.drawdown_id) for each in needs)

    def _all_secured(self) -> bool:
        return self._secured(self._needs()) == self._needed()

    def _refused_by_cover(self, support: Support, exposure: int, above: int) -> LimitExceeded | None:
        try:
            support.check(self.nodes, minor=exposure - above, requested=Money(exposure, "CNY"))
        except LimitExceeded as refused:
            return refused
        return None

    def _refusal(self, path: Sequence[Step], exposure: int) -> LimitExceeded | None:
        try:
            hold(self.nodes, path, exposure=Money(exposure, "CNY"))
        except LimitExceeded as refused:
            return refused
        return None

    def _standing(self) -> dict[str, tuple[int, int]]:
        return {name: (node.held, node.utilised) for name, node in self.nodes.items()}

    def _move(self, drawn: Drawn, move: Move) -> None:
        for name, (held, utilised) in move.changes(drawn.path).items():
            self.nodes[name].held += held
            self.nodes[name].utilised += utilised


TestLimits = Limits.TestCase


def test_the_machine_plays_shared_nodes_and_shares_below_one() -> None:
    shares = {node.share for path in PATHS.values() for node in path if node.level is Level.GROUP}
    assert shares == {1_000_000, 333_333, 1}
    on = Counter(node.node_id for path in PATHS.values() for node in path)
    assert on["group/anchor/CNY"] == len(LINES)
    assert {on[name] for name in LINE_NODES} == {1}
    assert COVER_NODES == ["cover/firm-a/CNY", "cover/firm-a/CNY/a"]
