"""Keep what receivables says of goods: documents of kind `goods`, which carry less day by day (DOMAIN §2)."""

from __future__ import annotations

from collections.abc import Sequence

from services.credit.operations.keep_history import keep_documents
from services.credit.operations.note_deficiencies import note_deficiencies
from shared.events.envelope import Received
from shared.events.goods import GoodsPledged, GoodsReleased, GoodsRevalued
from shared.storage.database import Transaction, by_column

# Nobody owes goods: their owner is who owes what is lent on them.
_PLEDGED = """
INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state)
SELECT document_id, 'goods', owner_id, owner_id, eligible, currency, due_date, 'confirmed'
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::date[])
    AS g(document_id, owner_id, eligible, currency, due_date)
ON CONFLICT DO NOTHING
"""
_REVALUED = """
UPDATE document d SET eligible_minor = g.eligible FROM unnest($1::text[], $2::bigint[]) AS g(document_id, eligible)
WHERE d.document_id = g.document_id
"""


async def keep_pledged_goods(tx: Transaction, events: Sequence[Received]) -> None:
    """Make pledged goods financeable, for what they carry on the day."""
    kept = [event.event for event in events if isinstance(event.event, GoodsPledged)]
    rows = [
        (each.goods_id, each.enterprise_id, each.eligible.minor, each.eligible.currency, each.due_date) for each in kept
    ]
    await tx.pg.execute(_PLEDGED, *by_column(rows, width=5))
    await keep_documents(tx, document_ids=[each.goods_id for each in kept])


async def keep_revalued_goods(tx: Transaction, events: Sequence[Received]) -> None:
    """Change what is eligible, never the loan; record what whoever drew on the goods lacks then, or no more (R6)."""
    last = {event.event.goods_id: event.event for event in events if isinstance(event.event, GoodsRevalued)}
    await tx.pg.execute(_REVALUED, *by_column([(key, each.eligible.minor) for key, each in last.items()], width=2))
    await keep_documents(tx, document_ids=list(last))
    rows = await tx.pg.fetch("SELECT drawdown_id FROM document_use WHERE document_id = ANY($1)", list(last))
    await note_deficiencies(tx, drawdown_ids=[row["drawdown_id"] for row in rows], cause="goods.revalued")


async def keep_released_goods(tx: Transaction, events: Sequence[Received]) -> None:
    """Close goods of which nothing is pledged any more."""
    ids = [event.subject for event in events if isinstance(event.event, GoodsReleased) and event.event.wholly]
    await tx.pg.execute("UPDATE document SET state = 'released' WHERE document_id = ANY($1)", ids)
    await keep_documents(tx, document_ids=ids)
