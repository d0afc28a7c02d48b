"""Accrue loans day by day, bill what falls due, and say which became overdue."""

from __future__ import annotations

from datetime import date, timedelta

from services.settlement.domain.accrual import daily
from services.settlement.domain.ledger import earning
from services.settlement.domain.staging import overdue_marks
from services.settlement.operations.loan_rows import Loan, Work, save, with_balances
from services.settlement.operations.overdue import billed_event, overdue_event
from services.settlement.operations.post_entries import bookings
from shared.events.settlement import LoanOverdue
from shared.storage.database import Transaction

_LOAN_DAYS = 300  # in one go: the loop must not stand still for longer than some tens of milliseconds
_ACCRUING = """
SELECT * FROM loan WHERE state = 'disbursed' AND accrued_through < $1 AND loan_id > $2
ORDER BY loan_id LIMIT $3 FOR UPDATE
"""


async def accrue_all(tx: Transaction, *, open_date: date, following: date) -> None:
    """Post every open loan's days up to the following open day, each day on its own date."""
    after, chunk = "", max(1, _LOAN_DAYS // (following - open_date).days)
    while rows := await tx.pg.fetch(_ACCRUING, following, after, chunk):
        loans = list((await with_balances(tx, rows)).values())
        work = Work(open_date)
        for loan in loans:
            accrue(loan, work, through=following)
        await save(tx, loans, work=work)
        after = rows[-1]["loan_id"]


def accrue(loan: Loan, work: Work, *, through: date) -> None:
    """Post what the days before `through` add; a day that is closed already is posted on the open day (R18)."""
    start = loan.accrued_through
    if start is None or start >= through:
        return
    for day in daily(loan.terms(), loan.balances, posted=loan.earned, start=start, end=through):
        work.booked += bookings(
            earning(day.earned),
            currency=loan.row["currency"],
            value_date=day.day,
            posting_date=max(day.day, work.open_date),
            loan_id=loan.loan_id,
        )
        loan.earned = loan.earned.plus(day.earned)
    loan.accrued_through = through
    if _bill(loan, after=start, through=through):
        work.events.append(billed_event(loan, on=through))
    work.events += _overdue(loan, after=start, through=through)


def _bill(loan: Loan, *, after: date, through: date) -> bool:
    """Bill the instalments that fall due; one that demands nothing is paid. Return whether what is due has changed."""
    repayment = loan.repayment
    fallen = [due for due in repayment.terms.due_dates if after < due <= through]
    for due in fallen:
        repayment = repayment.settle(on=due)
    # The last one grows while it is in its grace.
    if fallen or after >= repayment.terms.maturity:
        loan.repayment = repayment.bill(through=through)
    oldest = loan.next_due_date
    return bool(fallen) or (oldest is not None and oldest < through)


def _overdue(loan: Loan, *, after: date, through: date) -> list[LoanOverdue]:
    """Return one event at the first day after grace of the oldest unpaid instalment, and one at each new stage.

    They count from its due date (R15, R21).
    """
    since = loan.next_due_date
    if since is None:
        return []
    return [
        overdue_event(loan, days=mark, on=since + timedelta(days=mark))
        for mark in overdue_marks(grace_days=loan.row["grace_days"])
        if after < since + timedelta(days=mark) <= through
    ]
