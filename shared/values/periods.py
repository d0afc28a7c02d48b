"""Periods and day counts: half-open, start counted, end not (R1, R2, R3)."""

from __future__ import annotations

from calendar import isleap
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar

from shared.values.money import round_half_even
from shared.values.rates import MILLION

_MONTH_END = 30


class DayCount(StrEnum):
    """How a contract turns a period into a fraction of a year (ISDA 2006 4.16)."""

    ACT_360 = "ACT/360"
    ACT_365F = "ACT/365F"
    ACT_ACT = "ACT/ACT"
    THIRTY_360 = "30/360"


class PeriodReversed(ValueError):
    """A period that ends before it starts."""

    code: ClassVar[str] = "period_reversed"

    def __init__(self, *, start: date, end: date) -> None:
        """Keep both dates."""
        self.start = start
        self.end = end
        super().__init__(f"The period ends {end} before it starts {start}.")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The days from start (counted) to end (not counted)."""

    start: date
    end: date

    def __post_init__(self) -> None:
        """Refuse a reversed period."""
        if self.end < self.start:
            raise PeriodReversed(start=self.start, end=self.end)

    @property
    def days(self) -> int:
        """Return end − start (R1)."""
        return (self.end - self.start).days

    def contains(self, day: date) -> bool:
        """Return whether the day lies in [start, end)."""
        return self.start <= day < self.end


def days(*, start: date, end: date) -> int:
    """Return the days of a period: end − start, start counted, end not (R1)."""
    return Period(start, end).days


def year_fraction(*, start: date, end: date, day_count: DayCount) -> Fraction:
    """Return the exact fraction of a year; ACT/ACT ISDA splits at the year's end (R2)."""
    period = Period(start, end)
    if day_count is DayCount.ACT_360:
        return Fraction(period.days, 360)
    if day_count is DayCount.ACT_365F:
        return Fraction(period.days, 365)
    if day_count is DayCount.THIRTY_360:
        return Fraction(_thirty_days(start, end), 360)
    return _actual_actual(start, end)


def interest(*, principal_minor: int, rate: int, start: date, end: date, day_count: DayCount) -> Fraction:
    """Return simple interest in minor units, exact and not yet rounded (R2)."""
    return Fraction(principal_minor * rate, MILLION) * year_fraction(start=start, end=end, day_count=day_count)


def post(*, exact: Fraction, carried: Fraction = Fraction(0)) -> tuple[int, Fraction]:
    """Return (minor units to post now, remainder to carry): Σ postings = the rounded total (R3)."""
    total = exact + carried
    posted = round_half_even(numerator=total.numerator, denominator=total.denominator)
    return posted, total - posted


def _thirty_days(start: date, end: date) -> int:
    first = min(start.day, _MONTH_END)
    last = _MONTH_END if end.day > _MONTH_END and first == _MONTH_END else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def _actual_actual(start: date, end: date) -> Fraction:
    total = Fraction(0)
    for year in range(start.year, end.year + 1):
        first = max(start, date(year, 1, 1))
        last = min(end, date(year + 1, 1, 1)) if year < date.max.year else end
        total += Fraction((last - first).days, 366 if isleap(year) else 365)
    return total
