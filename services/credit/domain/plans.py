"""Repayment plans: how a loan is paid back by dates, to the cent (R1, R2, R3, R15)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar, Literal

from shared.values.calendars import BusinessCalendar, Roll
from shared.values.money import round_half_even
from shared.values.periods import DayCount, days, interest, post, year_fraction
from shared.values.rates import MILLION

Kind = Literal["bullet", "equal_principal", "equal_instalments", "interest_only"]
Early = Literal["shorten", "lower", "refused"]
MOST_INSTALMENTS = 60
_MONTHS = 12
# A last period shorter than this goes with the one before, where nobody asked for a number of instalments.
_STUB_DAYS = 15


class InvalidPlan(ValueError):
    """A plan with more dates than the loan has days, minor units or the platform allows."""

    code: ClassVar[str] = "invalid_plan"

    def __init__(self, *, reason: str) -> None:
        """Keep why."""
        self.reason = reason
        super().__init__(f"The loan cannot be repaid by this plan: {reason}.")


class PlanNotOffered(Exception):
    """The product is not repaid by such a plan, or not for so long."""

    code: ClassVar[str] = "plan_not_offered"

    def __init__(self, *, product: str, kind: str, reason: str) -> None:
        """Keep the product, the kind asked for and why it is not offered."""
        self.product = product
        self.kind = kind
        self.reason = reason
        super().__init__(f"{product} is not repaid by {kind}: {reason}.")


@dataclass(frozen=True, slots=True)
class AskedPlan:
    """A kind of plan, and in how many instalments; None for as many as the product's period gives."""

    kind: Kind
    instalments: int | None = None


@dataclass(frozen=True, slots=True)
class PlanRules:
    """By which plans a product is repaid, for how long at most, and on which dates.

    `period_months` lie between two due dates; None spaces them evenly over the tenor. A date that is no business day
    rolls. `early_repayment` is what money above what is due does.
    """

    kinds: frozenset[str]
    longest_days: int
    period_months: int | None
    roll: Roll
    calendar: BusinessCalendar
    early_repayment: Early


@dataclass(frozen=True, slots=True)
class Instalment:
    """What is due on a date, in minor units, and what is outstanding after it."""

    due_date: date
    principal: int
    interest: int
    outstanding: int

    @property
    def total(self) -> int:
        """Return what is paid."""
        return self.principal + self.interest


@dataclass(frozen=True, slots=True)
class Planned:
    """A loan's plan: its kind, its instalments and what early money does."""

    kind: Kind
    instalments: tuple[Instalment, ...]
    early_repayment: Early

    @property
    def interest(self) -> int:
        """Return all of the interest, if each instalment is paid on its date."""
        return sum(each.interest for each in self.instalments)

    @property
    def maturity(self) -> date:
        """Return when the last instalment is due."""
        return self.instalments[-1].due_date

    def lent_days(self, *, principal_minor: int, start: date) -> int:
        """Return Σ what is outstanding × the days for which it is, in minor units and days."""
        found, left = 0, principal_minor
        for each in self.instalments:
            found += left * days(start=start, end=each.due_date)
            start, left = each.due_date, each.outstanding
        return found


@dataclass(frozen=True, slots=True)
class Lent:
    """The loan that a plan repays: principal in minor units, rate in millionths, from its start to its maturity."""

    principal: int
    rate: int
    start: date
    maturity: date
    day_count: DayCount


def planned(asked: AskedPlan, rules: PlanRules | None, lent: Lent, *, product: str) -> Planned:
    """Return the plan of a loan that would mature on `lent.maturity`; its last date may roll past it.

    Any loan may be a bullet, which is due at its maturity. PlanNotOffered where the product has no such plan,
    InvalidPlan where the loan is too short or too small for it.
    """
    if asked.kind == "bullet":
        return Planned("bullet", tuple(plan("bullet", lent, instalments=asked.instalments or 1)), "shorten")
    if rules is None:
        raise PlanNotOffered(product=product, kind=asked.kind, reason="no_plan")
    if asked.kind not in rules.kinds:
        raise PlanNotOffered(product=product, kind=asked.kind, reason="not_this_kind")
    if days(start=lent.start, end=lent.maturity) > rules.longest_days:
        raise PlanNotOffered(product=product, kind=asked.kind, reason="longer_than_its_plans")
    dates = _dates(asked, rules, lent)
    return Planned(asked.kind, tuple(by_dates(asked.kind, lent, dates)), rules.early_repayment)


