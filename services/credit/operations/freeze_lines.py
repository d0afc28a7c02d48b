"""Freeze the line of an overdue loan, until nothing is overdue on it any more (R17)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.credit.operations.drawdown_rows import UnknownDrawdown, lock_drawdowns
from services.credit.operations.propagate_limits import propagate_limits
from shared.events.envelope import Received
from shared.events.settlement import LoanCured, LoanOverdue
from shared.storage.database import Transaction

# Without recourse the seller does not answer for the obligor's delay: a purchase freezes nobody's line.
_NOTE = """
INSERT INTO overdue_loan (drawdown_id, line_id)
SELECT drawdown_id, line_id FROM drawdown
WHERE drawdown_id = ANY($1) AND form = 'loan' AND state = 'utilised' ORDER BY drawdown_id
ON CONFLICT DO NOTHING RETURNING drawdown_id
"""


async def freeze_overdue(tx: Transaction, events: Sequence[Received]) -> None:
    """Freeze the lines of loans that are overdue after grace; that they still are, later on, changes nothing."""
    ids = [event.event.loan_id for event in events if isinstance(event.event, LoanOverdue)]
    rows = await tx.pg.fetch("SELECT drawdown_id, programme_id FROM drawdown WHERE drawdown_id = ANY($1)", ids)
    programme_of = {row["drawdown_id"]: row["programme_id"] for row in rows}
    for drawdown_id in ids:
        if drawdown_id not in programme_of:
            raise UnknownDrawdown(drawdown_id=drawdown_id)
    noted = await tx.pg.fetch(_NOTE, ids)
    programmes = [programme_of[row["drawdown_id"]] for row in noted]
    if programmes:
        await propagate_limits(tx, programme_ids=programmes, cause="loan.overdue")


async def open_cured(tx: Transaction, events: Sequence[Received]) -> None:
    """Open the lines of loans of which nothing is overdue any more, unless another keeps one frozen."""
    ids = [event.event.loan_id for event in events if isinstance(event.event, LoanCured)]
    await lock_drawdowns(tx, drawdown_ids=ids)
    await end_overdue(tx, drawdown_ids=ids, cause="loan.cured")


async def end_overdue(tx: Transaction, *, drawdown_ids: Collection[str], cause: str) -> None:
    """Open lines whose overdue loans are closed, unless another keeps one frozen.

    `lock_drawdowns` has locked their programmes.
    """
    rows = await tx.pg.fetch(
        """DELETE FROM overdue_loan o USING drawdown w
        WHERE o.drawdown_id = w.drawdown_id AND o.drawdown_id = ANY($1) RETURNING w.programme_id""",
        list(drawdown_ids),
    )
    if rows:
        await propagate_limits(tx, programme_ids=[row["programme_id"] for row in rows], cause=cause)
