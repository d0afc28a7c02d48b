"""The life of a drawdown, row by row of DOMAIN §5's table, and what repayment moves (R11)."""

from __future__ import annotations

import pytest

from services.credit.domain.drawdowns import (
    AlreadyApplied,
    Executed,
    Input,
    State,
    after_repayment,
    outside_policy,
    repay,
    step,
)
from services.credit.domain.limits import Move

HOLDING = {State.HELD, State.REFERRED, State.APPROVED, State.CANCELLING}
TABLE = {
    (State.HELD, Input.ASSIGNED): State.APPROVED,
    (State.HELD, Input.ASSIGNED_OUTSIDE_POLICY): State.REFERRED,
    (State.HELD, Input.REFUSED): State.RELEASED,
    (State.HELD, Input.CANCEL): State.RELEASED,
    (State.HELD, Input.BLOCK): State.RELEASED,
    (State.HELD, Input.WITHDRAWN): State.RELEASED,
    (State.HELD, Input.EXPIRE): State.RELEASED,
    (State.REFERRED, Input.APPROVE): State.APPROVED,
    (State.REFERRED, Input.DECLINE): State.RELEASED,
    (State.REFERRED, Input.CANCEL): State.RELEASED,
    (State.REFERRED, Input.BLOCK): State.RELEASED,
    (State.REFERRED, Input.WITHDRAWN): State.RELEASED,
    (State.REFERRED, Input.REFUSED): State.RELEASED,
    (State.REFERRED, Input.EXPIRE): State.RELEASED,
    (State.APPROVED, Input.DISBURSED): State.UTILISED,
    (State.APPROVED, Input.FAILED): State.RELEASED,
    (State.APPROVED, Input.CANCEL): State.CANCELLING,
    (State.APPROVED, Input.BLOCK): State.CANCELLING,
    (State.APPROVED, Input.WITHDRAWN): State.CANCELLING,
    (State.CANCELLING, Input.FAILED): State.RELEASED,
    (State.CANCELLING, Input.DISBURSED): State.UTILISED,
    (State.RELEASED, Input.DISBURSED): State.UTILISED,
    (State.UTILISED, Input.CLOSED): State.REPAID,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("happened", Input)
def test_every_row_of_the_table_and_nothing_else_moves_a_drawdown(state: State, happened: Input) -> None:
    found = step(state, happened, exposure_minor=70)
    following = TABLE.get((state, happened))
    if following is None:
        assert found == AlreadyApplied()
        return
    assert isinstance(found, Executed)
    assert found.state is following
    if happened is Input.CLOSED:
        assert found.move == Move()
        return
    assert found.move.held_after - found.move.held_before == 70 * ((following in HOLDING) - (state in HOLDING))
    assert found.move.utilised_after - found.move.utilised_before == 70 * (following is State.UTILISED)


def test_an_approved_drawdown_is_never_released_by_a_timer() -> None:
    assert step(State.APPROVED, Input.EXPIRE, exposure_minor=1) == AlreadyApplied()
    assert step(State.CANCELLING, Input.EXPIRE, exposure_minor=1) == AlreadyApplied()


@pytest.mark.parametrize(
    ("state", "incident"),
    [
        (State.APPROVED, None),
        (State.CANCELLING, "disbursed_while_cancelling"),
        (State.RELEASED, "disbursed_after_release"),
    ],
)
def test_r6_money_that_went_out_against_our_will_is_an_incident(state: State, incident: str | None) -> None:
    found = step(state, Input.DISBURSED, exposure_minor=1)
    assert isinstance(found, Executed)
    assert found.incident == incident


def _repay(principal: int, *, outstanding: int = 80, used: int = 80, exposure: int = 80) -> tuple[int, int, Move]:
    found = repay(
        exposure_minor=exposure,
        disbursed_minor=80,
        outstanding_minor=outstanding,
        used_minor=used,
        principal_minor=principal,
    )
    return found.outstanding_minor, found.used_minor, found.move


def test_r11_repaid_principal_lowers_use_by_as_much() -> None:
    assert _repay(30) == (50, 50, Move(utilised_before=80, utilised_after=50))


def test_r11_a_purchases_face_shrinks_in_proportion_and_ends_at_nothing() -> None:
    assert _repay(20, used=100, exposure=100)[1] == 75
    assert _repay(80, used=100, exposure=100)[1] == 0


def test_r11_a_reversal_uses_again_and_never_fails() -> None:
    assert _repay(-30, outstanding=50, used=50) == (80, 80, Move(utilised_before=50, utilised_after=80))
    assert after_repayment(State.REPAID, outstanding_minor=30) is State.UTILISED
    assert after_repayment(State.REPAID, outstanding_minor=0) is State.REPAID
    assert after_repayment(State.UTILISED, outstanding_minor=0) is State.UTILISED


def test_inside_policy_nobody_need_look() -> None:
    assert outside_policy(principal_minor=5, auto_approve_minor=5) == []
    assert outside_policy(principal_minor=6, auto_approve_minor=5) == ["above_automatic_approval"]
    assert outside_policy(principal_minor=1, auto_approve_minor=5, warnings=("odd",)) == ["odd"]
