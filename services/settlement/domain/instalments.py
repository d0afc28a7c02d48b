"""What a loan owes by dates (R3, R5, R15, R17); a loan with one maturity has one instalment.

An instalment demands its principal and what interest was earned since the one before, at its due date. What comes
earlier pays the running instalment first, so that who pays some days ahead has paid it; what comes beyond repays
early, by the contract's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import ClassVar, Literal

from services.settlement.domain.accrual import Balance, Terms, after_receipt, earned_through, interest_until

Early = Literal["shorten", "lower", "refused"]
State = Literal["scheduled", "due", "overdue", "paid"]


class InvalidPlan(ValueError):
    """A plan whose instalments are not the loan's: its sum, its maturity, dates that rise and lie ahead."""

    code: ClassVar[str] = "invalid_plan"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("The plan's instalments are not those of the loan.")


@dataclass(frozen=True, slots=True)
class Instalment:
    """What is repaid on a due date, in minor units; `billed` is its interest, once it is due or paid."""

    nth: int
    due_date: date
    principal: int
    billed: int | None = None
    settled: date | None = None

    @property
    def is_ahead(self) -> bool:
        """Return whether it was paid before it was due."""
        return self.settled is not None and self.settled < self.due_date

    @property
    def until(self) -> date:
        """Return the date to which it demands interest."""
        return self.settled if self.settled and self.is_ahead else self.due_date


@dataclass(frozen=True, slots=True)
class Repayment:
    """A loan's instalments with what is outstanding of each, and the interest that was paid so far."""

    terms: Terms
    instalments: tuple[Instalment, ...]
    balances: tuple[Balance, ...]
    interest_paid: int

    @property
    def left(self) -> Mapping[int, int]:
        """Return the principal outstanding of each instalment."""
        return {each.nth: each.outstanding_minor for each in sorted(self.balances, key=lambda each: each.from_date)}

    @property
    def first_open(self) -> Instalment | None:
        """Return the oldest instalment that is not paid."""
        return next((each for each in self.instalments if each.settled is None), None)

    def running_left(self, *, on: date) -> int:
        """Return the principal outstanding of the instalment that falls due next."""
        running = next((each for each in self.instalments if each.due_date > on), None)
        return self.left[running.nth] if running else 0

    def principal_due(self, *, on: date) -> int:
        """Return the principal that is due by a date."""
        left = self.left
        return sum(left[each.nth] for each in self.instalments if each.due_date <= on)

    def interest_due(self, *, on: date) -> int:
        """Return the interest that was demanded by a date, paid or not.

        At a due date all that was earned is; what an overdue instalment earns in its grace is at once. What accrues
        after an instalment was paid ahead falls due with the next.
        """
        due = [each for each in self.instalments if each.due_date <= on]
        demanding = [each.due_date for each in due if not each.is_ahead]
        if not demanding:
            return 0
        late = {each.nth for each in due}
        last = demanding[-1]
        return interest_until(self.terms, self.balances, until=lambda nth: on if nth in late else last)

    def repay(self, *, due_minor: int, ahead_minor: int, on: date, early: Early) -> Repayment:
        """Return the loan once principal was repaid: what is due oldest first, then the running instalment, then early.

        Shortening repays from the last instalment backwards, so the dates up to then keep theirs; lowering takes from
        every later instalment in proportion.
        """
        left, paid = self.left, dict.fromkeys(self.left, 0)
        _take(paid, left, [each.nth for each in self.instalments if each.due_date <= on], due_minor)
        later = [each.nth for each in self.instalments if each.due_date > on]
        beyond = _take(paid, left, later[:1], ahead_minor)
        if early == "lower":
            beyond = _take_share(paid, left, later[1:], beyond)
        _take(paid, left, later[:0:-1], beyond)
        balances: Sequence[Balance] = self.balances
        for nth, minor in paid.items():
            if minor:
                balances = after_receipt(balances, value_date=on, principal_minor=minor, nth=nth)
        return replace(self, balances=tuple(balances))

    def settle(self, *, on: date, beyond_minor: int = 0) -> Repayment:
        """Return the loan with what is paid marked so, oldest first; `beyond_minor` came early beyond the running one.

        The running instalment is paid ahead when its principal is, and what came beyond is no less than the interest
        that would still accrue until its due date. The last one ends with the loan.
        """
        left, found = self.left, list(self.instalments)
        for place, each in enumerate(found[:-1]):
            if each.settled is not None:
                continue
            if left[each.nth] or not self._is_paid(each, on=on, beyond_minor=beyond_minor):
                break
            found[place] = replace(each, settled=on)
            if each.due_date > on:
                break
        return replace(self, instalments=tuple(found))

    def close(self, *, on: date) -> Repayment:
        """Return the loan with every instalment paid."""
        return replace(
            self, instalments=tuple(each if each.settled else replace(each, settled=on) for each in self.instalments)
        )

    def bill(self, *, through: date) -> Repayment:
        """Return the loan with the interest of every instalment that is due or paid by a date.

        The last one takes the residue: what an overdue loan earns in its grace too. What ended early is billed nothing
        more.
        """
        found: list[Instalment] = []
        before = 0
        for each in self.instalments:
            until = each.until
            if each is self.instalments[-1]:
                until = max(until, through) if each.due_date <= through else until
            if until > through:
                found.append(replace(each, billed=None))
                continue
            earned = earned_through(self.terms, self.balances, through=until).interest
            found.append(replace(each, billed=earned - before))
            before = earned
        return replace(self, instalments=tuple(found))

    def _is_paid(self, each: Instalment, *, on: date, beyond_minor: int) -> bool:
        earned = earned_through(self.terms, self.balances, through=min(on, each.due_date)).interest
        if self.interest_paid < earned:
            return False
        if each.due_date <= on:
            return True
        return beyond_minor >= earned_through(self.terms, self.balances, through=each.due_date).interest - earned


