"""Keep what receivables says of documents."""

from __future__ import annotations

from collections.abc import Sequence

from services.credit.operations.advance_drawdowns import withdraw_documents
from services.credit.operations.keep_history import keep_documents
from services.credit.operations.note_deficiencies import note_deficiencies
from shared.events.envelope import Received
from shared.events.receivables import (
    ReceivableCancelled,
    ReceivableConfirmed,
    ReceivableDiluted,
    ReceivablePaid,
    ReceivableRegistered,
    ReceivableRejected,
    ReceivableSettled,
    Slice,
    VoucherIssued,
    VoucherSettled,
    VoucherTransferred,
)
from shared.storage.database import Transaction, by_column

_REGISTERED = """
INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state)
SELECT document_id, 'receivable', owner_id, obligor_id, 0, currency, due_date, state
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::text[])
    AS r(document_id, owner_id, obligor_id, currency, due_date, state)
ON CONFLICT (document_id) DO UPDATE SET owner_id = excluded.owner_id, obligor_id = excluded.obligor_id,
    currency = excluded.currency, due_date = excluded.due_date, eligible_minor = 0, state = excluded.state
"""
_CONFIRMED = """
UPDATE document d SET state = 'confirmed', eligible_minor = c.eligible_minor, due_date = c.due_date,
    irrevocable = c.irrevocable
FROM unnest($1::text[], $2::bigint[], $3::date[], $4::boolean[])
    AS c(document_id, eligible_minor, due_date, irrevocable)
WHERE d.document_id = c.document_id
"""
_DILUTED = """
UPDATE document d SET eligible_minor = n.eligible_minor
FROM unnest($1::text[], $2::bigint[]) AS n(document_id, eligible_minor)
WHERE d.document_id = n.document_id AND d.state = 'confirmed'
"""
_GONE = """
UPDATE document d SET state = n.state, eligible_minor = 0 FROM unnest($1::text[], $2::text[]) AS n(document_id, state)
WHERE d.document_id = n.document_id
"""
_SLICES = """
INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state, irrevocable)
SELECT s.slice_id, 'slice', s.holder_id, v.obligor_id, s.amount, v.currency, v.maturity_date, s.state, true
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    AS s(root_id, slice_id, holder_id, amount, state)
JOIN voucher v USING (root_id)
ON CONFLICT (document_id) DO UPDATE SET owner_id = excluded.owner_id, state = excluded.state
"""


