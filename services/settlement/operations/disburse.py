"""What happens to a payment and its loan: confirmed, refused, silent, proven, found out, stopped (DOMAIN §5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from services.settlement.domain.accrual import Balance
from services.settlement.domain.ledger import disbursement
from services.settlement.domain.loans import AlreadyApplied, Executed, Input, State, step
from services.settlement.operations.accrue import accrue
from services.settlement.operations.loan_rows import Loan, Work
from services.settlement.operations.overdue import standing_on
from services.settlement.operations.post_entries import bookings
from shared.events.settlement import DisbursementFailed, LoanDisbursed, LoanUnknown
from shared.storage.database import Transaction

# What each input makes of the payment; one given up is not sent again, yet a late answer is still heard.
_PAYMENT_STATES = {
    Input.CONFIRMED: "confirmed",
    Input.PROVEN: "confirmed",
    Input.FOUND_DISBURSED: "confirmed",
    Input.REFUSED: "refused",
    Input.SILENT: "unknown",
    Input.FOUND_FAILED: "given_up",
    Input.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class Happened:
    """An input of a loan; `value_date` is when money moved, if it did."""

    input: Input
    value_date: date
    reason: str = ""


def take(loan: Loan, happened: Happened, *, work: Work) -> bool:
    """Move a loan by what happened; return False when it was done before or comes too late."""
    result = step(loan.state, happened.input)
    if isinstance(result, AlreadyApplied):
        return False
    _move(loan, result, happened, work)
    return True


async def save_payments(tx: Transaction, work: Work) -> None:
    """Let each disbursement payment say what became of it."""
    await tx.pg.execute(
        """UPDATE payment p SET state = n.state, reason = n.reason,
            answered_at = CASE WHEN n.state = 'unknown' THEN NULL ELSE clock_timestamp() END
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n(end_to_end_id, state, reason)
        WHERE p.end_to_end_id = n.end_to_end_id""",
        list(work.payments),
        [state for state, _ in work.payments.values()],
        [reason for _, reason in work.payments.values()],
    )


def _move(loan: Loan, result: Executed, happened: Happened, work: Work) -> None:
    loan.state = result.state
    loan.incident = result.incident or loan.incident
    loan.reason = happened.reason or None
    work.payments[loan.row["end_to_end_id"]] = (_PAYMENT_STATES[happened.input], loan.reason)
    if result.state is State.UNKNOWN:
        work.events.append(LoanUnknown(loan_id=loan.loan_id, end_to_end_id=loan.row["end_to_end_id"]))
    elif result.state is State.FAILED:
        work.events.append(DisbursementFailed(loan_id=loan.loan_id, reason=happened.reason))
    elif result.state is State.DISBURSED:
        _disburse(loan, happened.value_date, work)


def _disburse(loan: Loan, value_date: date, work: Work) -> None:
    row = loan.row
    loan.disbursed_date = loan.accrued_through = value_date
    loan.outstanding = row["principal_minor"]
    loan.balances = [Balance(value_date, each.principal, each.nth) for each in loan.instalments]
    paid = disbursement(
        form=row["form"],
        principal_minor=row["principal_minor"],
        discount_minor=row["discount_minor"],
        fee_minor=row["fee_minor"],
        paid_out_minor=row["paid_out_minor"],
    )
    work.booked += bookings(
        paid,
        currency=row["currency"],
        value_date=value_date,
        posting_date=work.open_date,
        loan_id=loan.loan_id,
        reference=row["end_to_end_id"],
    )
    work.events.append(
        LoanDisbursed(
            loan_id=loan.loan_id,
            principal=loan.amount(loan.outstanding),
            paid_out=loan.amount(row["paid_out_minor"]),
            disbursed_date=value_date,
            maturity_date=row["maturity_date"],
            standing=standing_on(loan, on=value_date),
        )
    )
    accrue(loan, work, through=work.open_date)
