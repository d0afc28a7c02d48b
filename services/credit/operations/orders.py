"""Keep what receivables says of orders: documents of kind `order`, until invoices take their place (DOMAIN §2)."""

from __future__ import annotations

from collections.abc import Sequence

from services.credit.operations.keep_history import keep_documents
from services.credit.operations.note_deficiencies import note_deficiencies
from shared.events.envelope import Received
from shared.events.receivables import (
    OrderConfirmed,
    OrderInvoiced,
    OrderReduced,
    OrderRegistered,
    OrderRejected,
    OrderReopened,
    OrderSettled,
)
from shared.storage.database import Transaction, by_column

_REGISTERED = """
INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state, confirmed_by)
SELECT document_id, 'order', owner_id, obligor_id, 0, currency, due_date, 'registered', confirmed_by
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::text[])
    AS o(document_id, owner_id, obligor_id, currency, due_date, confirmed_by)
ON CONFLICT DO NOTHING
"""
_CONFIRMED = """
UPDATE document d SET state = 'confirmed', eligible_minor = c.open, due_date = c.due_date
FROM unnest($1::text[], $2::bigint[], $3::date[]) AS c(document_id, open, due_date)
WHERE d.document_id = c.document_id
"""
_OPEN = """
UPDATE document d SET eligible_minor = o.open FROM unnest($1::text[], $2::bigint[]) AS o(document_id, open)
WHERE d.document_id = o.document_id
"""
# The invoice of an order that is lent on is used by that loan, whoever held it here meanwhile: receivables decides,
# and refuses the other. Of a drawdown that was released since, it uses nothing.
_OPEN_DRAWDOWNS = """
SELECT drawdown_id FROM drawdown
WHERE drawdown_id = ANY($1) AND state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')
ORDER BY drawdown_id FOR SHARE
"""
_USED = """
INSERT INTO document_use (document_id, drawdown_id)
SELECT document_id, drawdown_id FROM unnest($1::text[], $2::text[]) AS u(document_id, drawdown_id) ORDER BY 1
ON CONFLICT (document_id) DO UPDATE SET drawdown_id = excluded.drawdown_id
"""


async def keep_orders(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep an order; nothing can be drawn on it before it is confirmed."""
    kept = [event.event for event in events if isinstance(event.event, OrderRegistered)]
    rows = [
        (each.order_id, each.seller_id, each.buyer_id, each.amount.currency, each.due_date, _confirmer(each))
        for each in kept
    ]
    await tx.pg.execute(_REGISTERED, *by_column(rows, width=6))


async def keep_confirmed_orders(tx: Transaction, events: Sequence[Received]) -> None:
    """Make confirmed orders financeable, as far as they are not invoiced."""
    kept = [event.event for event in events if isinstance(event.event, OrderConfirmed)]
    rows = [(each.order_id, each.open.minor, each.due_date) for each in kept]
    await tx.pg.execute(_CONFIRMED, *by_column(rows, width=3))
    await keep_documents(tx, document_ids=[each.order_id for each in kept])


async def keep_reduced_orders(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep what is open: lower what is eligible, never the loan; record the deficiency of whoever drew on it (R6)."""
    kept = [event.event for event in events if isinstance(event.event, OrderReduced | OrderReopened)]
    ids = [each.order_id for each in kept]
    await tx.pg.execute(_OPEN, *by_column([(each.order_id, each.open.minor) for each in kept], width=2))
    await keep_documents(tx, document_ids=ids)
    await _note_deficiencies(tx, ids)


async def keep_invoiced_orders(tx: Transaction, events: Sequence[Received]) -> None:
    """Let invoices take the place of orders: what they stand for together stays the same."""
    kept = [event.event for event in events if isinstance(event.event, OrderInvoiced)]
    bound = [(each.receivable_id, each.drawdown_id) for each in kept if each.drawdown_id is not None]
    await tx.pg.execute(_OPEN, *by_column([(each.order_id, each.open.minor) for each in kept], width=2))
    # An order that was invoiced before it was lent on: who draws on it here has less than it counted on.
    await _note_deficiencies(tx, [each.order_id for each in kept if each.drawdown_id is None])
    # Drawdowns after the nodes that a deficiency locks, as everywhere.
    rows = await tx.pg.fetch(_OPEN_DRAWDOWNS, sorted({drawdown_id for _, drawdown_id in bound}))
    still_open = {row["drawdown_id"] for row in rows}
    await tx.pg.execute(_USED, *by_column([pair for pair in bound if pair[1] in still_open], width=2))
    await keep_documents(tx, document_ids=[each.order_id for each in kept])


async def keep_ended_orders(tx: Transaction, events: Sequence[Received]) -> None:
    """Close settled orders, and rejected ones, of which nothing is eligible."""
    rejected = [event.subject for event in events if isinstance(event.event, OrderRejected)]
    settled = [event.subject for event in events if isinstance(event.event, OrderSettled)]
    await tx.pg.execute("UPDATE document SET state = 'settled' WHERE document_id = ANY($1)", settled)
    await tx.pg.execute(
        "UPDATE document SET state = 'rejected', eligible_minor = 0 WHERE document_id = ANY($1)", rejected
    )
    await keep_documents(tx, document_ids=[*settled, *rejected])


def _confirmer(order: OrderRegistered) -> str:
    """Return who stands behind an order: the buyer of a purchase, the seller of a sale."""
    return order.buyer_id if order.side == "purchase" else order.seller_id


async def _note_deficiencies(tx: Transaction, order_ids: Sequence[str]) -> None:
    rows = await tx.pg.fetch("SELECT drawdown_id FROM document_use WHERE document_id = ANY($1)", list(order_ids))
    await note_deficiencies(tx, drawdown_ids=[row["drawdown_id"] for row in rows])
