"""The bank's own register of assignments and pledges: what was filed, amended and discharged, in one order.

Entries commit without a number; whoever holds the lock numbers what has committed since. So the register has no gaps,
and who reads on from a position misses nothing, whatever was still open when it read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zlib import crc32

from services.receivables.domain.assigning import claim_asset, slice_asset
from services.receivables.domain.goods import receipt_asset, secured_asset
from services.receivables.domain.orders import order_asset
from services.receivables.domain.register_form import UnknownPosition, amended, statement, term_months
from services.receivables.operations.locking import Row
from services.receivables.operations.movables_registry import Filed
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.money import Amount
from shared.values.policies import policy_on

_ORDER = crc32(b"receivables register")
_AT_ONCE = 1000

# What stands under these drawdowns now, document by document as the drawdown names them.
_COLLATERAL = """
SELECT a.drawdown_id, a.enterprise_id, a.obligor_id, d.kind, d.document_id, d.amount, r.seller_id, r.number_key,
    r.issue_year, o.seller_id AS order_seller_id, o.buyer_id, o.number_key AS order_key, s.start_minor, s.end_minor,
    coalesce(r.number, o.number, g.number, s.root_id) AS number,
    coalesce(r.issue_date, o.issue_date, g.issue_date) AS issue_date,
    coalesce(r.due_date, o.due_date, g.due_date, v.maturity_date) AS due_date
FROM assignment a
CROSS JOIN LATERAL ROWS FROM (jsonb_to_recordset(a.documents) AS (kind text, document_id text, amount jsonb))
    WITH ORDINALITY AS d(kind, document_id, amount, nth)
LEFT JOIN receivable r ON d.kind = 'receivable' AND r.receivable_id = d.document_id
LEFT JOIN trade_order o ON d.kind = 'order' AND o.order_id = d.document_id
LEFT JOIN slice s ON d.kind = 'slice' AND s.slice_id = d.document_id
LEFT JOIN voucher v ON v.root_id = s.root_id
LEFT JOIN goods g ON d.kind = 'goods' AND g.goods_id = d.document_id
WHERE a.drawdown_id = ANY($1)
    AND coalesce(r.drawdown_id, o.drawdown_id, s.drawdown_id, g.drawdown_id) = a.drawdown_id
ORDER BY a.drawdown_id, d.nth
"""
_FIRMS = """
SELECT e.enterprise_id, e.name, coalesce(
    jsonb_object_agg(p.scheme, p.identifier_key) FILTER (WHERE p.identifier_key IS NOT NULL), '{}') AS identifiers
FROM enterprise e LEFT JOIN party_identifier p USING (enterprise_id)
WHERE e.enterprise_id = ANY($1) GROUP BY e.enterprise_id, e.name
"""
_REGISTER = """
INSERT INTO register_entry (kind, drawdown_id, reference, at, statement)
SELECT 'registration', d.drawdown_id, d.reference, d.at, d.statement::jsonb
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) AS d(drawdown_id, reference, at, statement)
"""
# Only what stands is discharged.
_DISCHARGE = """
INSERT INTO register_entry (kind, drawdown_id, reference, at, statement)
SELECT 'discharge', last.drawdown_id, last.reference, $2, jsonb_build_object('reason', $3::text)
FROM unnest($1::text[]) AS d(drawdown_id) CROSS JOIN LATERAL (
    SELECT * FROM register_entry e WHERE e.drawdown_id = d.drawdown_id ORDER BY e.entry_id DESC LIMIT 1) AS last
WHERE last.kind <> 'discharge' ORDER BY last.entry_id
"""
_STANDING = """
SELECT last.drawdown_id, last.reference, last.statement FROM unnest($1::text[]) AS d(drawdown_id) CROSS JOIN LATERAL (
    SELECT * FROM register_entry e WHERE e.drawdown_id = d.drawdown_id ORDER BY e.entry_id DESC LIMIT 1) AS last
