"""What a loan earns, with the figures of DOMAIN §7."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.settlement.domain.accrual import (
    Balance,
    Earned,
    Terms,
    after_receipt,
    daily,
    days_past_due,
    earned_through,
)
from shared.values.periods import DayCount

START = date(2026, 9, 1)
TERMS = Terms(
    form="loan",
    rate=120_000,
    penalty_rate=180_000,
    day_count=DayCount.ACT_360,
    start=START,
    maturity=START + timedelta(days=90),
    grace_days=3,
)
LENT = [Balance(START, 10_000_000)]


def _in(days: int) -> date:
    return START + timedelta(days=days)


def test_r1_the_first_day_counts_and_the_last_does_not() -> None:
    assert earned_through(TERMS, LENT, through=START).interest == 0
    assert earned_through(TERMS, LENT, through=date(2026, 10, 1)).interest == 100_000  # 30 days


def test_r2_100000_at_12_percent_for_90_days_is_3000() -> None:
    assert earned_through(TERMS, LENT, through=_in(90)) == Earned(interest=300_000)


@pytest.mark.parametrize(("day_count", "posted"), [(DayCount.ACT_365F, 17_877), (DayCount.ACT_360, 18_125)])
def test_r4_a_day_of_penalty_on_a_million(day_count: DayCount, posted: int) -> None:
    terms = replace(TERMS, rate=43_500, penalty_rate=65_250, day_count=day_count)
    lent = [Balance(START, 100_000_000)]
    first_after_grace = list(
        daily(terms, lent, posted=earned_through(terms, lent, through=_in(93)), start=_in(93), end=_in(94))
    )
    assert [day.earned for day in first_after_grace] == [Earned(penalty=posted)]


def test_r15_grace_bears_interest_but_no_penalty_and_then_penalty_takes_its_place() -> None:
    at_the_end_of_grace = earned_through(TERMS, LENT, through=_in(93))
    assert at_the_end_of_grace == Earned(interest=310_000, penalty=0)
    assert earned_through(TERMS, LENT, through=_in(95)) == Earned(interest=310_000, penalty=10_000)


def test_r15_days_past_due_run_from_maturity_and_grace_never_extends_it() -> None:
    assert days_past_due(due_date=TERMS.maturity, on=_in(90)) == 0
    assert days_past_due(due_date=TERMS.maturity, on=_in(92)) == 2
    assert days_past_due(due_date=TERMS.maturity, on=_in(80)) == 0


def test_r5_interest_on_overdue_interest_is_off() -> None:
    one, two = (earned_through(TERMS, LENT, through=_in(93 + days)).penalty for days in (50, 100))
    assert two == 2 * one


def test_r5_later_interest_runs_on_what_is_outstanding() -> None:
    left = after_receipt(LENT, value_date=_in(30), principal_minor=4_000_000)
    assert left == [Balance(START, 10_000_000), Balance(_in(30), 6_000_000)]
    assert earned_through(TERMS, left, through=_in(90)).interest == 100_000 + 120_000


def test_r17_early_repayment_stops_interest() -> None:
    left = after_receipt(LENT, value_date=_in(30), principal_minor=10_000_000)
    assert earned_through(TERMS, left, through=_in(90)).interest == 100_000


def test_a_second_receipt_of_the_same_day_replaces_the_balance_of_that_day() -> None:
    once = after_receipt(LENT, value_date=_in(30), principal_minor=1_000_000)
    assert after_receipt(once, value_date=_in(30), principal_minor=1_000_000)[1:] == [Balance(_in(30), 8_000_000)]


def test_a_purchase_earns_its_discount_by_day_until_maturity_and_no_interest() -> None:
    terms = replace(TERMS, form="purchase", discount_minor=300_001)
    assert earned_through(terms, LENT, through=_in(45)) == Earned(discount=150_000)
    assert earned_through(terms, LENT, through=_in(93)) == Earned(discount=300_001)
    assert earned_through(terms, LENT, through=_in(94)) == Earned(discount=300_001, penalty=5_000)


def test_a_purchase_found_out_about_after_its_maturity_has_earned_its_discount() -> None:
    terms = replace(TERMS, form="purchase", discount_minor=300_000, start=_in(120))
    assert earned_through(terms, [Balance(_in(120), 10_000_000)], through=_in(120)).discount == 300_000
