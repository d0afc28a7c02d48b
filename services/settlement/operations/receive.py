"""Apply a receipt to a loan: the waterfall at its value date, and the difference it makes to what was posted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from services.settlement.domain.accrual import Earned, earned_through
from services.settlement.domain.ledger import collection, earning
from services.settlement.domain.loans import Executed, Input, step
from services.settlement.domain.waterfall import NOTHING, Allocation, Owed, Paper, allocate
from services.settlement.operations.loan_rows import Loan, Work
from services.settlement.operations.overdue import due_on, end_of_delay, owed_on, standing_on
from services.settlement.operations.post_entries import bookings
from shared.events.envelope import Event
from shared.events.settlement import LoanClosed, LoanRepaid


def receive(
    loan: Loan,
    *,
    receipt_minor: int,
    value_date: date,
    collection_id: str,
    order: Sequence[str],
    work: Work,
    waited: bool = False,
) -> tuple[Allocation, date]:
    """Apply a receipt to what is due, then ahead; return where it went and the date it counts from.

    A receipt dated before an earlier one of the same loan counts from that one's date: what was allocated stays. One
    that `waited` comes out of suspense, and what the loan does not take stays there.
    """
    terms = loan.terms()
    counted = max(filter(None, (value_date, loan.disbursed_date, loan.last_receipt_date)))
    owed, due, since = owed_on(loan, on=counted), due_on(loan, on=counted), loan.next_due_date
    refused = loan.row["early_repayment"] == "refused" and due != owed
    allocation = allocate(
        receipt_minor=receipt_minor,
        owed=due,
        paper=paper_of(loan),
        order=order,
        ahead=NOTHING if refused else owed.minus(due),
        goes_on=refused,
    )
    _pay(loan, allocation, counted, due=due)
    work.booked += bookings(
        [collection(allocation, form=terms.form, waited=waited)],
        currency=loan.row["currency"],
        value_date=counted,
        posting_date=work.open_date,
        loan_id=loan.loan_id,
        reference=collection_id,
    )
    is_settled = owed_on(loan, on=counted) == Owed()
    _correct(loan, work, value_date=counted, is_settled=is_settled)
    settled = step(loan.state, Input.SETTLED) if is_settled else None
    then: list[Event]
    if isinstance(settled, Executed):
        loan.state, loan.closed_date = settled.state, counted
        loan.repayment = loan.repayment.close(on=counted)
        then = [LoanClosed(loan_id=loan.loan_id, closed_date=counted)]
    else:
        then = [*end_of_delay(loan, since, on=counted)]
    loan.repayment = loan.repayment.bill(through=loan.accrued_through or counted)
    work.events += [_repaid(loan, allocation, collection_id, counted), *then]
    return allocation, counted


def has_room(loan: Loan) -> bool:
    """Return whether anything of a receipt on a closed loan would still be the seller's or the bank's (R17)."""
    return allocate(receipt_minor=1, owed=Owed(), paper=paper_of(loan)).suspense == 0


def receive_rest(
    loan: Loan, *, receipt_minor: int, value_date: date, collection_id: str, work: Work, waited: bool = False
) -> tuple[Allocation, date]:
    """Apply what an obligor pays on a closed loan, which owes nothing: by the same rule as on an open one."""
    allocation = allocate(receipt_minor=receipt_minor, owed=Owed(), paper=paper_of(loan))
    loan.received += receipt_minor - allocation.suspense
    work.booked += bookings(
        [collection(allocation, form=loan.row["form"], waited=waited)],
        currency=loan.row["currency"],
        value_date=value_date,
        posting_date=work.open_date,
        loan_id=loan.loan_id,
        reference=collection_id,
    )
    return allocation, value_date


def paper_of(loan: Loan) -> Paper:
    """Return what is paid on a loan's documents in all, and what they brought so far.

    A discount that the anchor bears comes on top of the face.
    """
    collected = (
        loan.costs_paid + loan.penalty_paid + loan.interest_paid + loan.row["principal_minor"] - loan.outstanding
    )
    return Paper(
        face=loan.row["face_minor"] + loan.due_from_anchor,
        recourse=loan.row["recourse"],
        holdback=loan.row["holdback_minor"],
        collected=collected,
        passed_on=loan.received - collected,
    )


def _pay(loan: Loan, allocation: Allocation, on: date, *, due: Owed) -> None:
    loan.costs_paid += allocation.costs
    loan.penalty_paid += allocation.penalty
    loan.interest_paid += allocation.interest
    repaid_due = min(allocation.principal, due.principal)
    ahead = allocation.principal - repaid_due
    beyond = max(0, ahead - loan.repayment.running_left(on=on))
    if allocation.principal:
        loan.repayment = loan.repayment.repay(
            due_minor=repaid_due, ahead_minor=ahead, on=on, early=loan.row["early_repayment"]
        )
        loan.outstanding -= allocation.principal
    loan.repayment = loan.repayment.settle(on=on, beyond_minor=beyond)
    loan.last_receipt_date = on
    loan.received += allocation.total - allocation.suspense


def _correct(loan: Loan, work: Work, *, value_date: date, is_settled: bool) -> None:
    """Post the difference to what was posted since the value date; a settled purchase earns the rest of its discount.

    Postings are never edited (R20): a receipt that comes late is put right on the open day with its value date.
    """
    terms = loan.terms()
    through = max(filter(None, (loan.accrued_through, value_date)))
    total = earned_through(terms, loan.balances, through=through)
    if is_settled:
        total = Earned(total.interest, total.penalty, terms.discount_minor)
    change = total.minus(loan.earned)
    entries = [
        *earning(Earned(change.interest, change.penalty), correction=True),
        *earning(Earned(discount=change.discount)),
    ]
    work.booked += bookings(
        entries,
        currency=loan.row["currency"],
        value_date=value_date,
        posting_date=work.open_date,
        loan_id=loan.loan_id,
    )
    loan.earned = total
    loan.accrued_through = through


def _repaid(loan: Loan, allocation: Allocation, collection_id: str, value_date: date) -> LoanRepaid:
    return LoanRepaid(
        loan_id=loan.loan_id,
        collection_id=collection_id,
        value_date=value_date,
        costs=loan.amount(allocation.costs),
        penalty=loan.amount(allocation.penalty),
        interest=loan.amount(allocation.interest),
        principal=loan.amount(allocation.principal),
        outstanding=loan.amount(loan.outstanding),
        surplus=loan.amount(allocation.surplus),
        standing=standing_on(loan, on=loan.accrued_through or value_date),
    )
