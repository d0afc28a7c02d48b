"""Release goods as their loan is repaid: of a pledge by quantity, of a sales order by amount (DOMAIN §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.receivables.domain.goods import Repaid, quantity_text, released
from services.receivables.domain.orders import released_of
from services.receivables.operations.appraise_goods import appraise_goods, appraised, rules_on, today_of
from services.receivables.operations.locking import Row, lock_goods
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event, Received
from shared.events.goods import GoodsReleased
from shared.events.settlement import LoanRepaid
from shared.messaging.outbox import append
from shared.storage.database import Transaction, by_column
from shared.values.money import parse_minor

# Only loans over what can be released; of all others nothing is read but this.
FINANCED = """
SELECT drawdown_id, lent_minor, documents FROM assignment
WHERE drawdown_id = ANY($1) AND state = 'financed' AND lent_minor > 0
    AND documents @? '$[*] ? (@.kind == "goods" || @.kind == "order")'
ORDER BY drawdown_id FOR UPDATE
"""
# What was released stays so, whatever is reversed.
_ORDERS = """
UPDATE trade_order o SET released_minor = greatest(o.released_minor, least(d.released, o.amount_minor))
FROM unnest($1::text[], $2::bigint[]) AS d(order_id, released)
WHERE o.order_id = d.order_id AND o.side = 'sale' AND o.state = 'financed'
"""
_LOCK_ORDERS = "SELECT FROM trade_order WHERE order_id = ANY($1) ORDER BY order_id FOR NO KEY UPDATE"
_GOODS = """
UPDATE goods g SET released_milli = d.released FROM unnest($1::text[], $2::bigint[]) AS d(goods_id, released)
WHERE g.goods_id = d.goods_id
"""


async def release_repaid(tx: Transaction, events: Sequence[Received]) -> None:
    """Release what repaid principal frees, by what is open after the last of the repayments of each loan."""
    last = {event.subject: event.event for event in events if isinstance(event.event, LoanRepaid)}
    under: dict[tuple[str, str], Repaid] = {}
    for row in await tx.pg.fetch(FINANCED, sorted(last)):
        for document in row["documents"]:
            under[document["kind"], document["document_id"]] = Repaid(
                row["lent_minor"], last[row["drawdown_id"]].outstanding.minor, parse_minor(**document["amount"])
            )
    orders = {key: each for (kind, key), each in under.items() if kind == "order"}
    await tx.pg.execute(_LOCK_ORDERS, sorted(orders))
    await tx.pg.execute(_ORDERS, *by_column([(key, released_of(each)) for key, each in orders.items()], width=2))
    goods = {key: each for (kind, key), each in under.items() if kind == "goods"}
    locked = await lock_goods(tx, goods)
    await _release(tx, {key: row for key, row in locked.items() if row["state"] == "financed"}, goods)


async def _release(tx: Transaction, rows: Mapping[str, Row], under: Mapping[str, Repaid]) -> None:
    if not rows:
        return
    on, policy = await today_of(tx), (await rules_on(tx)).release
    worth = await appraised(tx, rows, on=on)
    freed: dict[str, dict[str, Any]] = {}
    for goods_id, row in rows.items():
        now = released(
            quantity_milli=row["quantity_milli"],
            released_milli=row["released_milli"],
            eligible_minor=worth[goods_id].eligible_minor,
            repaid=under[goods_id],
            policy=policy,
        )
        if now > row["released_milli"]:
            freed[goods_id] = {**dict(row), "released_milli": now}
    await tx.pg.execute(_GOODS, *by_column([(key, row["released_milli"]) for key, row in freed.items()], width=2))
    said: list[Event] = [_said(row) for row in freed.values()]
    await append(tx, said, source=SOURCE)
    await appraise_goods(tx, freed, on=on)


def _said(row: Mapping[str, Any]) -> GoodsReleased:
    left = row["quantity_milli"] - row["released_milli"]
    return GoodsReleased(
        goods_id=row["goods_id"],
        enterprise_id=row["owner_id"],
        released=quantity_text(row["released_milli"]),
        left=quantity_text(left),
        unit=row["unit"],
        wholly=left == 0,
    )
