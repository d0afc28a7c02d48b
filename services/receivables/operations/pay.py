"""Keep what the obligor paid: told by a party or the bank, or come to the collection account (R7, R9)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.receivables.domain.payments import DuplicatePayment, Payable, check_paid_to_seller, spread
from services.receivables.operations.locking import Row
from services.receivables.operations.lowering import Lowering, lock_to_lower
from shared.events.credit import DrawdownEvent
from shared.events.envelope import Received
from shared.events.settlement import CollectionCleared, CollectionReceived
from shared.messaging.applying import NotYet
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty

_DELIVERED = """
SELECT n.delivered_at FROM notice n JOIN receivable r USING (drawdown_id, obligor_id) WHERE r.receivable_id = $1
"""
_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
_KNOWN = "SELECT true FROM payment WHERE receivable_id = $1 AND reference = $2"
# What a collection may pay: the documents of its loan, those that are due first; or the one that it names.
OF_LOANS = """
SELECT receivable_id, drawdown_id, due_date FROM receivable WHERE drawdown_id = ANY($1)
ORDER BY due_date, receivable_id
"""
# Beneath the slices that a loan stands on: it pays no more of a root than its slices are.
OF_SLICES = """
SELECT s.drawdown_id, v.receivable_id, sum(s.end_minor - s.start_minor)::bigint AS size_minor,
    array_agg(s.slice_id) AS slices
FROM slice s JOIN voucher v USING (root_id) WHERE s.drawdown_id = ANY($1)
GROUP BY s.drawdown_id, v.receivable_id, v.maturity_date ORDER BY v.maturity_date, v.receivable_id
"""
_PAID_BY_LOANS = """
SELECT drawdown_id, receivable_id, sum(amount_minor)::bigint AS paid_minor FROM payment
WHERE receivable_id = ANY($1) AND drawdown_id = ANY($2) GROUP BY drawdown_id, receivable_id
"""
_PAID_BY_RECEIPTS = """
SELECT split_part(reference, '/', 2) AS collection_id, receivable_id, amount_minor FROM payment
WHERE receivable_id = ANY($1) AND split_part(reference, '/', 1) = 'collection'
    AND split_part(reference, '/', 2) = ANY($2)
"""
_NAMED = "SELECT receivable_id FROM receivable WHERE receivable_id = ANY($1) AND NOT vouchered"
_TOLD = "SELECT reference FROM payment WHERE reference = ANY($1)"
_PAYABLE = {"validated", "confirmed", "assigned", "financed", "settled"}


async def pay_seller(
    tx: Transaction,
    *,
    receivable_id: str,
    amount: Amount,
    paid_date: date,
    reference: str,
    party: str | None,
    actor: str,
) -> dict[str, Any]:
    """Keep that the obligor paid the seller: so much less can be financed; what is assigned is withdrawn.

    UnknownReceivable, ForeignParty, DuplicatePayment, or the errors of `check_paid_to_seller`.
    """
    lowering = await lock_to_lower(tx, [receivable_id])
    row, by = lowering.of(receivable_id).row, amount.money()
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    if await tx.pg.fetchval(_KNOWN, receivable_id, reference):
        raise DuplicatePayment(receivable_id=receivable_id, reference=reference)
    payable = _payable(row, delivered_at=await tx.pg.fetchval(_DELIVERED, receivable_id))
    today = await tx.pg.fetchval(_TODAY)
    check_paid_to_seller(payable, by=by, paid_date=paid_date, today=today, told_by_bank=party is None)
    lowering.pay(receivable_id, by=by, reference=reference, payee="seller", paid_date=paid_date, actor=actor)
    lowering.withdraw(receivable_id, reason=f"paid to the seller: {reference}")
    await lowering.write(tx)
    facts = {"by": by.wire(), "reference": reference, "paid_date": paid_date.isoformat()}
    await record(tx, [Entry(actor, "receivable.paid", receivable_id, facts)])
    found = lowering.of(receivable_id)
    return {
        "receivable_id": receivable_id,
        "by": by.wire(),
        "paid": Money(found.paid_minor, by.currency).wire(),
        "open": Money(found.open_minor, by.currency).wire(),
        "state": found.state,
        "reference": reference,
    }


@dataclass(frozen=True, slots=True)
class _Came:
    """Money of one receipt that pays documents; `in_all` is all of the receipt that ever went there."""

    reference: str
    collection_id: str
    loan_id: str | None
    document_id: str | None
    minor: int
    currency: str
    on: date
    in_all: bool = False


async def keep_collections(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep what came to the collection account for receivables: once a collection, whatever it repaid.

    What came on a loan pays its documents, the one that was named first; of a voucher's root its own slices, and no
    more. NotYet before the drawdown is known here.
    """
    said = [event.event for event in events if isinstance(event.event, CollectionReceived)]
    await _keep(tx, [_received(each) for each in said])


