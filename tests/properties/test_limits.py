"""Conservation: whatever the order of events, every node carries exactly what its drawdowns hold and use."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.drawdowns import AlreadyApplied, Input, State, after_repayment, repay
from services.credit.domain.limits import LimitExceeded, Node, hold
from services.credit.domain.paths import Level, Step
from services.credit.operations.drawdown_rows import Drawdown, Locked
from shared.values.money import Money

HOLDING = {State.HELD, State.REFERRED, State.APPROVED, State.CANCELLING}
# Two lines of one programme; the group carries a share of the second, as a supported distributor's.
PATHS = (
    (Step(Level.GROUP, "group"), Step(Level.PROGRAMME, "programme"), Step(Level.LINE, "line/a")),
    (Step(Level.GROUP, "group", 333_333), Step(Level.PROGRAMME, "programme"), Step(Level.LINE, "line/b")),
)
CUTS = ("group", "programme", "line/a", "line/b")
INPUTS = [each for each in Input if each is not Input.CLOSED]


def _drawdown(number: int, line: int, exposure: int, *, purchase: bool) -> Drawdown:
    principal = max(1, exposure * 8 // 10) if purchase else exposure
    # What a drawdown says beside its amounts moves no limit.
    said: dict[str, Any] = dict.fromkeys(Drawdown.__slots__, "")
    amounts = dict.fromkeys(("disbursed_minor", "outstanding_minor", "used_minor", "fee_minor"), 0)
    return Drawdown(
        **said
        | amounts
        | {
            "drawdown_id": f"w{number}",
            "state": State.HELD,
            "form": "purchase" if purchase else "loan",
            "currency": "CNY",
            "principal_minor": principal,
            "face_minor": exposure,
            "exposure_minor": exposure,
            "path": PATHS[line],
        }
    )


def _conserved(locked: Locked) -> None:
    held: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for each in locked.drawdowns.values():
        for step in each.path:
            held[step.node_id] += step.carries(each.exposure_minor) if each.state in HOLDING else 0
            used[step.node_id] += step.carries(each.used_minor)
    for node in locked.nodes.values():
        assert (node.held, node.utilised) == (held[node.node_id], used[node.node_id]), node


def _is_refused(nodes: dict[str, Node], drawdown: Drawdown) -> bool:
    try:
        hold(nodes, drawdown.path, exposure=Money(drawdown.exposure_minor, "CNY"))
    except LimitExceeded:
        return True
    return False


def _happen(locked: Locked, drawdown: Drawdown, happened: Input) -> None:
    if happened is Input.DISBURSED and drawdown.state in {State.APPROVED, State.CANCELLING, State.RELEASED}:
        drawdown.disbursed_minor = drawdown.outstanding_minor = drawdown.principal_minor
        drawdown.used_minor = drawdown.exposure_minor
    before = drawdown.state
    if isinstance(locked.advance(drawdown, happened), AlreadyApplied):
        assert drawdown.state is before


def _pay(locked: Locked, drawdown: Drawdown, principal: int) -> None:
    if drawdown.state in {State.UTILISED, State.REPAID}:
        found = repay(
            exposure_minor=drawdown.exposure_minor,
            disbursed_minor=drawdown.disbursed_minor,
            outstanding_minor=drawdown.outstanding_minor,
            used_minor=drawdown.used_minor,
            principal_minor=principal,
        )
        locked.move(drawdown, found.move)
        drawdown.outstanding_minor, drawdown.used_minor = found.outstanding_minor, found.used_minor
        drawdown.state = after_repayment(drawdown.state, outstanding_minor=found.outstanding_minor)


@given(data=st.data())
def test_every_node_carries_exactly_what_its_drawdowns_hold_and_use(data: st.DataObject) -> None:
    nodes = {name: Node(name, data.draw(st.integers(0, 3_000)), 0, 0) for name in CUTS}
    locked = Locked({}, nodes)
    for number in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["draw", "draw", "happen", "happen", "happen", "pay", "cut"]))
        if action == "draw":
            line, exposure = data.draw(st.integers(0, 1)), data.draw(st.integers(1, 1_000))
            drawdown = _drawdown(number, line, exposure, purchase=data.draw(st.booleans()))
            before = {name: (node.held, node.available) for name, node in nodes.items()}
            if _is_refused(nodes, drawdown):
                assert {name: (node.held, node.available) for name, node in nodes.items()} == before
            else:
                locked.drawdowns[drawdown.drawdown_id] = drawdown
                assert all(step.carries(exposure) <= before[step.node_id][1] for step in drawdown.path)
                assert all(nodes[step.node_id].shortfall == 0 for step in drawdown.path if step.carries(exposure))
        elif action == "cut":
            nodes[data.draw(st.sampled_from(CUTS))].sanctioned = data.draw(st.integers(0, 3_000))
        elif locked.drawdowns:
            drawdown = data.draw(st.sampled_from(list(locked.drawdowns.values())))
            if action == "happen":
                _happen(locked, drawdown, data.draw(st.sampled_from(INPUTS)))
            else:
                _pay(locked, drawdown, data.draw(st.integers(-500, 1_000)))
        _conserved(locked)


@given(data=st.data())
def test_a_drawdown_that_ended_leaves_nothing_behind(data: st.DataObject) -> None:
    nodes = {name: Node(name, 10_000, 0, 0) for name in CUTS}
    drawdown = _drawdown(1, data.draw(st.integers(0, 1)), data.draw(st.integers(1, 9_999)), purchase=False)
    locked = Locked({"w1": drawdown}, nodes)
    hold(nodes, drawdown.path, exposure=Money(drawdown.exposure_minor, "CNY"))
    for happened in data.draw(st.lists(st.sampled_from(INPUTS), max_size=8)):
        _happen(locked, drawdown, happened)
    if drawdown.state is State.UTILISED:
        for principal in data.draw(st.lists(st.integers(1, 5_000), max_size=5)):
            _pay(locked, drawdown, principal)
        _pay(locked, drawdown, drawdown.outstanding_minor)
    elif drawdown.state is not State.RELEASED:
        _happen(locked, drawdown, Input.CANCEL)
        _happen(locked, drawdown, Input.FAILED)
    assert {(node.held, node.utilised) for node in nodes.values()} == {(0, 0)}
