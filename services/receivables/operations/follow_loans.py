"""What becomes of assigned documents: freed with the drawdown, financed by the money, settled when it is back."""

from __future__ import annotations

from collections.abc import Sequence

from services.receivables.domain.assigning import claim_asset, slice_asset
from services.receivables.domain.goods import secured_asset
from services.receivables.domain.orders import order_asset
from services.receivables.domain.receivables import Assignment, Executed, Happened, State, advance_assignment
from services.receivables.operations.locking import Row
from services.receivables.operations.movables_registry import Filed, Filing, MovablesRegistry
from services.receivables.operations.pay_slice import settle_roots
from services.receivables.operations.pledge_goods import end_pledges, wholly_released
from services.receivables.operations.register import discharge, register
from services.receivables.operations.take_documents import SOURCE
from shared.events.credit import DrawdownEvent
from shared.events.envelope import Event, Received
from shared.events.receivables import (
    AssignmentSettled,
    DocumentsFinanced,
    DocumentsFreed,
    OrderSettled,
    ReceivableSettled,
    VoucherSettled,
)
from shared.events.settlement import LoanDisbursed
from shared.messaging.applying import NotYet
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction, by_column

_LOCK_ORDERS = "SELECT FROM trade_order WHERE drawdown_id = ANY($1) ORDER BY order_id FOR NO KEY UPDATE"
_LOCK_RECEIVABLES = "SELECT FROM receivable WHERE drawdown_id = ANY($1) ORDER BY receivable_id FOR NO KEY UPDATE"
# With those beneath slices, which their last slice settles: receivables before slices, as everywhere.
_LOCK_BENEATH = """
SELECT FROM receivable WHERE receivable_id = ANY(ARRAY(
    SELECT receivable_id FROM receivable WHERE drawdown_id = ANY($1)
    UNION SELECT v.receivable_id FROM slice s JOIN voucher v USING (root_id) WHERE s.drawdown_id = ANY($1)))
ORDER BY receivable_id FOR NO KEY UPDATE
"""
_LOCK_SLICES = "SELECT FROM slice WHERE drawdown_id = ANY($1) ORDER BY slice_id FOR NO KEY UPDATE"
_LOCK_GOODS = "SELECT FROM goods WHERE drawdown_id = ANY($1) ORDER BY goods_id FOR NO KEY UPDATE"
# What was paid or credited whole while it was assigned.
_FREE_RECEIVABLES = """
UPDATE receivable SET drawdown_id = NULL, state = CASE financeable_minor WHEN 0 THEN 'settled' ELSE 'confirmed' END
WHERE drawdown_id = ANY($1) RETURNING receivable_id, state
"""
_RETAKE_ORDERS = """
UPDATE trade_order o SET state = 'assigned', drawdown_id = a.drawdown_id
FROM assignment a, jsonb_to_recordset(a.documents) AS d(kind text, document_id text)
WHERE a.drawdown_id = ANY($1) AND d.kind = 'order' AND o.order_id = d.document_id AND o.state = 'confirmed'
RETURNING o.seller_id, o.buyer_id, o.number_key
"""
# With an order come the invoices that took its place and that nobody else took.
_RETAKE_INVOICES = """
UPDATE receivable r SET state = 'assigned', drawdown_id = o.drawdown_id
FROM trade_order o JOIN order_invoice i USING (order_id)
WHERE o.drawdown_id = ANY($1) AND r.receivable_id = i.receivable_id AND r.state = 'confirmed' AND NOT r.vouchered
"""
_RETAKE_RECEIVABLES = """
UPDATE receivable r SET state = 'assigned', drawdown_id = a.drawdown_id
FROM assignment a, jsonb_to_recordset(a.documents) AS d(kind text, document_id text)
WHERE a.drawdown_id = ANY($1) AND d.kind = 'receivable' AND r.receivable_id = d.document_id
    AND r.state = 'confirmed' AND NOT r.vouchered
RETURNING r.seller_id, r.number_key, r.issue_year
"""
_RETAKE_SLICES = """
UPDATE slice s SET state = 'assigned', drawdown_id = a.drawdown_id
FROM assignment a, jsonb_to_recordset(a.documents) AS d(kind text, document_id text)
WHERE a.drawdown_id = ANY($1) AND d.kind = 'slice' AND s.slice_id = d.document_id AND s.state = 'live'
RETURNING s.slice_id
"""
_RETAKE_GOODS = """
UPDATE goods g SET state = 'assigned', drawdown_id = a.drawdown_id
FROM assignment a, jsonb_to_recordset(a.documents) AS d(kind text, document_id text)
WHERE a.drawdown_id = ANY($1) AND d.kind = 'goods' AND g.goods_id = d.document_id AND g.state = 'pledged'
RETURNING g.goods_id
"""
_LENT = """
UPDATE assignment a SET lent_minor = d.lent FROM unnest($1::text[], $2::bigint[]) AS d(drawdown_id, lent)
WHERE a.drawdown_id = d.drawdown_id
"""


