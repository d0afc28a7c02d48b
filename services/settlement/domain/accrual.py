"""What a loan earns day by day (R2, R3, R4, R15, R17).

Every figure is a total from the first day to a date, rounded once; a day's posting is the total at its end less what
was posted before. So the remainder is carried, the postings of a period sum to its total, and a receipt that arrives
with an earlier value date is put right by one posting of the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from services.settlement.domain.loans import Form
from shared.values.money import round_half_even
from shared.values.periods import DayCount, days, interest


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract says of a disbursed loan; `discount_minor` is what a purchase earns to maturity."""

    form: Form
    rate: int
    penalty_rate: int
    day_count: DayCount
    start: date
    maturity: date
    grace_days: int
    discount_minor: int = 0

    @property
    def penalty_from(self) -> date:
        """Return the first day that bears penalty: grace is without (R15)."""
        return self.maturity + timedelta(days=self.grace_days)


@dataclass(frozen=True, slots=True)
class Balance:
    """The principal outstanding from a value date on."""

    from_date: date
    outstanding_minor: int


@dataclass(frozen=True, slots=True)
class Earned:
    """Totals in minor units: interest in arrears, penalty, and discount taken into income."""

    interest: int = 0
    penalty: int = 0
    discount: int = 0

    def plus(self, other: Earned) -> Earned:
        """Return the sum."""
        return Earned(self.interest + other.interest, self.penalty + other.penalty, self.discount + other.discount)

    def minus(self, other: Earned) -> Earned:
        """Return the difference."""
        return Earned(self.interest - other.interest, self.penalty - other.penalty, self.discount - other.discount)


@dataclass(frozen=True, slots=True)
class Day:
    """What one day adds."""

    day: date
    earned: Earned


def earned_through(terms: Terms, balances: Sequence[Balance], *, through: date) -> Earned:
    """Return what was earned on the days before `through`: on outstanding principal only, interest on interest off."""
    normal = Fraction(0)
    if terms.form == "loan":
        normal = _simple(terms, balances, rate=terms.rate, start=terms.start, end=min(through, terms.penalty_from))
    overdue = _simple(terms, balances, rate=terms.penalty_rate, start=terms.penalty_from, end=through)
    return Earned(_rounded(normal), _rounded(overdue), discount_through(terms, through=through))


def discount_through(terms: Terms, *, through: date) -> int:
    """Return how much of a purchase's discount is earned: evenly by day, all of it at maturity."""
    if terms.start >= terms.maturity:
        return terms.discount_minor  # found out about after its maturity: nothing is left to defer
    elapsed = days(start=terms.start, end=min(max(through, terms.start), terms.maturity))
    total = days(start=terms.start, end=terms.maturity)
    return round_half_even(numerator=terms.discount_minor * elapsed, denominator=total)


def daily(terms: Terms, balances: Sequence[Balance], *, posted: Earned, start: date, end: date) -> Iterator[Day]:
    """Yield what each day of [start, end) adds to what was posted; days that add nothing are left out."""
    for nth in range((end - start).days):
        day = start + timedelta(days=nth)
        total = earned_through(terms, balances, through=day + timedelta(days=1))
        added = total.minus(posted)
        if added != Earned():
            yield Day(day, added)
        posted = total


def after_receipt(balances: Sequence[Balance], *, value_date: date, principal_minor: int) -> list[Balance]:
    """Return the balances once principal was repaid on a value date: later interest runs on what is left (R5)."""
    last = max(balances, key=lambda each: each.from_date)
    kept = [each for each in balances if each.from_date < value_date]
    return [*kept, Balance(value_date, last.outstanding_minor - principal_minor)]


def days_past_due(*, maturity: date, on: date) -> int:
    """Return the days past due: they run from maturity, grace never extends it (R15)."""
    return max(0, (on - maturity).days)


def _simple(terms: Terms, balances: Sequence[Balance], *, rate: int, start: date, end: date) -> Fraction:
    total = Fraction(0)
    ordered = sorted(balances, key=lambda each: each.from_date)
    for nth, balance in enumerate(ordered):
        until = ordered[nth + 1].from_date if nth + 1 < len(ordered) else date.max
        first, last = max(start, balance.from_date), min(end, until)
        if first < last and balance.outstanding_minor:
            total += interest(
                principal_minor=balance.outstanding_minor,
                rate=rate,
                start=first,
                end=last,
                day_count=terms.day_count,
            )
    return total


def _rounded(exact: Fraction) -> int:
    return round_half_even(numerator=exact.numerator, denominator=exact.denominator)
