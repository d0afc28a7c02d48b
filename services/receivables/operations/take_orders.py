"""Register orders: a batch in one transaction, each answered on its own; the same words again are the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.receivables.domain.documents import InvalidDueDate, SellerIsObligor
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.orders import DuplicateOrder, Order, stated
from services.receivables.domain.parties import Directory, UnknownParty
from services.receivables.operations.locking import find_orders
from services.receivables.operations.originals import Evidence, keep_originals
from services.receivables.operations.parties import directory_of
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import OrderRegistered
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.ids import new_id
from shared.values.money import Amount
from shared.values.policies import policy_on
from shared.web.auth import ForeignParty

_INSERT = """
INSERT INTO trade_order (order_id, seller_id, buyer_id, side, number, number_key, syntax, issue_date, delivery_date,
    due_date, currency, amount_minor, open_minor, lines, original_sha256)
SELECT order_id, seller_id, buyer_id, side, number, number_key, syntax, issue_date, delivery_date, due_date, currency,
    amount, amount, lines::jsonb, original
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::date[],
    $10::date[], $11::text[], $12::bigint[], $13::text[], $14::text[]) WITH ORDINALITY
    AS d(order_id, seller_id, buyer_id, side, number, number_key, syntax, issue_date, delivery_date, due_date,
        currency, amount, lines, original, nth)
ORDER BY buyer_id, seller_id, number_key, nth ON CONFLICT DO NOTHING RETURNING order_id
"""
_COLUMNS = 14


@dataclass(frozen=True, slots=True)
class TakenOrder:
    """An order that stands: registered now, or before in the same words."""

    order_id: str


@dataclass(frozen=True, slots=True)
class _Stated:
    """An order with its parties resolved."""

    order_id: str
    seller_id: str
    buyer_id: str
    due_date: date
    order: Order
    evidence: Evidence

    @property
    def claim(self) -> tuple[str, str, str]:
        """Return the pair of firms and the number between them."""
        return self.buyer_id, self.seller_id, number_key(self.order.number)


async def take_orders(
    database: Database,
    *,
    orders: Sequence[Order],
    party: str | None,
    actor: str,
    evidence: Sequence[Evidence] = (),
) -> list[TakenOrder | Exception]:
    """Register orders by one of their sides; answer each with the order that stands, or with why there is none.

    UnknownParty, ForeignParty, SellerIsObligor, InvalidDueDate, or DuplicateOrder when the number means another order.
    """
    behind = evidence or [Evidence()] * len(orders)
    async with database.transaction() as tx:
        directory = await directory_of(tx, [each for order in orders for each in (order.seller, order.buyer)])
        answers: list[_Stated | Exception] = []
        for order, each in zip(orders, behind, strict=True):
            try:
                answers.append(_resolved(order, directory=directory, party=party, evidence=each))
            except (UnknownParty, ForeignParty, SellerIsObligor, InvalidDueDate) as error:
                answers.append(error)
        wanted = [each for each in answers if isinstance(each, _Stated)]
        stored = await _store(tx, wanted, actor=actor)
        return [stored[each.order_id] if isinstance(each, _Stated) else each for each in answers]


def _resolved(order: Order, *, directory: Directory, party: str | None, evidence: Evidence) -> _Stated:
    seller_id = directory.resolve(order.seller, which="seller")
    buyer_id = directory.resolve(order.buyer, which="obligor")
    if seller_id == buyer_id:
        raise SellerIsObligor("Seller and buyer are the same enterprise.", enterprise_id=seller_id)
    if party is not None and party not in {seller_id, buyer_id}:
        raise ForeignParty
    due_date = order.payable_on(default_days=policy_on("intake", on=order.issue_date).values["default_due_days"])
    if due_date < order.issue_date:
        raise InvalidDueDate(due_date=due_date, issue_date=order.issue_date)
    return _Stated(new_id(), seller_id, buyer_id, due_date, order, evidence)


async def _store(tx: Transaction, wanted: Sequence[_Stated], *, actor: str) -> dict[str, TakenOrder | DuplicateOrder]:
    """Insert what is new; the index decides what is not."""
    rows = {each.order_id: _row(each) for each in wanted}
    inserted = {row["order_id"] for row in await tx.pg.fetch(_INSERT, *by_column(rows.values(), width=_COLUMNS))}
    fresh = [each for each in wanted if each.order_id in inserted]
    await keep_originals(tx, [each.evidence for each in fresh])
    await append(tx, [_registered(each) for each in fresh], source=SOURCE)
    await record(tx, [Entry(actor, "order.registered", each.order_id, {"number": each.order.number}) for each in fresh])
    known = [each for each in wanted if each.order_id not in inserted]
    standing = {}
    if known:
        found = await find_orders(tx, [each.claim for each in known])
        standing = {(row["buyer_id"], row["seller_id"], row["number_key"]): row for row in found}
    answers: dict[str, TakenOrder | DuplicateOrder] = {each.order_id: TakenOrder(each.order_id) for each in fresh}
    for each in known:
        answers[each.order_id] = _again(each, standing[each.claim])
    return answers


def _again(each: _Stated, row: Mapping[str, Any]) -> TakenOrder | DuplicateOrder:
    if all(row[name] == value for name, value in stated(each.order).items()):
        return TakenOrder(row["order_id"])
    return DuplicateOrder(order_id=row["order_id"], number=row["number"], state=row["state"])


def _row(each: _Stated) -> tuple[Any, ...]:
    order = each.order
    return (
        each.order_id,
        each.seller_id,
        each.buyer_id,
        order.side,
        order.number,
        number_key(order.number),
        order.syntax,
        order.issue_date,
        order.delivery_date,
        each.due_date,
        order.amount.currency,
        order.amount.amount_minor,
        json.dumps([line.stored() for line in order.lines], ensure_ascii=False),
        each.evidence.sha256,
    )


def _registered(each: _Stated) -> OrderRegistered:
    order = each.order
    return OrderRegistered(
        order_id=each.order_id,
        seller_id=each.seller_id,
        buyer_id=each.buyer_id,
        side=order.side,
        number=order.number,
        issue_date=order.issue_date,
        due_date=each.due_date,
        amount=Amount.of(amount_minor=order.amount.amount_minor, currency=order.amount.currency),
    )
