"""Repayment plans of a loan that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from services.credit.domain.plans import (
    AskedPlan,
    InvalidPlan,
    Kind,
    Lent,
    PlanNotOffered,
    PlanRules,
    add_months,
    by_dates,
    due_dates,
    monthly_dates,
    plan,
    planned,
    still_to_pay,
)
from shared.values.calendars import BusinessCalendar, Roll
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


RULES = PlanRules(
    kinds=frozenset({"equal_principal", "interest_only"}),
    longest_days=180,
    period_months=1,
    roll=Roll.FOLLOWING,
    calendar=BusinessCalendar("CN"),
    early_repayment="shorten",
)


def test_interest_only_pays_the_principal_at_the_end() -> None:
    found = plan("interest_only", LENT, instalments=3)
    assert [(each.principal, each.interest) for each in found] == [(0, 100_000), (0, 100_000), (10_000_000, 100_000)]


@pytest.mark.parametrize(
    ("start", "maturity", "instalments", "dates"),
    [
        # The same day of each month, or its last.
        (date(2026, 1, 31), date(2026, 4, 30), None, ["2026-02-28", "2026-03-31", "2026-04-30"]),
        # A last period of more than two weeks is one of its own, a shorter one goes with the one before.
        (date(2026, 3, 2), date(2026, 5, 31), None, ["2026-04-02", "2026-05-02", "2026-05-31"]),
        (date(2026, 3, 2), date(2026, 6, 5), None, ["2026-04-02", "2026-05-02", "2026-06-05"]),
        (date(2026, 3, 2), date(2026, 6, 5), 4, ["2026-04-02", "2026-05-02", "2026-06-02", "2026-06-05"]),
        (date(2026, 3, 2), date(2026, 3, 9), None, ["2026-03-09"]),
    ],
)
def test_a_period_of_months_keeps_the_day_of_the_month(
    start: date, maturity: date, instalments: int | None, dates: list[str]
) -> None:
    found = monthly_dates(start=start, maturity=maturity, months=1, instalments=instalments)
    assert [each.isoformat() for each in found] == dates


def test_a_number_of_instalments_that_the_period_does_not_give_is_refused() -> None:
    for number in (1, 2, 5):
        with pytest.raises(InvalidPlan):
            monthly_dates(start=date(2026, 3, 2), maturity=date(2026, 6, 5), months=1, instalments=number)
    assert add_months(date(2026, 10, 31), 4) == date(2027, 2, 28)


def test_r15_a_due_date_that_is_no_business_day_rolls_and_interest_runs_until_it() -> None:
    # 1 to 7 October is a holiday, and 31 October a Saturday.
    lent = Lent(10_000_000, 120_000, date(2026, 9, 1), date(2026, 10, 31), DayCount.ACT_360)
    found = planned(AskedPlan("equal_principal"), RULES, lent, product="p")
    assert [each.due_date for each in found.instalments] == [date(2026, 10, 8), date(2026, 11, 2)]
    assert (found.instalments[0].interest, found.maturity) == (37 * 10_000_000 * 12 // 36_000, date(2026, 11, 2))


def test_two_dates_on_one_business_day_are_no_plan() -> None:
    even = replace(RULES, period_months=None)
    holiday = Lent(10_000_000, 120_000, date(2026, 9, 30), date(2026, 10, 6), DayCount.ACT_360)
    with pytest.raises(InvalidPlan) as refused:
        planned(AskedPlan("equal_principal", 3), even, holiday, product="p")
    assert refused.value.reason == "two dates fall on one business day"


@pytest.mark.parametrize(
    ("kind", "rules", "reason"),
    [
        ("equal_instalments", RULES, "not_this_kind"),
        ("equal_principal", None, "no_plan"),
        ("equal_principal", replace(RULES, longest_days=89), "longer_than_its_plans"),
    ],
)
def test_what_the_product_does_not_offer_is_refused_with_the_reason(
    kind: Kind, rules: PlanRules | None, reason: str
) -> None:
    with pytest.raises(PlanNotOffered) as refused:
        planned(AskedPlan(kind), rules, LENT, product="p")
    assert refused.value.reason == reason
    assert planned(AskedPlan("bullet"), rules, LENT, product="p").maturity == LENT.maturity


def test_what_is_still_to_pay_of_a_plan_are_its_later_instalments() -> None:
    found = plan("equal_principal", LENT, instalments=3)
    parts = [(each.due_date, each.principal) for each in found]
    first = found[0]
    left = still_to_pay(LENT, parts, outstanding=first.outstanding, on=first.due_date)
    assert [each.principal for each in left] == [3_333_333, 3_333_334]
    assert [each.interest for each in left] == [66_667, 33_333]
    assert still_to_pay(LENT, parts, outstanding=0, on=first.due_date) == []
    interest = by_dates("interest_only", LENT, [each.due_date for each in found])
    parts = [(each.due_date, each.principal) for each in interest]
    assert len(still_to_pay(LENT, parts, outstanding=LENT.principal, on=date(2026, 10, 2))) == 2
