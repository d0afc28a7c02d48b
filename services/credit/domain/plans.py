"""Repayment plans: how a loan would be paid back by dates, to the cent (R1, R2, R3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar, Literal

from shared.values.money import round_half_even
from shared.values.periods import DayCount, days, interest, post, year_fraction
from shared.values.rates import MILLION

Kind = Literal["bullet", "equal_principal", "equal_instalments"]
MOST_INSTALMENTS = 60


class InvalidPlan(ValueError):
    """A plan with more dates than the loan has days, minor units or the platform allows."""

    code: ClassVar[str] = "invalid_plan"

    def __init__(self, *, reason: str) -> None:
        """Keep why."""
        self.reason = reason
        super().__init__(f"The loan cannot be repaid by this plan: {reason}.")


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
class Lent:
    """The loan that a plan repays: principal in minor units, rate in millionths, from its start to its maturity."""

    principal: int
    rate: int
    start: date
    maturity: date
    day_count: DayCount


def due_dates(*, start: date, maturity: date, instalments: int) -> list[date]:
    """Return so many dates after the start, as evenly spaced as whole days allow; the last is the maturity."""
    term = days(start=start, end=maturity)
    if not 1 <= instalments <= min(term, MOST_INSTALMENTS):
        raise InvalidPlan(reason=f"1 to {min(term, MOST_INSTALMENTS)} instalments")
    return [start + timedelta(days=term * nth // instalments) for nth in range(1, instalments + 1)]


def plan(kind: Kind, lent: Lent, *, instalments: int = 1) -> list[Instalment]:
    """Return what is due by dates: Σ principal is the principal, Σ interest the exact interest rounded once.

    Interest runs on what is outstanding, period by period, start counted and end not; the remainder of each rounding
    is carried, and the last instalment takes the residue. A bullet pays all of it at maturity.
    """
    if kind == "bullet" and instalments != 1:
        raise InvalidPlan(reason="a bullet is one instalment")
    if lent.principal < instalments:
        raise InvalidPlan(reason="there are more instalments than there is to repay")
    dates = due_dates(start=lent.start, maturity=lent.maturity, instalments=instalments)
    level = _level(lent, dates) if kind == "equal_instalments" else 0
    share = lent.principal // instalments
    left, carried, found = lent.principal, Fraction(0), []
    for begin, due in pairwise([lent.start, *dates]):
        exact = interest(principal_minor=left, rate=lent.rate, start=begin, end=due, day_count=lent.day_count)
        owed, carried = post(exact=exact, carried=carried)
        if due == dates[-1]:
            repaid = left
        elif kind == "equal_principal":
            repaid = share
        else:
            repaid = min(left, max(0, level - owed))
        left -= repaid
        found.append(Instalment(due, repaid, owed, left))
    return found


def _level(lent: Lent, dates: Sequence[date]) -> int:
    """Return the instalment that is the same on every date: principal over Σ of each date's discount factor."""
    factor, factors = Fraction(1), Fraction(0)
    for begin, due in pairwise([lent.start, *dates]):
        fraction = year_fraction(start=begin, end=due, day_count=lent.day_count)
        factor /= 1 + Fraction(lent.rate, MILLION) * fraction
        factors += factor
    exact = lent.principal / factors
    return round_half_even(numerator=exact.numerator, denominator=exact.denominator)
