"""A slice that no loan stands on is paid to its holder: whoever is owed says so, or the bank (R13)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from services.receivables.domain.payments import DuplicatePayment, check_paid_date
from services.receivables.domain.slices import SliceStep, advance_slice
from services.receivables.operations.locking import UnknownVoucher, lock_slices, slice_of
from services.receivables.operations.lowering import SOURCE, lock_to_lower
from shared.events.receivables import ReceivableSettled, VoucherSettled
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.money import Money
from shared.web.auth import ForeignParty

_BENEATH = "SELECT receivable_id FROM voucher WHERE root_id = $1"
_KNOWN = "SELECT true FROM payment WHERE receivable_id = $1 AND reference = $2"
_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
_PAY = "UPDATE slice SET state = 'paid' WHERE slice_id = $1"
_PAID_ROOTS = """
UPDATE receivable r SET state = 'settled' FROM voucher v
WHERE v.root_id = ANY($1) AND r.receivable_id = v.receivable_id AND r.state = 'confirmed' AND NOT EXISTS (
    SELECT FROM slice s WHERE s.root_id = v.root_id AND s.state NOT IN ('replaced', 'paid', 'cancelled'))
RETURNING r.receivable_id
"""


async def pay_slice(
    tx: Transaction, *, root_id: str, slice_id: str, paid_date: date, reference: str, party: str | None, actor: str
) -> dict[str, Any]:
    """Keep that the obligor paid a slice, whole, to its holder: it counts no more, so much less of its root is open.

    Only who is owed says so, or the bank (`party` is none): the obligor alone would release itself. UnknownVoucher,
    ForeignParty, DuplicatePayment, InvalidPaidDate; NotPossible of a slice that is offered, financed or paid.
    """
    beneath = await tx.pg.fetchval(_BENEATH, root_id)
    if beneath is None:
        raise UnknownVoucher(document_id=root_id)
    lowering = await lock_to_lower(tx, [beneath])
    row = (await lock_slices(tx, [slice_id])).get(slice_id)
    if row is None or row["root_id"] != root_id:
        raise UnknownVoucher(document_id=slice_id)
    if party not in {None, row["holder_id"]}:
        raise ForeignParty
    if await tx.pg.fetchval(_KNOWN, beneath, reference):
        raise DuplicatePayment(receivable_id=beneath, reference=reference)
    piece, today = slice_of(row), await tx.pg.fetchval(_TODAY)
    advance_slice(piece, SliceStep.PAY_HOLDER)
    check_paid_date(paid_date, issue_date=lowering.of(beneath).row["issue_date"], today=today)
    by = Money(piece.size_minor, row["currency"])
    lowering.pay(beneath, by=by, reference=reference, payee="holder", paid_date=paid_date, actor=actor)
    await lowering.write(tx)
    await tx.pg.execute(_PAY, slice_id)
    settled = await settle_roots(tx, [root_id])
    said = [ReceivableSettled(receivable_id=each) for each in settled]
    await append(tx, [VoucherSettled(root_id=root_id, slice_id=slice_id), *said], source=SOURCE)
    facts = {"by": by.wire(), "reference": reference, "paid_date": paid_date.isoformat()}
    await record(tx, [Entry(actor, "slice.paid", slice_id, facts)])
    return {"root_id": root_id, "slice_id": slice_id, "paid": by.wire(), "state": "paid", "reference": reference}


async def settle_roots(tx: Transaction, root_ids: Collection[str]) -> list[str]:
    """Settle the receivables beneath those roots of which every slice is paid; return them."""
    rows = await tx.pg.fetch(_PAID_ROOTS, sorted(set(root_ids)))
    return [row["receivable_id"] for row in rows]
