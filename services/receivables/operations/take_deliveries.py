"""Record deliveries of orders, by the side that says so; the same words again are the same note."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.receivables.domain.deliveries import Delivery, DuplicateDelivery, OrderNotKnown
from services.receivables.domain.duplicates import number_key
from services.receivables.operations.locking import find_orders, lock_orders
from services.receivables.operations.match_orders import match_orders
from services.receivables.operations.originals import Evidence, keep_originals
from services.receivables.operations.parties import directory_of
from shared.storage.audit import Entry, record
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.web.auth import ForeignParty

_INSERT = """
INSERT INTO delivery (delivery_id, order_id, kind, number, number_key, syntax, issue_date, lines, original_sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9) ON CONFLICT DO NOTHING RETURNING true
"""
_STANDING = "SELECT * FROM delivery WHERE (order_id, kind, number_key) = ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class TakenDelivery:
    """A note that stands: recorded now, or before in the same words; and of which order."""

    order_id: str


async def take_delivery(
    database: Database, *, delivery: Delivery, party: str | None, actor: str, evidence: Evidence | None = None
) -> TakenDelivery:
    """Record a despatch by the seller or a receipt by the buyer; its order is matched anew.

    UnknownParty, ForeignParty (each side speaks for itself), OrderNotKnown, or DuplicateDelivery.
    """
    behind = evidence or Evidence()
    async with database.transaction() as tx:
        directory = await directory_of(tx, (delivery.seller, delivery.buyer))
        seller_id = directory.resolve(delivery.seller, which="seller")
        buyer_id = directory.resolve(delivery.buyer, which="obligor")
        if party not in {None, seller_id if delivery.kind == "despatch" else buyer_id}:
            raise ForeignParty
        claim = (buyer_id, seller_id, number_key(delivery.order_number))
        found = await find_orders(tx, [claim])
        if not found:
            raise OrderNotKnown(number=delivery.order_number)
        order_id = found[0]["order_id"]
        await lock_orders(tx, [order_id])
        delivery_id, number = new_id(), number_key(delivery.number)
        lines = [each.stored() for each in delivery.lines]
        inserted = await tx.pg.fetchval(
            _INSERT,
            *(delivery_id, order_id, delivery.kind, delivery.number, number, delivery.syntax, delivery.issue_date),
            *(json.dumps(lines, ensure_ascii=False), behind.sha256),
        )
        if not inserted:
            _check_same(await tx.pg.fetchrow(_STANDING, order_id, delivery.kind, number), delivery, lines)
            return TakenDelivery(order_id)
        await keep_originals(tx, [behind])
        await record(tx, [Entry(actor, f"{delivery.kind}.recorded", delivery_id, {"order_id": order_id})])
        await match_orders(tx, [claim])
    return TakenDelivery(order_id)


def _check_same(row: Mapping[str, Any] | None, delivery: Delivery, lines: list[dict[str, Any]]) -> None:
    if row is None or (row["issue_date"], row["lines"]) != (delivery.issue_date, lines):
        delivery_id = row["delivery_id"] if row else ""
        raise DuplicateDelivery(delivery_id=delivery_id, number=delivery.number)