async def keep_registered(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a receivable; nothing can be drawn on it before the obligor confirms."""
    kept = [event.event for event in events if isinstance(event.event, ReceivableRegistered)]
    rows = [
        (
            each.receivable_id,
            each.seller_id,
            each.obligor_id,
            each.payable.currency,
            each.due_date,
            "registered" if each.state == "validated" else each.state,
        )
        for each in kept
    ]
    await tx.pg.execute(_REGISTERED, *by_column(rows, width=6))
    await keep_documents(tx, document_ids=[each.receivable_id for each in kept])


async def keep_confirmed(tx: Transaction, events: Sequence[Received]) -> None:
    """Make confirmed receivables financeable, for the amount and date that the obligor confirmed."""
    kept = [event.event for event in events if isinstance(event.event, ReceivableConfirmed)]
    rows = [
        (each.receivable_id, each.financeable.minor, each.due_date, each.undertaking == "irrevocable") for each in kept
    ]
    await tx.pg.execute(_CONFIRMED, *by_column(rows, width=4))
    await keep_documents(tx, document_ids=[each.receivable_id for each in kept])


async def keep_diluted(tx: Transaction, events: Sequence[Received]) -> None:
    """Lower what is eligible, never the loan; record deficiency and claim of whoever drew on it (R6)."""
    kept = [event.event for event in events if isinstance(event.event, ReceivableDiluted)]
    rows = [(each.receivable_id, each.financeable.minor) for each in kept]
    await tx.pg.execute(_DILUTED, *by_column(rows, width=2))
    await keep_documents(tx, document_ids=[each.receivable_id for each in kept])
    await _note_deficiencies(tx, [each.receivable_id for each in kept])


async def keep_paid(tx: Transaction, events: Sequence[Received]) -> None:
    """Lower what is eligible by what was paid (R7), unless it repaid the loan beneath which the document stands."""
    paid = [event.event for event in events if isinstance(event.event, ReceivablePaid)]
    rows = [(each.receivable_id, each.financeable.minor) for each in paid if each.drawdown_id is None]
    await tx.pg.execute(_DILUTED, *by_column(rows, width=2))
    ids = [document_id for document_id, _ in rows]
    await keep_documents(tx, document_ids=ids)
    await _note_deficiencies(tx, ids)


async def keep_ended(tx: Transaction, events: Sequence[Received]) -> None:
    """Close receivables: of a rejected or cancelled one nothing is eligible, and who stands on it loses it."""
    settled = [event.subject for event in events if isinstance(event.event, ReceivableSettled)]
    gone = [
        (event.subject, "rejected" if isinstance(event.event, ReceivableRejected) else "cancelled")
        for event in events
        if isinstance(event.event, ReceivableRejected | ReceivableCancelled)
    ]
    await tx.pg.execute("UPDATE document SET state = 'settled' WHERE document_id = ANY($1)", settled)
    await tx.pg.execute(_GONE, *by_column(gone, width=2))
    ids = [document_id for document_id, _ in gone]
    await keep_documents(tx, document_ids=[*settled, *ids])
    if gone:
        await _note_deficiencies(tx, ids)
        await withdraw_documents(tx, document_ids=ids)


async def keep_vouchers(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep issued vouchers; the receivable beneath cannot be financed any more, even if it is not known yet."""
    kept = [event.event for event in events if isinstance(event.event, VoucherIssued)]
    await tx.pg.executemany(
        """INSERT INTO voucher (root_id, programme_id, obligor_id, currency, maturity_date)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        [(each.root_id, each.programme_id, each.obligor_id, each.face.currency, each.maturity_date) for each in kept],
    )
    await tx.pg.executemany(
        """INSERT INTO document (document_id, kind, state, vouchered) VALUES ($1, 'receivable', 'unknown', true)
        ON CONFLICT (document_id) DO UPDATE SET vouchered = true""",
        [(each.receivable_id,) for each in kept],
    )
    await keep_documents(tx, document_ids=[each.receivable_id for each in kept])
    await _keep_slices(tx, [(each.root_id, each.slice) for each in kept])


async def move_slices(tx: Transaction, events: Sequence[Received]) -> None:
    """Replace a transferred slice by those made of it."""
    kept = [event.event for event in events if isinstance(event.event, VoucherTransferred)]
    await tx.pg.execute(
        "UPDATE document SET state = 'replaced' WHERE document_id = ANY($1)", [each.replaced_slice_id for each in kept]
    )
    await keep_documents(tx, document_ids=[each.replaced_slice_id for each in kept])
    await _keep_slices(tx, [(each.root_id, part) for each in kept for part in each.slices])


async def settle_slices(tx: Transaction, events: Sequence[Received]) -> None:
    """Close paid slices."""
    paid = [event.event.slice_id for event in events if isinstance(event.event, VoucherSettled)]
    await tx.pg.execute("UPDATE document SET state = 'paid' WHERE document_id = ANY($1)", paid)
    await keep_documents(tx, document_ids=paid)


async def _keep_slices(tx: Transaction, slices: Sequence[tuple[str, Slice]]) -> None:
    await tx.pg.execute(
        _SLICES,
        [root_id for root_id, _ in slices],
        [part.slice_id for _, part in slices],
        [part.holder_id for _, part in slices],
        [part.end_minor - part.start_minor for _, part in slices],
        [part.state for _, part in slices],
    )
    await keep_documents(tx, document_ids=[part.slice_id for _, part in slices])


async def _note_deficiencies(tx: Transaction, document_ids: Sequence[str]) -> None:
    rows = await tx.pg.fetch("SELECT drawdown_id FROM document_use WHERE document_id = ANY($1)", list(document_ids))
    await note_deficiencies(tx, drawdown_ids=[row["drawdown_id"] for row in rows])