WHERE last.kind <> 'discharge' ORDER BY last.drawdown_id
"""
_ORDERS_OF = "SELECT receivable_id, order_id FROM order_invoice WHERE receivable_id = ANY($1)"
_AMEND = """
INSERT INTO register_entry (kind, drawdown_id, reference, at, statement)
SELECT 'amendment', d.drawdown_id, d.reference, clock_timestamp(), d.statement::jsonb
FROM unnest($1::text[], $2::text[], $3::text[]) AS d(drawdown_id, reference, statement)
"""
NEWEST = "SELECT coalesce(max(number), 0) FROM register_entry"
NUMBER = """
UPDATE register_entry e SET number = n.number FROM (
    SELECT w.entry_id, coalesce((SELECT max(number) FROM register_entry), 0) + row_number() OVER (ORDER BY w.entry_id)
        AS number
    FROM (SELECT entry_id FROM register_entry WHERE number IS NULL ORDER BY entry_id LIMIT $1) w) n
WHERE e.entry_id = n.entry_id
"""


@dataclass(frozen=True, slots=True)
class Fallen:
    """A document under a drawdown that fell by a note; `open_minor` is what is left of it."""

    drawdown_id: str
    document_id: str
    by_minor: int
    open_minor: int
    reason: str


async def register(tx: Transaction, filed: Mapping[str, Filed]) -> None:
    """Enter what was filed for drawdowns whose documents are taken, with what it states of firms and claims."""
    collateral: dict[str, list[Row]] = defaultdict(list)
    for row in await tx.pg.fetch(_COLLATERAL, list(filed)):
        collateral[row["drawdown_id"]].append(row)
    rows = [row for found in collateral.values() for row in found]
    firms = await _firms(tx, {row[side] for row in rows for side in ("enterprise_id", "obligor_id")})
    entries = [
        (key, each.reference, each.filed_at, json.dumps(_statement(collateral[key], firms, at=each.filed_at)))
        for key, each in filed.items()
        if key in collateral
    ]
    await tx.pg.execute(_REGISTER, *by_column(entries, width=4))


async def register_pledges(tx: Transaction, filed: Sequence[tuple[Row, Filed, Amount]]) -> None:
    """Enter the pledges of goods that were filed, each under the goods' id, with what the goods are worth."""
    firms = await _firms(tx, {row["owner_id"] for row, _, _ in filed})
    entries = [
        (row["goods_id"], each.reference, each.filed_at, json.dumps(_pledge(row, firms, each, worth)))
        for row, each, worth in filed
    ]
    await tx.pg.execute(_REGISTER, *by_column(entries, width=4))


async def amend(tx: Transaction, fallen: Sequence[Fallen]) -> None:
    """Enter what registrations state since documents beneath them fell (R6); the callers hold the assignments.

    An invoice that took the place of a registered order lowers what is stated of that order.
    """
    of_drawdown: dict[str, list[Fallen]] = defaultdict(list)
    for each in fallen:
        of_drawdown[each.drawdown_id].append(each)
    if not of_drawdown:
        return
    orders = dict(await tx.pg.fetch(_ORDERS_OF, [each.document_id for each in fallen]))
    entries = []
    for row in await tx.pg.fetch(_STANDING, list(of_drawdown)):
        mine = of_drawdown[row["drawdown_id"]]
        reason = "; ".join(each.reason for each in mine)
        said = amended(row["statement"], amounts=_amounts(row["statement"], mine, orders), reason=reason)
        if said is not None:
            entries.append((row["drawdown_id"], row["reference"], json.dumps(said)))
    await tx.pg.execute(_AMEND, *by_column(entries, width=3))


def _amounts(stated: Mapping[str, Any], fallen: Sequence[Fallen], orders: Mapping[str, str]) -> dict[str, Amount]:
    """Return what the documents of a registration are worth now: a claim what is open of it, never more than stated."""
    left = {each["document_id"]: Amount(**each["amount"]).minor for each in stated["collateral"]}
    for each in fallen:
        order_id = orders.get(each.document_id, "")
        if each.document_id in left:
            left[each.document_id] = min(left[each.document_id], each.open_minor)
        elif order_id in left:
            left[order_id] = max(0, left[order_id] - each.by_minor)
    currency = stated["total"]["currency"]
    return {key: Amount.of(amount_minor=minor, currency=currency) for key, minor in left.items()}


