"""Convert orders into what is invoiced of them (DOMAIN §2): an invoice of an order that is lent on is that loan's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from services.receivables.domain.duplicates import number_key
from services.receivables.domain.orders import State, invoice
from services.receivables.operations.locking import Row, find_orders, lock_orders
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import OrderInvoiced, OrderReopened
from shared.messaging.outbox import append
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount

_CITING = """
SELECT receivable_id, seller_id, obligor_id, order_reference FROM receivable
WHERE receivable_id = ANY($1) AND order_reference <> ''
"""
_KEEP = """
INSERT INTO order_invoice (receivable_id, order_id, amount_minor)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
"""
_OPEN = """
UPDATE trade_order o SET open_minor = d.open FROM unnest($1::text[], $2::bigint[]) AS d(order_id, open)
WHERE o.order_id = d.order_id
"""
# The invoice stands where its order stands: it is assigned or financed, freed and settled with it.
_BIND = """
UPDATE receivable r SET state = d.state, drawdown_id = d.drawdown_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS d(receivable_id, drawdown_id, state)
WHERE r.receivable_id = d.receivable_id
"""


# What is settled or rejected opens no more.
_GIVE_BACK = """
WITH taken AS (DELETE FROM order_invoice WHERE receivable_id = $1 RETURNING order_id, amount_minor)
UPDATE trade_order o SET open_minor = o.open_minor + t.amount_minor FROM taken t
WHERE o.order_id = t.order_id AND o.state IN ('confirmed', 'assigned', 'financed') AND t.amount_minor > 0
RETURNING o.order_id, t.amount_minor, o.open_minor, o.currency
"""


async def lock_cited(tx: Transaction, receivable_ids: Collection[str]) -> dict[str, Row]:
    """Lock the orders that these receivables cite, before the receivables; return each one's by its id.

    What they cite never changes. A reference that means no confirmed order between the same firms means nothing here.
    """
    citing = await tx.pg.fetch(_CITING, list(receivable_ids))
    if not citing:
        return {}
    claims = {row["receivable_id"]: _claim(row) for row in citing}
    standing = await find_orders(tx, claims.values())
    locked = await lock_orders(tx, [row["order_id"] for row in standing])
    by_claim = {(row["buyer_id"], row["seller_id"], row["number_key"]): row for row in locked.values()}
    cited = {receivable_id: by_claim.get(claim) for receivable_id, claim in claims.items()}
    return {key: row for key, row in cited.items() if row and row["state"] not in {State.REGISTERED, State.REJECTED}}


async def invoice_orders(tx: Transaction, *, cited: Mapping[str, Row], confirmed: Sequence[tuple[str, int]]) -> None:
    """Let confirmed (receivable, minor units) pairs take the place of the orders that they cite, which are locked."""
    kept, bound, said = [], [], []
    left = {row["order_id"]: row["open_minor"] for row in cited.values()}
    for receivable_id, minor in confirmed:
        order = cited.get(receivable_id)
        if order is None:
            continue
        order_id, currency = order["order_id"], order["currency"]
        made = invoice(
            open_minor=left[order_id], invoiced_minor=minor, state=order["state"], drawdown_id=order["drawdown_id"]
        )
        left[order_id] = made.open_minor
        kept.append((receivable_id, order_id, made.takes_minor))
        if made.belongs_to is not None:
            bound.append((receivable_id, made.belongs_to, order["state"]))
        said.append(
            OrderInvoiced(
                order_id=order_id,
                receivable_id=receivable_id,
                invoiced=Amount.of(amount_minor=minor, currency=currency),
                open=Amount.of(amount_minor=made.open_minor, currency=currency),
                drawdown_id=made.belongs_to,
            )
        )
    await tx.pg.execute(_KEEP, *by_column(kept, width=3))
    await tx.pg.execute(_OPEN, *by_column(left.items(), width=2))
    await tx.pg.execute(_BIND, *by_column(bound, width=3))
    await append(tx, said, source=SOURCE)


async def reopen_order(tx: Transaction, *, receivable_id: str) -> None:
    """Give a cancelled invoice's part back to the order that it took the place of, which is locked."""
    row = await tx.pg.fetchrow(_GIVE_BACK, receivable_id)
    if row is None:
        return
    event = OrderReopened(
        order_id=row["order_id"],
        receivable_id=receivable_id,
        by=Amount.of(amount_minor=row["amount_minor"], currency=row["currency"]),
        open=Amount.of(amount_minor=row["open_minor"], currency=row["currency"]),
    )
    await append(tx, [event], source=SOURCE)


def _claim(row: Row) -> tuple[str, str, str]:
    return row["obligor_id"], row["seller_id"], number_key(row["order_reference"])
