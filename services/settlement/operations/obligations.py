"""Keep which debts could be netted, and end the proposals whose debts have changed (R14)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.settlement.operations.end_nettings import PARTY_BARRED, end_nettings
from shared.events.envelope import Received
from shared.events.onboarding import EnterpriseSuspended
from shared.events.receivables import (
    DocumentsAssigned,
    ReceivableAcknowledged,
    ReceivableConfirmed,
    ReceivableDiluted,
    ReceivableDisputed,
    ReceivablePaid,
    ReceivableRegistered,
    VoucherIssued,
)
from shared.storage.database import Transaction, by_column

FREE = """o.agreed AND NOT o.vouchered AND NOT o.disputed AND NOT o.ended AND o.open_minor > 0
    AND NOT EXISTS (SELECT FROM obligation_use u WHERE u.receivable_id = o.receivable_id)"""
NOT_BARRED = "NOT EXISTS (SELECT FROM netting_barred b WHERE b.enterprise_id IN (o.debtor_id, o.creditor_id))"
_OF_PARTIES = """
SELECT n.netting_id FROM netting n JOIN netting_party p USING (netting_id)
WHERE p.enterprise_id = ANY($1) AND n.state = 'proposed'
"""
# Rows are made or locked in the order of their ids first: a run locks them so too.
_LOCK = """
WITH made AS (
    INSERT INTO obligation (receivable_id) SELECT DISTINCT r FROM unnest($1::text[]) AS r ORDER BY r
    ON CONFLICT DO NOTHING)
SELECT FROM obligation WHERE receivable_id = ANY($1) ORDER BY receivable_id FOR NO KEY UPDATE
"""
_REGISTERED = """
UPDATE obligation o SET creditor_id = d.creditor_id, debtor_id = d.debtor_id, number = d.number,
    currency = d.currency, open_minor = d.owed, due_date = d.due_date
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::date[])
    AS d(receivable_id, creditor_id, debtor_id, number, currency, owed, due_date)
