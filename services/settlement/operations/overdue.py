"""What a loan owes and what of it is due on a date, and what is said of a delay (R15, R21)."""

from __future__ import annotations

from datetime import date, timedelta

from services.settlement.domain.accrual import days_past_due, earned_through
from services.settlement.domain.instalments import schedule
from services.settlement.domain.staging import first_mark
from services.settlement.domain.waterfall import PARTS, Owed
from services.settlement.operations.loan_rows import Loan
from shared.events.settlement import Instalment, LoanBilled, LoanCured, LoanOverdue, LoanStanding


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


def standing_on(loan: Loan, *, on: date) -> LoanStanding:
    """Return where a disbursed loan stands on a date, for whoever shows it."""
    due = due_on(loan, on=on)
    instalments = [
        Instalment(
            nth=line.instalment.nth,
            due_date=line.instalment.due_date,
            principal=loan.amount(line.instalment.principal),
            interest=loan.amount(line.interest),
            principal_paid=loan.amount(line.principal_paid),
            interest_paid=loan.amount(line.interest_paid),
            settled_date=line.instalment.settled,
        )
        for line in schedule(loan.repayment, on=on)
    ]
    parts = {part: loan.amount(getattr(due, part)) for part in PARTS}
    return LoanStanding(on_date=on, **parts, instalments=instalments)


def billed_event(loan: Loan, *, on: date) -> LoanBilled:
    """Return what is due of a loan at the end of a day."""
    due = due_on(loan, on=on)
    total = sum(getattr(due, part) for part in PARTS)
    return LoanBilled(loan_id=loan.loan_id, due=loan.amount(total), standing=standing_on(loan, on=on))


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


def end_of_delay(loan: Loan, since: date | None, *, on: date) -> list[LoanCured | LoanOverdue]:
    """Return what is said of a delay that a receipt ended, or made shorter: it was announced before."""
    mark = timedelta(days=first_mark(grace_days=loan.row["grace_days"]))
    through, left = loan.accrued_through, loan.next_due_date
    if since is None or through is None or left is None or left == since or since + mark > through:
        return []
    if left + mark > through:
        return [LoanCured(loan_id=loan.loan_id, cured_date=on)]
    return [overdue_event(loan, days=days_past_due(due_date=left, on=through), on=through)]
