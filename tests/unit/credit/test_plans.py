"""Repayment plans of a loan that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from services.credit.domain.plans import InvalidPlan, Kind, Lent, due_dates, plan
from shared.values.periods import DayCount

LENT = Lent(
    principal=10_000_000, rate=120_000, start=date(2026, 9, 1), maturity=date(2026, 11, 30), day_count=DayCount.ACT_360
)


def test_r2_a_bullet_pays_everything_at_maturity() -> None:
    (only,) = plan("bullet", LENT)
    assert (only.due_date, only.principal, only.interest, only.outstanding) == (LENT.maturity, 10_000_000, 300_000, 0)


def test_equal_principal_pays_interest_on_what_is_left() -> None:
    found = plan("equal_principal", LENT, instalments=3)
    assert [each.due_date for each in found] == [date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 30)]
    assert [each.principal for each in found] == [3_333_333, 3_333_333, 3_333_334]
    # 30 days of 100,000.00, 66,666.67 and 33,333.34 at 12%: 1,000.00, 666.6667 and 333.3334, carried.
    assert [each.interest for each in found] == [100_000, 66_667, 33_333]


def test_equal_instalments_are_the_annuity_and_the_last_takes_the_residue() -> None:
    found = plan("equal_instalments", LENT, instalments=3)
    # 100,000.00 × 1% / (1 − 1.01⁻³) = 34,002.21
    assert [each.total for each in found] == [3_400_221, 3_400_221, 3_400_221]
    assert sum(each.principal for each in found) == 10_000_000


def test_without_interest_equal_instalments_are_equal_principal() -> None:
    free = replace(LENT, rate=0)
    assert plan("equal_instalments", free, instalments=4) == plan("equal_principal", free, instalments=4)


@pytest.mark.parametrize(("kind", "instalments"), [("bullet", 2), ("equal_principal", 0), ("equal_principal", 61)])
def test_a_plan_that_cannot_be_is_refused(kind: Kind, instalments: int) -> None:
    with pytest.raises(InvalidPlan):
        plan(kind, LENT, instalments=instalments)


def test_there_are_no_more_instalments_than_days_or_cents() -> None:
    with pytest.raises(InvalidPlan):
        due_dates(start=LENT.start, maturity=date(2026, 9, 3), instalments=3)
    with pytest.raises(InvalidPlan):
        plan("equal_principal", replace(LENT, principal=2), instalments=3)