async def free_documents(tx: Transaction, events: Sequence[Received], *, registry: MovablesRegistry) -> None:
    """Free the documents of released drawdowns: they can be financed again, those of which anything is open."""
    moved = await _move(tx, [event.subject for event in events], happened=Happened.RELEASED)
    ids = [row["drawdown_id"] for row, _ in moved]
    await _lock(tx, ids)
    await tx.pg.execute(
        "UPDATE trade_order SET state = 'confirmed', drawdown_id = NULL WHERE drawdown_id = ANY($1)", ids
    )
    receivables = await tx.pg.fetch(_FREE_RECEIVABLES, ids)
    settled = sorted(row["receivable_id"] for row in receivables if row["state"] == State.SETTLED)
    await tx.pg.execute("UPDATE slice SET state = 'live', drawdown_id = NULL WHERE drawdown_id = ANY($1)", ids)
    await tx.pg.execute("UPDATE goods SET state = 'pledged', drawdown_id = NULL WHERE drawdown_id = ANY($1)", ids)
    await _discharge(tx, ids, reason="released", registry=registry)
    said: list[Event] = [DocumentsFreed(drawdown_id=drawdown_id) for drawdown_id in ids]
    await _tell(tx, [*said, *(ReceivableSettled(receivable_id=each) for each in settled)])


async def finance_documents(tx: Transaction, events: Sequence[Received], *, registry: MovablesRegistry) -> None:
    """Mark the documents financed: the money went out."""
    subjects = [event.subject for event in events]
    await _need(tx, subjects)
    moved = await _move(tx, subjects, happened=Happened.DISBURSED)
    ids = [row["drawdown_id"] for row, _ in moved]
    late = [row["drawdown_id"] for row, _ in moved if row["state"] == Assignment.FREED]
    if late:
        await _retake(tx, late, registry=registry)
    await _lock(tx, ids)
    lent = [(event.subject, event.event.principal.minor) for event in events if isinstance(event.event, LoanDisbursed)]
    await tx.pg.execute(_LENT, *by_column(lent, width=2))
    for table in ("trade_order", "receivable", "slice", "goods"):
        await tx.pg.execute(
            f"UPDATE {table} SET state = 'financed' WHERE drawdown_id = ANY($1) AND state = 'assigned'",  # noqa: S608 - names of ours
            ids,
        )
    await _tell(tx, [DocumentsFinanced(drawdown_id=drawdown_id) for drawdown_id in ids])


async def settle_documents(tx: Transaction, events: Sequence[Received], *, registry: MovablesRegistry) -> None:
    """Settle the documents of closed loans; a root whose every slice is paid settles the receivable beneath it."""
    subjects = [event.subject for event in events]
    await _need(tx, subjects)
    moved = await _move(tx, subjects, happened=Happened.CLOSED)
    ids = [row["drawdown_id"] for row, _ in moved]
    await _lock(tx, ids, receivables=_LOCK_BENEATH)
    orders = await tx.pg.fetch(
        "UPDATE trade_order SET state = 'settled' WHERE drawdown_id = ANY($1) AND state = 'financed' "
        "RETURNING order_id",
        ids,
    )
    receivables = await tx.pg.fetch(
        "UPDATE receivable SET state = 'settled' WHERE drawdown_id = ANY($1) AND state = 'financed' "
        "RETURNING receivable_id",
        ids,
    )
    slices = await tx.pg.fetch(
        "UPDATE slice SET state = 'paid' WHERE drawdown_id = ANY($1) AND state = 'financed' "
        "RETURNING slice_id, root_id",
        ids,
    )
    goods = await end_pledges(tx, ids)
    roots = await settle_roots(tx, {row["root_id"] for row in slices})
    await _discharge(tx, [*ids, *(row["goods_id"] for row in goods)], reason="settled", registry=registry)
    settled = sorted([*(row["receivable_id"] for row in receivables), *roots])
    said: list[Event] = [ReceivableSettled(receivable_id=receivable_id) for receivable_id in settled]
    said += [OrderSettled(order_id=row["order_id"]) for row in orders]
    said += [VoucherSettled(root_id=row["root_id"], slice_id=row["slice_id"]) for row in slices]
    said += [wholly_released(row) for row in goods if row["is_news"]]
    said += [AssignmentSettled(drawdown_id=drawdown_id) for drawdown_id in ids]
    await _tell(tx, said)


