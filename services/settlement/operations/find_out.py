"""Two persons say what became of a payment that the rail never answered (DOMAIN §5)."""

from __future__ import annotations

from typing import ClassVar, Literal

from services.settlement.domain.loans import Input, ask
from services.settlement.operations.book import open_day
from services.settlement.operations.disburse import Happened, save_payments, take
from services.settlement.operations.loan_rows import Loan, Work, lock_loans, save
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

_INPUTS = {"disbursed": Input.FOUND_DISBURSED, "failed": Input.FOUND_FAILED}


class UnknownLoan(LookupError):
    """No loan has this id."""

    code: ClassVar[str] = "unknown_loan"

    def __init__(self, *, loan_id: str) -> None:
        """Keep the id asked for."""
        self.loan_id = loan_id
        super().__init__(f"There is no loan {loan_id}.")


async def propose_evidence(
    database: Database, *, loan_id: str, outcome: Literal["disbursed", "failed"], reason: str, actor: str
) -> Approval:
    """Propose what became of an unknown payment; NotPossible when its outcome is known."""
    async with database.transaction() as tx:
        loan = await _lock(tx, loan_id)
        ask(loan.state, _INPUTS[outcome], loan_id=loan_id)
        content = {"outcome": outcome, "reason": reason}
        proposal = await propose(tx, kind="loan.evidence", subject=loan_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "evidence.proposed", loan_id, content)])
    return proposal


async def accept_evidence(tx: Transaction, approval: Approval) -> None:
    """Apply what two persons found; NotPossible when the rail or a statement was faster."""
    work = Work(await open_day(tx))
    loan = await _lock(tx, approval.subject)
    happened = _INPUTS[approval.content["outcome"]]
    ask(loan.state, happened, loan_id=loan.loan_id)
    value_date = await tx.pg.fetchval(
        "SELECT value_date FROM payment WHERE end_to_end_id = $1", loan.row["end_to_end_id"]
    )
    take(loan, Happened(happened, value_date, approval.content["reason"]), work=work)
    await save(tx, [loan], work=work)
    await save_payments(tx, work)


async def _lock(tx: Transaction, loan_id: str) -> Loan:
    loans = await lock_loans(tx, loan_ids=[loan_id])
    if loan_id not in loans:
        raise UnknownLoan(loan_id=loan_id)
    return loans[loan_id]
