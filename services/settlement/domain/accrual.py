"""What a loan earns day by day (R2, R3, R4, R15, R17).

A loan is repaid by instalments, one or many. Each is a part of the principal with a due date of its own: interest runs
on all parts that are outstanding, penalty in its place on the parts that are overdue after grace (R4).

Every figure is a total from the first day to a date, rounded once; a day's posting is the total at its end less what
was posted before. So the remainder is carried, the postings of a period sum to its total, and a receipt that arrives
with an earlier value date is put right by one posting of the difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from services.settlement.domain.loans import Form
from shared.values.money import round_half_even
from shared.values.periods import DayCount, days, interest


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract says of a disbursed loan; `discount_minor` is what a purchase earns to maturity.

    `earlier` are the due dates of the instalments before the last, which is due at maturity.
    """

    form: Form
    rate: int
    penalty_rate: int
    day_count: DayCount
    start: date
    maturity: date
    grace_days: int
    discount_minor: int = 0
    earlier: tuple[date, ...] = ()

    @property
    def due_dates(self) -> tuple[date, ...]:
        """Return when each instalment is due; the last is the maturity."""
        return (*self.earlier, self.maturity)

    def penalty_from(self, nth: int) -> date:
        """Return the first day on which an instalment's principal bears penalty: grace is without (R15)."""
        due = self.maturity if nth > len(self.earlier) else self.earlier[nth - 1]
        return due + timedelta(days=self.grace_days)


@dataclass(frozen=True, slots=True)
class Balance:
    """The principal of an instalment that is outstanding from a value date on; the first instalment is number 1."""

    from_date: date
    outstanding_minor: int
    nth: int = 1


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
    overdue = _simple(terms, balances, rate=terms.penalty_rate, period=lambda nth: (terms.penalty_from(nth), through))
    return Earned(
        interest_until(terms, balances, until=lambda _: through),
        _rounded(overdue),
        discount_through(terms, through=through),
    )


def interest_until(terms: Terms, balances: Sequence[Balance], *, until: Callable[[int], date]) -> int:
    """Return the interest on each instalment's principal before a date of its own, all of it rounded once.

    Past its grace an instalment earns penalty instead; a purchase has earned its discount.
    """
    if terms.form != "loan":
        return 0
    return _rounded(
        _simple(
            terms,
            balances,
            rate=terms.rate,
            period=lambda nth: (terms.start, min(until(nth), terms.penalty_from(nth))),
        )
    )


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


def after_receipt(
    balances: Sequence[Balance], *, value_date: date, principal_minor: int, nth: int = 1
) -> list[Balance]:
    """Return the balances once an instalment's principal was repaid: later interest runs on what is left (R5)."""
    last = max((each for each in balances if each.nth == nth), key=lambda each: each.from_date)
    kept = [each for each in balances if each.nth != nth or each.from_date < value_date]
    return [*kept, Balance(value_date, last.outstanding_minor - principal_minor, nth)]


def days_past_due(*, due_date: date, on: date) -> int:
    """Return the days past due: they run from the oldest unpaid instalment's due date, which no grace extends (R15)."""
    return max(0, (on - due_date).days)


def _simple(
    terms: Terms, balances: Sequence[Balance], *, rate: int, period: Callable[[int], tuple[date, date]]
) -> Fraction:
    """Return simple interest on each instalment's principal over its period.

    It is added up by the periods between due dates, as the contract counts days: instalments that are all outstanding
    in one of them cost one multiplication.
    """
    lent: Counter[tuple[date, date]] = Counter()
    ordered = sorted(balances, key=lambda each: (each.nth, each.from_date))
    for place, balance in enumerate(ordered):
        following = ordered[place + 1] if place + 1 < len(ordered) else None
        until = following.from_date if following and following.nth == balance.nth else date.max
        start, end = period(balance.nth)
        first, last = max(start, balance.from_date), min(end, until)
        for cut in terms.earlier:
            if first < cut < last:
                lent[first, cut] += balance.outstanding_minor
                first = cut
        if first < last:
            lent[first, last] += balance.outstanding_minor
    found = Fraction(0)
    for (first, last), minor in lent.items():
        if minor:
            found += interest(principal_minor=minor, rate=rate, start=first, end=last, day_count=terms.day_count)
    return found


def _rounded(exact: Fraction) -> int:
    return round_half_even(numerator=exact.numerator, denominator=exact.denominator)
