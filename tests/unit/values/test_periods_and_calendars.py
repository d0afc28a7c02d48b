"""Periods, day counts, calendars and cut-off (R1, R2, R3, R4, R15, R18)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.values.calendars import BusinessCalendar, Roll, value_date
from shared.values.periods import DayCount, Period, PeriodReversed, days, interest, post, year_fraction


def test_r1_the_start_counts_and_the_end_does_not() -> None:
    assert days(start=date(2026, 9, 1), end=date(2026, 10, 1)) == 30
    assert not Period(date(2026, 9, 1), date(2026, 10, 1)).contains(date(2026, 10, 1))
    with pytest.raises(PeriodReversed):
        Period(date(2026, 9, 2), date(2026, 9, 1))


def test_r2_act_360_is_simple_interest() -> None:
    start = date(2026, 1, 1)
    earned = interest(
        principal_minor=10_000_000,
        rate=120_000,
        start=start,
        end=start + timedelta(days=90),
        day_count=DayCount.ACT_360,
    )
    assert earned == 300_000


def test_r2_act_act_splits_at_the_years_end() -> None:
    fraction = year_fraction(start=date(2023, 11, 1), end=date(2024, 5, 1), day_count=DayCount.ACT_ACT)
    assert fraction == Fraction(61, 365) + Fraction(121, 366)


@pytest.mark.parametrize(("day_count", "posted"), [(DayCount.ACT_365F, 17_877), (DayCount.ACT_360, 18_125)])
def test_r4_a_day_of_penalty_on_a_million(day_count: DayCount, posted: int) -> None:
    start = date(2026, 3, 2)
    exact = interest(
        principal_minor=100_000_000, rate=65_250, start=start, end=start + timedelta(days=1), day_count=day_count
    )
    assert post(exact=exact)[0] == posted


@given(principal=st.integers(1, 10**12), rate=st.integers(1, 400_000), length=st.integers(1, 365))
def test_r3_daily_postings_sum_to_the_periods_total(principal: int, rate: int, length: int) -> None:
    start, carried, posted = date(2026, 1, 1), Fraction(0), 0
    for day in range(length):
        exact = interest(
            principal_minor=principal,
            rate=rate,
            start=start + timedelta(days=day),
            end=start + timedelta(days=day + 1),
            day_count=DayCount.ACT_360,
        )
        amount, carried = post(exact=exact, carried=carried)
        posted += amount
    total = interest(
        principal_minor=principal,
        rate=rate,
        start=start,
        end=start + timedelta(days=length),
        day_count=DayCount.ACT_360,
    )
    assert abs(total - posted) <= Fraction(1, 2)
    assert posted + carried == total


def test_r15_a_date_rolls_by_its_contracts_convention() -> None:
    calendar = BusinessCalendar("CN")
    saturday = date(2026, 10, 31)
    assert calendar.roll(saturday, convention=Roll.FOLLOWING) == date(2026, 11, 2)
    assert calendar.roll(saturday, convention=Roll.MODIFIED_FOLLOWING) == date(2026, 10, 30)
    assert calendar.roll(saturday, convention=Roll.NONE) == saturday


def test_r18_the_cut_off_decides_the_value_date() -> None:
    before = datetime(2026, 11, 24, 8, 59, 59, tzinfo=UTC)
    at = datetime(2026, 11, 24, 9, 0, 0, tzinfo=UTC)
    assert value_date(instant=before, zone="Asia/Shanghai", cut_off=time(17)) == date(2026, 11, 24)
    assert value_date(instant=at, zone="Asia/Shanghai", cut_off=time(17)) == date(2026, 11, 25)
