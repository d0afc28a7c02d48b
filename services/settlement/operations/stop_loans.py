"""Stop the payments of cancelled drawdowns, as long as they were not sent."""

from __future__ import annotations

from collections.abc import Sequence

from services.settlement.domain.business_day import BookNotOpen
from services.settlement.domain.loans import Input, State
from services.settlement.operations.book import open_day
from services.settlement.operations.disburse import Happened, save_payments, take
from services.settlement.operations.loan_rows import Work, lock_loans, save
from shared.events.credit import DrawdownCancellationRequested
from shared.events.envelope import Received
from shared.storage.database import Transaction


async def stop_loans(tx: Transaction, events: Sequence[Received]) -> None:
    """Stop what is still here; what was sent goes on, and its outcome tells credit."""
    reasons = {
        event.event.drawdown_id: event.event.reason
        for event in events
        if isinstance(event.event, DrawdownCancellationRequested)
    }
    try:
        work = Work(await open_day(tx))
    except BookNotOpen:
        return  # then nothing was instructed
    loans = await lock_loans(tx, loan_ids=reasons)
    waiting = [loan.row["end_to_end_id"] for loan in loans.values() if loan.state is State.INSTRUCTED]
    rows = await tx.pg.fetch(
        """SELECT loan_id, value_date FROM payment WHERE end_to_end_id = ANY($1) AND state = 'due'
        ORDER BY end_to_end_id FOR UPDATE""",
        waiting,
    )
    moved = []
    for row in rows:
        loan = loans[row["loan_id"]]
        take(loan, Happened(Input.STOPPED, row["value_date"], f"cancelled: {reasons[loan.loan_id]}"), work=work)
        moved.append(loan)
    await save(tx, moved, work=work)
    await save_payments(tx, work)
