"""Keep what the obligor paid: told by a party or the bank, or come to the collection account (R7, R9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

from services.receivables.domain.payments import DuplicatePayment, Payable, check_paid_to_seller, spread
from services.receivables.operations.locking import Row
from services.receivables.operations.lowering import Lowering, lock_to_lower
from shared.events.credit import DrawdownEvent
from shared.events.envelope import Received
from shared.events.settlement import CollectionReceived
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


async def keep_collections(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep what came to the collection account for receivables: once a collection, whatever it repaid.

    What came on a loan pays its documents, the one that was named first; NotYet before the drawdown is known here.
    """
    said = [event.event for event in events if isinstance(event.event, CollectionReceived)]
    told = {row["reference"] for row in await tx.pg.fetch(_TOLD, [_reference(each) for each in said])}
    fresh = [each for each in said if _reference(each) not in told and (each.loan_id or each.document_id)]
    of_loan = await _documents_of(tx, [each.loan_id for each in fresh if each.loan_id is not None])
    named = await tx.pg.fetch(_NAMED, [each.document_id for each in fresh if each.document_id is not None])
    known = {row["receivable_id"] for row in named}
    lowering = await lock_to_lower(tx, {*known, *(each for found in of_loan.values() for each in found)})
    for each in fresh:
        candidates = of_loan.get(each.loan_id or "", [])
        if each.document_id is not None and each.document_id in known:
            candidates = [each.document_id, *(other for other in candidates if other != each.document_id)]
        _collect(lowering, each, candidates)
    await lowering.write(tx)


def _collect(lowering: Lowering, said: CollectionReceived, candidates: Sequence[str]) -> None:
    """Let one collection pay what it came for; the seller's own money on a loan counts as the obligor's, as ever."""
    currency = said.received.currency
    # On a loan what its waterfall took; without one the money waits in suspense, and the debt is paid all the same.
    received = said.applied if said.loan_id is not None else said.received
    opens = [
        (key, found.open_minor)
        for key in candidates
        if (found := lowering.of(key)).state in _PAYABLE and found.row["currency"] == currency
    ]
    for receivable_id, minor in spread(received.minor, opens).items():
        lowering.pay(
            receivable_id,
            by=Money(minor, currency),
            reference=_reference(said),
            payee="collection_account",
            paid_date=said.value_date,
            actor="events",
            drawdown_id=said.loan_id,
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


def _reference(said: CollectionReceived) -> str:
    return f"collection/{said.collection_id}"


def _payable(row: Row, *, delivered_at: Any) -> Payable:
    return Payable(
        receivable_id=row["receivable_id"],
        state=row["state"],
        vouchered=row["vouchered"],
        open=Money(row["financeable_minor"], row["currency"]),
        issue_date=row["issue_date"],
        delivered_at=delivered_at,
    )
