"""Keep which invoices took the place of a financed order: what is paid on them repays that loan first (DOMAIN §2)."""

from __future__ import annotations

from collections.abc import Sequence

from services.settlement.operations.obligations import use
from shared.events.credit import DrawdownEvent
from shared.events.envelope import Received
from shared.events.receivables import OrderInvoiced
from shared.messaging.applying import NotYet
from shared.storage.database import Transaction, by_column

_LOCK = "SELECT FROM drawdown WHERE drawdown_id = ANY($1) ORDER BY drawdown_id FOR NO KEY UPDATE"
# The drawdown's row is locked in both: whoever instructs its loan meanwhile sees the invoices, or we see the loan.
_NAMED = """
UPDATE drawdown d SET document_ids = d.document_ids || n.receivable_ids
FROM (SELECT drawdown_id, array_agg(receivable_id ORDER BY receivable_id) AS receivable_ids
    FROM unnest($1::text[], $2::text[]) AS b(receivable_id, drawdown_id) GROUP BY drawdown_id) AS n
WHERE d.drawdown_id = n.drawdown_id AND d.drawdown_id = ANY($3) RETURNING d.drawdown_id
"""
_REFERRED = """
INSERT INTO loan_reference (reference, loan_id)
SELECT b.receivable_id, l.loan_id FROM unnest($1::text[], $2::text[]) AS b(receivable_id, drawdown_id)
JOIN loan l ON l.loan_id = b.drawdown_id ON CONFLICT DO NOTHING
"""


async def keep_conversions(tx: Transaction, events: Sequence[Received]) -> None:
    """Let an invoice that belongs to an order's loan name that loan to whoever pays; NotYet before the drawdown."""
    rows = [
        (said.receivable_id, said.drawdown_id)
        for event in events
        if isinstance(said := event.event, OrderInvoiced) and said.drawdown_id is not None
    ]
    if not rows:
        return
    names = sorted({drawdown_id for _, drawdown_id in rows})
    await tx.pg.execute(_LOCK, names)
    known = {row["drawdown_id"] for row in await tx.pg.fetch(_NAMED, *by_column(rows, width=2), names)}
    for drawdown_id in names:
        if drawdown_id not in known:
            raise NotYet(topic=DrawdownEvent.topic, subject=drawdown_id)
    await tx.pg.execute(_REFERRED, *by_column(rows, width=2))
    await use(tx, rows)