async def keep_clearings(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep what two persons passed on of money that waited: it pays what the collection itself did not pay already."""
    said = [event.event for event in events if isinstance(event.event, CollectionCleared)]
    await _keep(tx, [_cleared(each) for each in said])


def _received(said: CollectionReceived) -> _Came:
    # On a loan what its waterfall took; without one the money waits in suspense, and the debt is paid all the same.
    came = said.applied if said.loan_id is not None else said.received
    where = (said.loan_id, said.document_id)
    return _Came(_reference(said.collection_id), said.collection_id, *where, came.minor, came.currency, said.value_date)


def _cleared(said: CollectionCleared) -> _Came:
    reference = f"{_reference(said.collection_id)}/{said.clearing_id}"
    where = (said.loan_id, said.document_id)
    return _Came(
        reference, said.collection_id, *where, said.passed.minor, said.passed.currency, said.value_date, in_all=True
    )


async def _keep(tx: Transaction, said: Sequence[_Came]) -> None:
    told = {row["reference"] for row in await tx.pg.fetch(_TOLD, [each.reference for each in said])}
    fresh = [each for each in said if each.reference not in told and (each.loan_id or each.document_id)]
    loan_ids = [each.loan_id for each in fresh if each.loan_id is not None]
    of_loan = await _documents_of(tx, loan_ids)
    beneath = await tx.pg.fetch(OF_SLICES, loan_ids)
    for row in beneath:
        of_loan[row["drawdown_id"]].append(row["receivable_id"])
    roots = {slice_id: row["receivable_id"] for row in beneath for slice_id in row["slices"]}
    named = await tx.pg.fetch(_NAMED, [each.document_id for each in fresh if each.document_id is not None])
    known = {row["receivable_id"] for row in named}
    lowering = await lock_to_lower(tx, {*known, *(each for found in of_loan.values() for each in found)})
    most = await _left_of_slices(tx, beneath)
    before = await _paid_before(tx, lowering, fresh)
    for each in fresh:
        candidates = of_loan.get(each.loan_id or "", [])
        first = roots.get(each.document_id or "", each.document_id)
        if first is not None and (first in known or first in candidates):
            candidates = [first, *(other for other in candidates if other != first)]
        _collect(lowering, each, candidates, most, before)
    await lowering.write(tx)


async def _paid_before(tx: Transaction, lowering: Lowering, said: Sequence[_Came]) -> Counter[tuple[str, str]]:
    """Return what each receipt has paid of each receivable; asked only of what was passed on later."""
    found: Counter[tuple[str, str]] = Counter()
    later = {each.collection_id for each in said if each.in_all}
    rows = await tx.pg.fetch(_PAID_BY_RECEIPTS, list(lowering.locked), list(later)) if later else []
    for row in rows:
        found[row["collection_id"], row["receivable_id"]] += row["amount_minor"]
    return found


async def _left_of_slices(tx: Transaction, beneath: Sequence[Row]) -> dict[tuple[str | None, str], int]:
    """Return how much of each root each loan may still pay; its receivable is locked, so no other collection does."""
    left = {(row["drawdown_id"], row["receivable_id"]): row["size_minor"] for row in beneath}
    rows = await tx.pg.fetch(_PAID_BY_LOANS, [key for _, key in left], [loan_id for loan_id, _ in left])
    for row in rows:
        if (row["drawdown_id"], row["receivable_id"]) in left:
            left[row["drawdown_id"], row["receivable_id"]] -= row["paid_minor"]
    return left


def _collect(
    lowering: Lowering,
    said: _Came,
    candidates: Sequence[str],
    most: dict[tuple[str | None, str], int],
    before: Counter[tuple[str, str]],
) -> None:
    """Let one receipt pay what it came for; the seller's own money on a loan counts as the obligor's, as ever."""
    minor = said.minor
    if said.in_all:
        minor = max(0, minor - sum(before[said.collection_id, key] for key in candidates))
    opens = [
        (key, min(found.open_minor, most.get((said.loan_id, key), found.open_minor)))
        for key in candidates
        if (found := lowering.of(key)).state in _PAYABLE and found.row["currency"] == said.currency
    ]
    for receivable_id, share in spread(minor, opens).items():
        before[said.collection_id, receivable_id] += share
        if (said.loan_id, receivable_id) in most:
            most[said.loan_id, receivable_id] -= share
        lowering.pay(
            receivable_id,
            by=Money(share, said.currency),
            reference=said.reference,
            payee="collection_account",
            paid_date=said.on,
            actor="events",
            drawdown_id=said.loan_id,
            collection_id=said.collection_id if said.loan_id is None else None,
        )
        if said.loan_id is None:
            lowering.withdraw(receivable_id, reason="paid to the collection account")


async def _documents_of(tx: Transaction, loan_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    if not loan_ids:
        return found
    rows = await tx.pg.fetch("SELECT drawdown_id FROM assignment WHERE drawdown_id = ANY($1)", list(loan_ids))
    known = {row["drawdown_id"] for row in rows}
    for loan_id in loan_ids:
        if loan_id not in known:
            raise NotYet(topic=DrawdownEvent.topic, subject=loan_id)
    for row in await tx.pg.fetch(OF_LOANS, list(loan_ids)):
        found[row["drawdown_id"]].append(row["receivable_id"])
    return found


def _reference(collection_id: str) -> str:
    return f"collection/{collection_id}"


def _payable(row: Row, *, delivered_at: Any) -> Payable:
    return Payable(
        receivable_id=row["receivable_id"],
        state=row["state"],
        vouchered=row["vouchered"],
        open=Money(row["financeable_minor"], row["currency"]),
        issue_date=row["issue_date"],
        delivered_at=delivered_at,
    )
