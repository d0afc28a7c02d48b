"""What a loan owes and what of it is due on a date, and what is said of a delay (R15, R21)."""

from __future__ import annotations

from datetime import date, timedelta

from services.settlement.domain.accrual import days_past_due, earned_through
from services.settlement.domain.staging import first_mark
from services.settlement.domain.waterfall import Owed
from services.settlement.operations.loan_rows import Loan
from shared.events.settlement import LoanCured, LoanOverdue


def owed_on(loan: Loan, *, on: date) -> Owed:
    """Return what a disbursed loan owes on a date, due or not."""
    earned = earned_through(loan.terms(), loan.balances, through=on)
    return Owed(
        costs=loan.row["costs_minor"] - loan.costs_paid,
        penalty=earned.penalty - loan.penalty_paid,
        interest=earned.interest + loan.due_from_anchor - loan.interest_paid,
        principal=loan.outstanding,
    )


def due_on(loan: Loan, *, on: date) -> Owed:
    """Return what is due of it: costs and penalty at once, interest and principal by instalments."""
    owed, repayment = owed_on(loan, on=on), loan.repayment
    interest = repayment.interest_due(on=on) + loan.due_from_anchor - loan.interest_paid
    return Owed(owed.costs, owed.penalty, max(0, interest), repayment.principal_due(on=on))


def overdue_event(loan: Loan, *, days: int, on: date) -> LoanOverdue:
    """Return how late a loan is on a date, and with how much."""
    due = due_on(loan, on=on)
    return LoanOverdue(
        loan_id=loan.loan_id,
        days_past_due=days,
        outstanding=loan.amount(loan.outstanding),
        overdue=loan.amount(due.interest + due.principal),
        due_date=loan.next_due_date,
    )


def standing(loan: Loan, since: date | None, *, on: date) -> list[LoanCured | LoanOverdue]:
    """Return what is said of a delay that a receipt ended, or made shorter: it was announced before."""
    mark = timedelta(days=first_mark(grace_days=loan.row["grace_days"]))
    through, left = loan.accrued_through, loan.next_due_date
    if since is None or through is None or left is None or left == since or since + mark > through:
        return []
    if left + mark > through:
        return [LoanCured(loan_id=loan.loan_id, cured_date=on)]
    return [overdue_event(loan, days=days_past_due(due_date=left, on=through), on=through)]
