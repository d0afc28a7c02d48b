"""Confirm, reject or reduce orders: whoever stands behind an order says so by maker and checker; all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.receivables.domain.orders import DuplicateReduction, State, Step, advance, confirmer_of, reduce
from services.receivables.domain.receivables import AlreadyApplied, Executed, Happened, NotPossible, advance_assignment
from services.receivables.operations.locking import Row, UnknownOrder, lock_orders
from services.receivables.operations.match_orders import match_orders
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event
from shared.events.receivables import DocumentsWithdrawn, OrderConfirmed, OrderReduced, OrderRejected
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty

KIND = "order_confirmation"


async def propose_order_confirmation(
    database: Database, *, order_ids: Sequence[str], party: str, actor: str
) -> Approval:
    """Propose to confirm orders that the party stands behind; UnknownOrder, ForeignParty or NotPossible otherwise."""
    wanted = sorted(set(order_ids))
    async with database.transaction() as tx:
        await _confirmable(tx, order_ids=wanted, party=party)
        content = {"order_ids": wanted}
        proposal = await propose(tx, kind=KIND, subject=party, content=content, proposer=actor, party=party)
        await record(tx, [Entry(actor, "order_confirmation.proposed", party, {"hash": proposal.content_hash})])
    return proposal


async def confirm_orders(tx: Transaction, approval: Approval) -> None:
    """Confirm exactly the orders that were proposed, as they stand now."""
    rows = await _confirmable(tx, order_ids=approval.content["order_ids"], party=approval.subject)
    ids = [row["order_id"] for row in rows]
    await tx.pg.execute("UPDATE trade_order SET state = $2 WHERE order_id = ANY($1)", ids, State.CONFIRMED.value)
    await append(tx, [_confirmed(row) for row in rows], source=SOURCE)
    await match_orders(tx, [(row["buyer_id"], row["seller_id"], row["number_key"]) for row in rows])


async def reject_order(database: Database, *, order_id: str, reason: str, party: str, actor: str) -> None:
    """Reject an order by whoever would confirm it; UnknownOrder, ForeignParty or NotPossible otherwise."""
    async with database.transaction() as tx:
        row = await _stood_behind(tx, order_id=order_id, party=party)
        step = advance(order_id=order_id, state=row["state"], asked=Step.REJECT)
        if isinstance(step, AlreadyApplied):
            return
        await tx.pg.execute("UPDATE trade_order SET state = $2 WHERE order_id = $1", order_id, step.state.value)
        await append(tx, [OrderRejected(order_id=order_id, reason=reason)], source=SOURCE)
        await record(tx, [Entry(actor, "order.rejected", order_id, {"reason": reason})])


async def reduce_order(
    tx: Transaction, *, order_id: str, amount: Amount, reason: str, reference: str, party: str, actor: str
) -> dict[str, Any]:
    """Order less, by whoever confirmed; an order assigned and not yet paid for is withdrawn (DOMAIN §5, R6)."""
    # The assignment is locked before its documents, as everywhere.
    assignment = await tx.pg.fetchrow(
        """SELECT a.drawdown_id, a.state FROM assignment a JOIN trade_order o USING (drawdown_id)
        WHERE o.order_id = $1 FOR UPDATE OF a""",
        order_id,
    )
    row = await _stood_behind(tx, order_id=order_id, party=party)
    advance(order_id=order_id, state=row["state"], asked=Step.REDUCE)
    left = reduce(open_=Money(row["open_minor"], row["currency"]), by=amount.money())
    inserted = await tx.pg.fetchval(
        """INSERT INTO order_reduction (order_id, reference, amount_minor, reason, actor) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true""",
        *(order_id, reference, amount.minor, reason, actor),
    )
    if not inserted:
        raise DuplicateReduction(order_id=order_id, reference=reference)
    await tx.pg.execute("UPDATE trade_order SET open_minor = $2 WHERE order_id = $1", order_id, left.amount_minor)
    open_ = Amount.of(amount_minor=left.amount_minor, currency=left.currency)
    said: list[Event] = [OrderReduced(order_id=order_id, by=amount, open=open_, reason=reason)]
    if assignment is not None and assignment["drawdown_id"] == row["drawdown_id"]:
        step = advance_assignment(assignment["state"], Happened.WITHDRAWN)
        if isinstance(step, Executed):
            withdrawn, why = assignment["drawdown_id"], f"order reduced: {reason}"
            await tx.pg.execute(
                "UPDATE assignment SET state = $2, reason = $3 WHERE drawdown_id = $1",
                *(withdrawn, step.state.value, why),
            )
            said.append(DocumentsWithdrawn(drawdown_id=withdrawn, reason=why))
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry(actor, "order.reduced", order_id, {"by": amount.model_dump(), "reference": reference})])
    return {"order_id": order_id, "by": amount.model_dump(), "open": left.wire(), "reference": reference}


async def _confirmable(tx: Transaction, *, order_ids: Sequence[str], party: str) -> list[Row]:
    """Lock and return the orders that a confirmation changes; refuse the batch when one cannot be."""
    found = await lock_orders(tx, order_ids)
    for order_id in order_ids:
        row = _need(found, order_id=order_id, party=party)
        if isinstance(advance(order_id=order_id, state=row["state"], asked=Step.CONFIRM), AlreadyApplied):
            raise NotPossible(document_id=order_id, state=row["state"], asked=str(Step.CONFIRM))
    return [found[order_id] for order_id in order_ids]


async def _stood_behind(tx: Transaction, *, order_id: str, party: str) -> Row:
    return _need(await lock_orders(tx, [order_id]), order_id=order_id, party=party)


def _need(found: Mapping[str, Row], *, order_id: str, party: str) -> Row:
    row = found.get(order_id)
    if row is None:
        raise UnknownOrder(order_id=order_id)
    if confirmer_of(side=row["side"], seller_id=row["seller_id"], buyer_id=row["buyer_id"]) != party:
        raise ForeignParty
    return row


def _confirmed(row: Row) -> OrderConfirmed:
    return OrderConfirmed(
        order_id=row["order_id"],
        seller_id=row["seller_id"],
        buyer_id=row["buyer_id"],
        open=Amount.of(amount_minor=row["open_minor"], currency=row["currency"]),
        due_date=row["due_date"],
    )