@dataclass(frozen=True, slots=True)
class Line:
    """An instalment as it is shown, in minor units; interest that is still to accrue as it would be, paid in time."""

    instalment: Instalment
    interest: int
    principal_paid: int
    interest_paid: int
    state: State


def schedule(repayment: Repayment, *, on: date) -> list[Line]:
    """Return what each instalment demands, what was paid of it, and where it stands on a date."""
    billed, left = repayment.bill(through=on), repayment.left
    unpaid, before, lines = repayment.interest_paid, 0, []
    for each in billed.instalments:
        interest = each.billed
        if interest is None:
            interest = _expected(billed, until=each.due_date, on=on) - before
        before += interest
        paid = min(unpaid, interest)
        unpaid -= paid
        lines.append(Line(each, interest, each.principal - left[each.nth], paid, _state(each, on=on)))
    return lines


def check_plan(dates_and_principals: Sequence[tuple[date, int]], *, principal_minor: int, maturity: date) -> None:
    """Refuse instalments that are not the loan's; InvalidPlan."""
    dates = [due for due, _ in dates_and_principals]
    rising = all(earlier < later for earlier, later in pairwise(dates))
    positive = all(minor >= 0 for _, minor in dates_and_principals)
    total = sum(minor for _, minor in dates_and_principals)
    if not dates or not rising or not positive or dates[-1] != maturity or total != principal_minor:
        raise InvalidPlan


def _state(each: Instalment, *, on: date) -> State:
    if each.settled is not None:
        return "paid"
    if each.due_date > on:
        return "scheduled"
    return "due" if each.due_date == on else "overdue"


def _expected(repayment: Repayment, *, until: date, on: date) -> int:
    """Return the interest to a date that is to come, if every instalment is paid on its own and overdue ones now."""
    dates = repayment.terms.due_dates
    return interest_until(repayment.terms, repayment.balances, until=lambda nth: min(max(dates[nth - 1], on), until))


def _take(paid: dict[int, int], left: Mapping[int, int], order: Sequence[int], minor: int) -> int:
    """Repay instalments in an order; return what is over."""
    for nth in order:
        taken = min(minor, left[nth] - paid[nth])
        paid[nth] += taken
        minor -= taken
    return minor


def _take_share(paid: dict[int, int], left: Mapping[int, int], order: Sequence[int], minor: int) -> int:
    """Repay instalments in proportion to what is left of each, rounded down; return what the rounding leaves."""
    total = sum(left[nth] for nth in order)
    if not total:
        return minor
    for nth in order:
        paid[nth] += left[nth] * min(minor, total) // total
    return minor - sum(paid[nth] for nth in order)