async def _retake(tx: Transaction, drawdown_ids: Sequence[str], *, registry: MovablesRegistry) -> None:
    """Take freed documents again, those that nobody took meanwhile, and file them again."""
    await tx.pg.execute(
        "UPDATE assignment SET reason = 'disbursed after release' WHERE drawdown_id = ANY($1)", list(drawdown_ids)
    )
    filings = []
    for drawdown_id in drawdown_ids:
        orders = await tx.pg.fetch(_RETAKE_ORDERS, [drawdown_id])
        await tx.pg.execute(_RETAKE_INVOICES, [drawdown_id])
        receivables = await tx.pg.fetch(_RETAKE_RECEIVABLES, [drawdown_id])
        slices = await tx.pg.fetch(_RETAKE_SLICES, [drawdown_id])
        goods = await tx.pg.fetch(_RETAKE_GOODS, [drawdown_id])
        parties = await tx.pg.fetchrow(
            "SELECT enterprise_id, obligor_id FROM assignment WHERE drawdown_id = $1", drawdown_id
        )
        named = [order_asset(**row) for row in orders]
        assets = (*named, *(claim_asset(**row) for row in receivables), *(slice_asset(**row) for row in slices))
        assets += tuple(secured_asset(**row) for row in goods)
        if assets and parties is not None:
            filings.append(Filing(drawdown_id, parties["enterprise_id"], parties["obligor_id"], assets))
    answers = await registry.file(filings, at=await database_now(tx))
    filed = {
        filing.drawdown_id: answer for filing, answer in zip(filings, answers, strict=True) if isinstance(answer, Filed)
    }
    await register(tx, filed)


async def _discharge(tx: Transaction, ids: Sequence[str], *, reason: str, registry: MovablesRegistry) -> None:
    now = await database_now(tx)
    await registry.discharge(ids, at=now)
    await discharge(tx, ids, reason=reason, at=now)


async def _move(tx: Transaction, drawdown_ids: Sequence[str], *, happened: Happened) -> list[tuple[Row, Assignment]]:
    """Lock the assignments in id order and move those that the event moves; late and repeated ones stay."""
    rows = await tx.pg.fetch(
        "SELECT drawdown_id, state FROM assignment WHERE drawdown_id = ANY($1) ORDER BY drawdown_id FOR UPDATE",
        list(drawdown_ids),
    )
    steps = [(row, advance_assignment(row["state"], happened)) for row in rows]
    moved = [(row, step.state) for row, step in steps if isinstance(step, Executed)]
    await tx.pg.execute(
        """UPDATE assignment a SET state = n.state FROM unnest($1::text[], $2::text[]) AS n(drawdown_id, state)
        WHERE a.drawdown_id = n.drawdown_id""",
        [row["drawdown_id"] for row, _ in moved],
        [state.value for _, state in moved],
    )
    return moved


async def _need(tx: Transaction, drawdown_ids: Sequence[str]) -> None:
    """Wait for the drawdown when a loan's event overtook it; NotYet."""
    rows = await tx.pg.fetch("SELECT drawdown_id FROM assignment WHERE drawdown_id = ANY($1)", list(drawdown_ids))
    known = {row["drawdown_id"] for row in rows}
    for drawdown_id in drawdown_ids:
        if drawdown_id not in known:
            raise NotYet(topic=DrawdownEvent.topic, subject=drawdown_id)


async def _lock(tx: Transaction, drawdown_ids: Sequence[str], *, receivables: str = _LOCK_RECEIVABLES) -> None:
    await tx.pg.execute(_LOCK_ORDERS, list(drawdown_ids))
    await tx.pg.execute(receivables, list(drawdown_ids))
    await tx.pg.execute(_LOCK_SLICES, list(drawdown_ids))
    await tx.pg.execute(_LOCK_GOODS, list(drawdown_ids))


async def _tell(tx: Transaction, said: Sequence[Event]) -> None:
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry("events", each.type.removesuffix(".v1"), each.subject, {}) for each in said])
