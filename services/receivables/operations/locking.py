"""Lock orders, receivables, slices and goods: in this order, each kind in id order, in one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from services.receivables.domain.slices import SliceState, VoucherSlice
from shared.storage.database import Transaction, by_column

Row = Mapping[str, Any]
FIND_ORDERS = """
SELECT o.* FROM unnest($1::text[], $2::text[], $3::text[]) AS d(buyer_id, seller_id, number_key)
CROSS JOIN LATERAL (SELECT * FROM trade_order f
    WHERE (f.buyer_id, f.seller_id, f.number_key) = (d.buyer_id, d.seller_id, d.number_key) AND f.state <> 'rejected'
    LIMIT 1) AS o
"""


class UnknownReceivable(LookupError):
    """No receivable has this id."""

    code: ClassVar[str] = "unknown_receivable"

    def __init__(self, *, receivable_id: str) -> None:
        """Keep the id asked for."""
        self.receivable_id = receivable_id[:40]
        super().__init__(f"There is no receivable {self.receivable_id}.")


class UnknownVoucher(LookupError):
    """No voucher, slice or transfer has this id."""

    code: ClassVar[str] = "unknown_voucher"

    def __init__(self, *, document_id: str) -> None:
        """Keep the id asked for."""
        self.document_id = document_id[:40]
        super().__init__(f"There is no voucher, slice or transfer {self.document_id}.")


class UnknownProgramme(LookupError):
    """No programme has this id, or it is not active."""

    code: ClassVar[str] = "unknown_programme"

    def __init__(self, *, programme_id: str) -> None:
        """Keep the id asked for."""
        self.programme_id = programme_id[:40]
        super().__init__(f"There is no active programme {self.programme_id}.")


class UnknownOrder(LookupError):
    """No order has this id."""

    code: ClassVar[str] = "unknown_order"

    def __init__(self, *, order_id: str) -> None:
        """Keep the id asked for."""
        self.order_id = order_id[:40]
        super().__init__(f"There is no order {self.order_id}.")


class UnknownGoods(LookupError):
    """No goods have this id."""

    code: ClassVar[str] = "unknown_goods"

    def __init__(self, *, goods_id: str) -> None:
        """Keep the id asked for."""
        self.goods_id = goods_id[:40]
        super().__init__(f"There are no goods {self.goods_id}.")


async def find_orders(tx: Transaction, claims: Collection[tuple[str, str, str]]) -> list[Row]:
    """Return the orders that stand under (buyer, seller, number key); nothing is locked."""
    rows: list[Row] = await tx.pg.fetch(FIND_ORDERS, *by_column(sorted(set(claims)), width=3))
    return rows


async def lock_orders(tx: Transaction, order_ids: Collection[str]) -> dict[str, Row]:
    """Lock orders in id order, before any receivable; return those that exist."""
    rows = await tx.pg.fetch(
        "SELECT * FROM trade_order WHERE order_id = ANY($1) ORDER BY order_id FOR NO KEY UPDATE",
        sorted(set(order_ids)),
    )
    return {row["order_id"]: row for row in rows}


async def lock_receivables(tx: Transaction, receivable_ids: Collection[str]) -> dict[str, Row]:
    """Lock receivables in id order; return those that exist."""
    rows = await tx.pg.fetch(
        "SELECT * FROM receivable WHERE receivable_id = ANY($1) ORDER BY receivable_id FOR NO KEY UPDATE",
        sorted(set(receivable_ids)),
    )
    return {row["receivable_id"]: row for row in rows}


async def lock_receivable(tx: Transaction, *, receivable_id: str) -> Row:
    """Lock one receivable; UnknownReceivable when there is none."""
    found = await lock_receivables(tx, [receivable_id])
    if receivable_id not in found:
        raise UnknownReceivable(receivable_id=receivable_id)
    return found[receivable_id]


async def lock_slices(tx: Transaction, slice_ids: Collection[str]) -> dict[str, Row]:
    """Lock slices in id order, with what their roots say; return those that exist."""
    rows = await tx.pg.fetch(
        """SELECT s.*, v.obligor_id, v.currency, v.maturity_date, v.programme_id, v.receivable_id
        FROM slice s JOIN voucher v USING (root_id)
        WHERE s.slice_id = ANY($1) ORDER BY s.slice_id FOR NO KEY UPDATE OF s""",
        sorted(set(slice_ids)),
    )
    return {row["slice_id"]: row for row in rows}


async def lock_goods(tx: Transaction, goods_ids: Collection[str]) -> dict[str, Row]:
    """Lock goods in id order, after every other document; return those that exist."""
    rows = await tx.pg.fetch(
        "SELECT * FROM goods WHERE goods_id = ANY($1) ORDER BY goods_id FOR NO KEY UPDATE", sorted(set(goods_ids))
    )
    return {row["goods_id"]: row for row in rows}


def slice_of(row: Row) -> VoucherSlice:
    """Return a row as a slice."""
    return VoucherSlice(
        row["slice_id"], row["start_minor"], row["end_minor"], row["holder_id"], SliceState(row["state"])
    )