def due_dates(*, start: date, maturity: date, instalments: int) -> list[date]:
    """Return so many dates after the start, as evenly spaced as whole days allow; the last is the maturity."""
    term = days(start=start, end=maturity)
    if not 1 <= instalments <= min(term, MOST_INSTALMENTS):
        raise InvalidPlan(reason=f"1 to {min(term, MOST_INSTALMENTS)} instalments")
    return [start + timedelta(days=term * nth // instalments) for nth in range(1, instalments + 1)]


def monthly_dates(*, start: date, maturity: date, months: int, instalments: int | None = None) -> list[date]:
    """Return the start's day every so many months; the last date is the maturity, its period shorter or longer.

    Where no number is asked for, a last period of two weeks or less is added to the one before.
    """
    whole = 0
    while add_months(start, months * (whole + 1)) <= maturity:
        whole += 1
    rest = days(start=add_months(start, months * whole), end=maturity)
    least = max(1, whole)
    most = min(MOST_INSTALMENTS, whole + (rest > 0))
    wanted = instalments or min(MOST_INSTALMENTS, max(1, whole + (rest >= _STUB_DAYS)))
    if not least <= wanted <= most:
        raise InvalidPlan(reason=f"{least} to {most} instalments")
    return [*(add_months(start, months * nth) for nth in range(1, wanted)), maturity]


def add_months(day: date, months: int) -> date:
    """Return the same day so many months later, or the month's last day where it has none."""
    year, month = divmod(day.year * _MONTHS + day.month - 1 + months, _MONTHS)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def plan(kind: Kind, lent: Lent, *, instalments: int = 1) -> list[Instalment]:
    """Return what is due on evenly spaced dates; a bullet pays all of it at maturity."""
    if kind == "bullet" and instalments != 1:
        raise InvalidPlan(reason="a bullet is one instalment")
    return by_dates(kind, lent, due_dates(start=lent.start, maturity=lent.maturity, instalments=instalments))


def by_dates(kind: Kind, lent: Lent, dates: Sequence[date]) -> list[Instalment]:
    """Return what is due by dates: Σ principal is the principal, Σ interest the exact interest rounded once.

    Interest runs on what is outstanding, period by period, start counted and end not; the remainder of each rounding
    is carried, and the last instalment takes the residue. Interest only repays all of the principal at the end.
    """
    if lent.principal < len(dates):
        raise InvalidPlan(reason="there are more instalments than there is to repay")
    level = _level(lent, dates) if kind == "equal_instalments" else 0
    share = lent.principal // len(dates) if kind == "equal_principal" else 0
    left, carried, found = lent.principal, Fraction(0), []
    for begin, due in pairwise([lent.start, *dates]):
        exact = interest(principal_minor=left, rate=lent.rate, start=begin, end=due, day_count=lent.day_count)
        owed, carried = post(exact=exact, carried=carried)
        if due == dates[-1]:
            repaid = left
        elif kind == "equal_instalments":
            repaid = min(left, max(0, level - owed))
        else:
            repaid = share
        left -= repaid
        found.append(Instalment(due, repaid, owed, left))
    return found


def still_to_pay(lent: Lent, parts: Sequence[tuple[date, int]], *, outstanding: int, on: date) -> list[Instalment]:
    """Return what a plan still takes when so much principal is outstanding: what was repaid paid its oldest parts.

    `parts` are its due dates with their principal. What settlement will have earned may differ by what came early.
    """
    repaid, left, begin, found = lent.principal - outstanding, outstanding, lent.start, []
    for due, principal in parts:
        covered = min(repaid, principal)
        repaid -= covered
        part = principal - covered
        if left and (part or (not principal and due >= on)):
            exact = interest(principal_minor=left, rate=lent.rate, start=begin, end=due, day_count=lent.day_count)
            owed = round_half_even(numerator=exact.numerator, denominator=exact.denominator)
            left -= part
            found.append(Instalment(due, part, owed, left))
        begin = due
    return found


def _dates(asked: AskedPlan, rules: PlanRules, lent: Lent) -> list[date]:
    if rules.period_months is None:
        if asked.instalments is None:
            raise InvalidPlan(reason="say in how many instalments")
        found = due_dates(start=lent.start, maturity=lent.maturity, instalments=asked.instalments)
    else:
        found = monthly_dates(
            start=lent.start, maturity=lent.maturity, months=rules.period_months, instalments=asked.instalments
        )
    rolled = [rules.calendar.roll(due, convention=rules.roll) for due in found]
    if any(later <= earlier for earlier, later in pairwise([lent.start, *rolled])):
        raise InvalidPlan(reason="two dates fall on one business day")
    return rolled


def _level(lent: Lent, dates: Sequence[date]) -> int:
    """Return the instalment that is the same on every date: principal over Σ of each date's discount factor."""
    factor, factors = Fraction(1), Fraction(0)
    for begin, due in pairwise([lent.start, *dates]):
        fraction = year_fraction(start=begin, end=due, day_count=lent.day_count)
        factor /= 1 + Fraction(lent.rate, MILLION) * fraction
        factors += factor
    exact = lent.principal / factors
    return round_half_even(numerator=exact.numerator, denominator=exact.denominator)