WHERE o.receivable_id = d.receivable_id
"""
_AGREED = """
UPDATE obligation o SET agreed = true, open_minor = d.owed, due_date = d.due_date
FROM unnest($1::text[], $2::bigint[], $3::date[]) AS d(receivable_id, owed, due_date)
WHERE o.receivable_id = d.receivable_id
"""
_DILUTED = """
UPDATE obligation o SET open_minor = d.owed FROM unnest($1::text[], $2::bigint[]) AS d(receivable_id, owed)
WHERE o.receivable_id = d.receivable_id
"""
_TOOK = """
INSERT INTO debt_paid AS d (collection_id, receivable_id, amount_minor) VALUES ($1, $2, $3)
ON CONFLICT (collection_id, receivable_id) DO UPDATE SET amount_minor = d.amount_minor + excluded.amount_minor
"""
_USED = """
INSERT INTO obligation_use (receivable_id, drawdown_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING
"""
_CHANGED = f"""
SELECT n.netting_id FROM netting n WHERE n.state = 'proposed' AND n.netting_id IN (
    SELECT l.netting_id FROM netting_leg l JOIN obligation o USING (receivable_id)
    WHERE l.receivable_id = ANY($1) AND NOT ({FREE} AND o.open_minor >= l.amount_minor))
ORDER BY n.netting_id
"""  # noqa: S608 - constants only


async def keep_registered(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep who owes whom what."""
    kept = [event.event for event in events if isinstance(event.event, ReceivableRegistered)]
    await _lock(tx, [each.receivable_id for each in kept])
    rows = [
        (
            each.receivable_id,
            each.seller_id,
            each.obligor_id,
            each.number,
            each.payable.currency,
            each.payable.minor,
            each.due_date,
        )
        for each in kept
    ]
    await tx.pg.execute(_REGISTERED, *by_column(rows, width=7))


async def keep_agreed(tx: Transaction, events: Sequence[Received]) -> None:
    """Count debts that both sides acknowledge, or that the obligor confirmed: they can be netted."""
    rows = []
    for event in events:
        said = event.event
        if isinstance(said, ReceivableConfirmed):
            rows.append((said.receivable_id, said.financeable.minor, said.due_date))
        elif isinstance(said, ReceivableAcknowledged):
            rows.append((said.receivable_id, said.owed.minor, said.due_date))
    await _lock(tx, [row[0] for row in rows])
    await tx.pg.execute(_AGREED, *by_column(rows, width=3))


async def keep_lowered(tx: Transaction, events: Sequence[Received]) -> None:
    """Lower what is owed: by a credit note or set-off, or because it was paid; keep what a receipt paid of it."""
    kept = [event.event for event in events if isinstance(event.event, ReceivableDiluted | ReceivablePaid)]
    await _lock(tx, [each.receivable_id for each in kept])
    await tx.pg.execute(_DILUTED, *by_column([(each.receivable_id, each.financeable.minor) for each in kept], width=2))
    await tx.pg.executemany(
        _TOOK,
        [
            (each.collection_id, each.receivable_id, each.by.minor)
            for each in kept
            if isinstance(each, ReceivablePaid) and each.collection_id is not None
        ],
    )
    await end_changed(tx, [each.receivable_id for each in kept])


async def keep_disputes(tx: Transaction, events: Sequence[Received]) -> None:
    """Count no debt while it is disputed."""
    for disputed in (True, False):
        ids = [event.subject for event in events if isinstance(event.event, ReceivableDisputed) is disputed]
        await _lock(tx, ids)
        await tx.pg.execute("UPDATE obligation SET disputed = $2 WHERE receivable_id = ANY($1)", ids, disputed)
        await end_changed(tx, ids)


async def keep_ended(tx: Transaction, events: Sequence[Received]) -> None:
    """Forget what was rejected or taken back, and what is paid."""
    ids = [event.subject for event in events]
    await _lock(tx, ids)
    await tx.pg.execute("UPDATE obligation SET ended = true WHERE receivable_id = ANY($1)", ids)
    await end_changed(tx, ids)


async def keep_vouchers(tx: Transaction, events: Sequence[Received]) -> None:
    """Count no debt that a voucher replaced."""
    ids = [event.event.receivable_id for event in events if isinstance(event.event, VoucherIssued)]
    await _lock(tx, ids)
    await tx.pg.execute("UPDATE obligation SET vouchered = true WHERE receivable_id = ANY($1)", ids)
    await end_changed(tx, ids)


async def keep_uses(tx: Transaction, events: Sequence[Received]) -> None:
    """Count no debt that is assigned to a drawdown."""
    rows = [
        (document.document_id, each.drawdown_id)
        for event in events
        if isinstance(each := event.event, DocumentsAssigned)
        for document in each.documents
        if document.kind == "receivable"
    ]
    await use(tx, rows)


async def use(tx: Transaction, rows: Sequence[tuple[str, str]]) -> None:
    """Count no debt of these (receivable, drawdown) pairs: they stand under a drawdown."""
    ids = [row[0] for row in rows]
    await _lock(tx, ids)
    await tx.pg.execute(_USED, *by_column(rows, width=2))
    await end_changed(tx, ids)


async def forget_uses(tx: Transaction, events: Sequence[Received]) -> None:
    """Count debts again whose drawdown was released."""
    await tx.pg.execute("DELETE FROM obligation_use WHERE drawdown_id = ANY($1)", [event.subject for event in events])


async def bar_suspended(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep suspended firms out, and end the proposals that wait with one; reinstated ones may come back."""
    barred = [event.subject for event in events if isinstance(event.event, EnterpriseSuspended)]
    freed = [event.subject for event in events if not isinstance(event.event, EnterpriseSuspended)]
    await tx.pg.execute(
        "INSERT INTO netting_barred SELECT DISTINCT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", barred
    )
    await tx.pg.execute("DELETE FROM netting_barred WHERE enterprise_id = ANY($1)", freed)
    rows = await tx.pg.fetch(_OF_PARTIES, barred)
    await end_nettings(tx, [row["netting_id"] for row in rows], **PARTY_BARRED)


async def end_changed(tx: Transaction, receivable_ids: Iterable[str]) -> None:
    """End the proposals that wait for answers over debts that do not owe that much, or not freely, any more."""
    rows = await tx.pg.fetch(_CHANGED, list(receivable_ids))
    await end_nettings(
        tx, [row["netting_id"] for row in rows], code="obligation_changed", reason="a debt in it has changed"
    )


async def _lock(tx: Transaction, receivable_ids: Sequence[str]) -> None:
    await tx.pg.execute(_LOCK, list(receivable_ids))