async def begin_export(database: Database, *, view: str, since: int, file: str, actor: str) -> int:
    """Write down who exports what of the register; return how far it goes. UnknownPosition beyond it.

    It is a disclosure of all of the bank's assignments, so it is written down before the first byte goes out.
    """
    async with database.transaction() as tx:
        newest: int = await tx.pg.fetchval(NEWEST)
        if since > newest:
            raise UnknownPosition(position=since, newest=newest)
        facts = {"view": view, "since": since, "position": newest, "format": file}
        await record(tx, [Entry(actor, "register.exported", "register", facts)])
    return newest


async def discharge(tx: Transaction, drawdown_ids: Sequence[str], *, reason: str, at: datetime) -> None:
    """Enter that the registrations of these drawdowns or pledges end; those without one, or ended, are left."""
    if drawdown_ids:
        await tx.pg.execute(_DISCHARGE, list(drawdown_ids), at, reason)


async def number_register(database: Database) -> None:
    """Number what has committed since, in the order of entry."""
    async with database.transaction() as tx:
        if await tx.pg.fetchval("SELECT true FROM register_entry WHERE number IS NULL LIMIT 1"):
            await tx.pg.execute("SELECT pg_advisory_xact_lock($1)", _ORDER)
            await tx.pg.execute(NUMBER, _AT_ONCE)


async def _firms(tx: Transaction, firms: Collection[str]) -> dict[str, dict[str, Any]]:
    found = await tx.pg.fetch(_FIRMS, sorted(firms))
    return {row["enterprise_id"]: dict(row) for row in found}


def _statement(rows: Sequence[Row], firms: Mapping[str, Mapping[str, Any]], *, at: datetime) -> dict[str, Any]:
    currency = rows[0]["amount"]["currency"]
    total = sum(Amount(**row["amount"]).minor for row in rows)
    return statement(
        transaction="assignment_of_receivables",
        assignor=firms[rows[0]["enterprise_id"]],
        obligor=firms[rows[0]["obligor_id"]],
        collateral=[_item(row) for row in rows],
        total=Amount.of(amount_minor=total, currency=currency).model_dump(),
        months=_months(at, last_due=max(row["due_date"] for row in rows)),
    )


def _pledge(row: Row, firms: Mapping[str, Mapping[str, Any]], filed: Filed, worth: Amount) -> dict[str, Any]:
    item = {
        "kind": "goods",
        "document_id": row["goods_id"],
        "asset": receipt_asset(warehouse_key=row["warehouse_key"], number_key=row["number_key"]),
        "number": row["number"],
        "issue_date": row["issue_date"].isoformat(),
        "due_date": row["due_date"].isoformat(),
        "amount": worth.model_dump(),
    }
    return statement(
        transaction="pledge_of_goods",
        assignor=firms[row["owner_id"]],
        obligor=firms[row["owner_id"]],
        collateral=[item],
        total=worth.model_dump(),
        months=_months(filed.filed_at, last_due=row["due_date"]),
    )


def _months(at: datetime, *, last_due: date) -> int:
    policy = policy_on("registration", on=at.date())
    return term_months(registered=at.date(), last_due=last_due, months_beyond=policy.values["months_beyond_due"])


def _item(row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": row["kind"],
        "document_id": row["document_id"],
        "asset": _asset(row),
        "number": row["number"],
        "issue_date": row["issue_date"].isoformat() if row["issue_date"] else None,
        "due_date": row["due_date"].isoformat(),
        "amount": row["amount"],
    }
    if row["kind"] == "slice":
        shown |= {"start_minor": row["start_minor"], "end_minor": row["end_minor"]}
    return shown


def _asset(row: Row) -> str:
    match row["kind"]:
        case "slice":
            return slice_asset(slice_id=row["document_id"])
        case "goods":
            return secured_asset(goods_id=row["document_id"])
        case "order":
            return order_asset(seller_id=row["order_seller_id"], buyer_id=row["buyer_id"], number_key=row["order_key"])
        case _:
            return claim_asset(seller_id=row["seller_id"], number_key=row["number_key"], issue_year=row["issue_year"])
