"""What nodes carried at a past instant: the last telling event of each drawdown, undone step by step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.drawdowns import repay
from services.credit.domain.limits import Move, Node
from services.credit.domain.past import (
    ENDS,
    HOLDS,
    RELEASES,
    REPAYS,
    SILENT,
    TELLING,
    USES,
    Carried,
    Moved,
    carried,
    undo,
)
from services.credit.domain.paths import Level, Step
from shared.events.credit import DrawdownEvent

PATH = (Step(Level.GROUP, "group", 333_333), Step(Level.LINE, "line"))


def test_each_telling_event_says_what_the_path_carries() -> None:
    said = {last: carried(last, exposure=90, disbursed=60, outstanding=20) for last in (None, *TELLING)}
    assert {said[last] for last in HOLDS} == {said["drawdown.cancellation_requested.v1"]} == {Carried(held=90)}
    assert said[USES] == Carried(utilised=90)
    assert said[REPAYS] == Carried(utilised=30)
    assert said[None] == said[RELEASES] == said[ENDS] == Carried()


def test_every_event_of_a_drawdown_is_a_telling_or_a_silent_one() -> None:
    assert {each.type for each in DrawdownEvent.__subclasses__()} == {*TELLING, *SILENT}


@given(
    exposure=st.integers(1, 10**12),
    disbursed=st.integers(1, 10**12),
    repaid=st.lists(st.integers(1, 10**12), max_size=5),
    held=st.booleans(),
)
def test_undoing_all_that_happened_since_gives_the_nodes_that_were(
    exposure: int, disbursed: int, repaid: list[int], *, held: bool
) -> None:
    before = {"group": Node("group", 7, 5, 11), "line": Node("line", 8, 0, 3), "other": Node("other", 1, 1, 1)}
    after = {name: Node(name, 0, node.held, node.utilised) for name, node in before.items()}
    moves = [Move(held_after=exposure)]
    now = Carried(held=exposure)
    if not held:
        moves.append(Move(held_before=exposure, utilised_after=exposure))
        outstanding, used = disbursed, exposure
        for principal in repaid:
            done = repay(
                exposure_minor=exposure,
                disbursed_minor=disbursed,
                outstanding_minor=outstanding,
                used_minor=used,
                principal_minor=principal,
            )
            moves.append(done.move)
            outstanding, used = done.outstanding_minor, done.used_minor
        now = Carried(utilised=used)
    for move in moves:
        for node_id, (more_held, more_used) in move.changes(PATH).items():
            after[node_id].held += more_held
            after[node_id].utilised += more_used
    moved = [Moved(PATH, Carried(), now)]
    assert undo(after, moved, sanctioned={"group": 7, "line": 8, "other": 1}) == before
