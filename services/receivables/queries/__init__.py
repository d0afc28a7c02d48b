"""What receivables' API reads; a party sees its own (R23)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from services.receivables.domain.orders import drawer_of
from services.receivables.domain.receivables import told
from services.receivables.domain.trade_lines import TradeLine, stored_line
from services.receivables.operations.locking import UnknownOrder, UnknownReceivable, UnknownVoucher
from services.receivables.queries.payments import payment_facts
from shared.storage.database import Database, Transaction
from shared.storage.paging import page, read_place
from shared.values.money import Money
from shared.web.auth import ForeignParty

_COLUMNS = """
receivable_id, seller_id, obligor_id, number, document_type, syntax, issue_date, due_date, currency,
    payable_minor, financeable_minor, paid_minor, state, reasons, undertaking, vouchered, acknowledged, disputed,
    drawdown_id
"""
_RECEIVABLE = f"SELECT {_COLUMNS} FROM receivable"  # noqa: S608 - constants only
_STATE = "AND ($2 = '' OR state = $2)"
_PAGE = f"receivable_id > $1 {_STATE} ORDER BY receivable_id LIMIT $3"
# Two index scans of one page each, then one page of both.
_ALL = f"{_RECEIVABLE} WHERE {_PAGE}"
# Who owes is told of an assignment and never of a loan: neither is it found by asking for one (R23).
_TOLD = "replace(state, 'financed', 'assigned')"
_OWN = (
    f"SELECT * FROM (({_RECEIVABLE} WHERE seller_id = $4 AND {_PAGE}) UNION ALL "  # noqa: S608 - constants only
    f"({_RECEIVABLE} WHERE obligor_id = $4 AND {_PAGE.replace('state', _TOLD)})) own ORDER BY receivable_id LIMIT $3"
)
_JUDGED = f"SELECT {_COLUMNS}, profile, original_sha256, rules, findings FROM receivable"  # noqa: S608 - constants only
_NEAR = """
SELECT n.other_id AS receivable_id, r.seller_id, r.number, r.state, n.guise, n.policy_version
FROM near_duplicate n JOIN receivable r ON r.receivable_id = n.other_id WHERE n.receivable_id = $1 ORDER BY n.other_id
"""
_ORIGINAL = """
SELECT r.seller_id, r.obligor_id, o.sha256, o.content FROM receivable r LEFT JOIN original o
    ON o.sha256 = r.original_sha256 WHERE r.receivable_id = $1
"""
_UPLOAD = """
SELECT upload_id, file, party, state, original_sha256, total, done, accepted, referred, duplicate, refused, code,
    message, received_at, ended_at FROM upload WHERE upload_id = $1
"""
_SENT = "SELECT content, parts_id FROM original WHERE sha256 = $1"
_PART = "SELECT content FROM original_part WHERE parts_id = $1 AND nth = $2"
_UPLOAD_ITEMS = """
SELECT nth, file, outcome, receivable_id, code, message, findings FROM upload_item
WHERE upload_id = $1 AND nth > $2 ORDER BY nth LIMIT $3
"""
_VOUCHER = "SELECT root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date FROM voucher v"
_ALL_VOUCHERS = f"{_VOUCHER} WHERE v.root_id > $1 ORDER BY v.root_id LIMIT $2"
_OWN_VOUCHERS = f"""
{_VOUCHER} WHERE v.root_id IN (
    (SELECT root_id FROM voucher WHERE obligor_id = $3 AND root_id > $1 ORDER BY root_id LIMIT $2) UNION
    (SELECT DISTINCT root_id FROM slice WHERE holder_id = $3 AND root_id > $1 ORDER BY root_id LIMIT $2))
ORDER BY v.root_id LIMIT $2
"""  # noqa: S608 - constants only
_SLICES = """
SELECT root_id, slice_id, start_minor, end_minor, holder_id, state FROM slice
WHERE root_id = ANY($1) ORDER BY root_id, start_minor, slice_id
"""
_TRANSFER = """
SELECT t.transfer_id, t.root_id, t.slice_id, t.amount_minor, v.currency, t.transferor_id, t.transferee_id,
    t.trade_reference, t.state FROM transfer t JOIN voucher v USING (root_id) WHERE t.transfer_id > $1
"""
_ALL_TRANSFERS = f"{_TRANSFER} ORDER BY t.transfer_id LIMIT $2"
_OWN_TRANSFERS = (
    f"({_TRANSFER} AND t.transferor_id = $3 ORDER BY t.transfer_id LIMIT $2) UNION ALL "
    f"({_TRANSFER} AND t.transferee_id = $3 ORDER BY t.transfer_id LIMIT $2) ORDER BY transfer_id LIMIT $2"
)
_ORDER = """
SELECT order_id, seller_id, buyer_id, side, number, syntax, issue_date, delivery_date, due_date, currency,
    amount_minor, open_minor, released_minor, state, drawdown_id, lines FROM trade_order
"""
_ORDER_PAGE = f"order_id > $1 {_STATE} ORDER BY order_id LIMIT $3"
_ALL_ORDERS = f"{_ORDER} WHERE {_ORDER_PAGE}"
# Who confirms an order is told of it as who owes an invoice is.
_ORDER_OF = _ORDER_PAGE.replace("state", f"CASE side WHEN '{{}}' THEN {_TOLD} ELSE state END")
_OWN_ORDERS = (
    f"SELECT * FROM (({_ORDER} WHERE seller_id = $4 AND {_ORDER_OF.format('sale')}) UNION ALL "  # noqa: S608 - constants only
    f"({_ORDER} WHERE buyer_id = $4 AND {_ORDER_OF.format('purchase')})) own ORDER BY order_id LIMIT $3"
)
_INVOICES_OF = """
SELECT i.receivable_id, r.number, i.amount_minor FROM order_invoice i JOIN receivable r USING (receivable_id)
WHERE i.order_id = $1 ORDER BY i.receivable_id
"""
_MATCH = """
SELECT r.seller_id, r.obligor_id, o.order_id, o.number AS order_number, c.status, c.reasons, c.line_matches AS lines,
    c.is_financeable, c.policy_version, c.matched_at, r.receivable_id, r.currency, r.due_date, r.paid_minor,
    r.financeable_minor AS open_minor, coalesce((SELECT open_date FROM book), current_date) AS today
FROM receivable r LEFT JOIN citation c USING (receivable_id)
LEFT JOIN trade_order o ON (o.buyer_id, o.seller_id, o.number_key) = (c.buyer_id, c.seller_id, c.number_key)
    AND o.state <> 'rejected'
WHERE r.receivable_id = $1
"""
_DELIVERIES_OF = """
SELECT delivery_id, kind, number, syntax, issue_date, lines FROM delivery WHERE order_id = $1 ORDER BY delivery_id
"""


class NoMatch(LookupError):
    """The receivable cites no order, or none that was confirmed: there is nothing to match it with."""

    code: ClassVar[str] = "no_match"

    def __init__(self, *, receivable_id: str) -> None:
        """Keep the receivable."""
        self.receivable_id = receivable_id
        super().__init__(f"The receivable {receivable_id} was not matched with an order.")


class NoOriginal(LookupError):
    """The document came as data (JSON, a row): there is no file of it."""

    code: ClassVar[str] = "no_original"

    def __init__(self, *, document_id: str) -> None:
        """Keep the document."""
        self.document_id = document_id
        super().__init__(f"The document {document_id} came as data, not as a file.")


class UnknownUpload(LookupError):
    """No upload has this id."""

    code: ClassVar[str] = "unknown_upload"

    def __init__(self, *, upload_id: str) -> None:
        """Keep the id asked for."""
        self.upload_id = upload_id
        super().__init__(f"There is no upload {upload_id}.")


async def receivable(database: Database, *, receivable_id: str, party: str | None) -> dict[str, Any]:
    """Return one receivable; UnknownReceivable or ForeignParty otherwise."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(f"{_JUDGED} WHERE receivable_id = $1", receivable_id)
        near = await tx.pg.fetch(_NEAR, receivable_id) if party is None else []
    if row is None:
        raise UnknownReceivable(receivable_id=receivable_id)
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    found = _receivable(row, party=party)
    # The other claim may be another firm's: only the bank's people are told which.
    return found if party is not None else {**found, "near_duplicates": [dict(each) for each in near]}


async def original(database: Database, *, receivable_id: str, party: str | None) -> tuple[str, bytes]:
    """Return the hash and the bytes of what was sent; UnknownReceivable, ForeignParty, or NoOriginal of data."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(_ORIGINAL, receivable_id)
    if row is None:
        raise UnknownReceivable(receivable_id=receivable_id)
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    if row["content"] is None:
        raise NoOriginal(document_id=receivable_id)
    return row["sha256"], bytes(row["content"])


async def upload(database: Database, *, upload_id: str, party: str | None) -> dict[str, Any]:
    """Return how far an upload is; UnknownUpload, or ForeignParty for another's."""
    async with database.reader() as tx:
        return await _upload(tx, upload_id, party)


async def sent(database: Database, *, upload_id: str, party: str | None) -> tuple[str, AsyncIterator[bytes]]:
    """Return the hash and, piece by piece, the bytes of what was uploaded; UnknownUpload, ForeignParty or NoOriginal.

    Whoever sent it reads it, nobody else: its rows may be many firms' own.
    """
    async with database.reader() as tx:
        found = await _upload(tx, upload_id, party)
        row = await tx.pg.fetchrow(_SENT, found["original_sha256"])
    if row is None:
        raise NoOriginal(document_id=upload_id)
    return found["original_sha256"], _pieces(database, row["content"], row["parts_id"])


async def _pieces(database: Database, content: bytes | None, parts_id: str | None) -> AsyncIterator[bytes]:
    nth, piece = 0, content
    while parts_id is not None or nth == 0:
        if parts_id is not None:
            async with database.reader() as tx:
                piece = await tx.pg.fetchval(_PART, parts_id, nth)
        if piece is None:
            return
        yield bytes(piece)
        nth += 1


async def upload_items(
    database: Database, *, upload_id: str, after: str, limit: int, party: str | None
) -> dict[str, Any]:
    """Return a page of what became of an upload's documents; UnknownUpload, ForeignParty or InvalidCursor."""
    place = read_place(after, first=0)
    async with database.reader() as tx:
        await _upload(tx, upload_id, party)
        rows = await tx.pg.fetch(_UPLOAD_ITEMS, upload_id, place, limit + 1)
    return page([dict(row) for row in rows], limit=limit, key=lambda each: str(each["nth"]))


async def _upload(tx: Transaction, upload_id: str, party: str | None) -> dict[str, Any]:
    row = await tx.pg.fetchrow(_UPLOAD, upload_id)
    if row is None:
        raise UnknownUpload(upload_id=upload_id)
    if party is not None and party != row["party"]:
        raise ForeignParty
    return {name: value for name, value in dict(row).items() if name != "party"}


async def receivables(database: Database, *, after: str, limit: int, state: str, party: str | None) -> dict[str, Any]:
    """Return a page of receivables, in the order of their intake."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_ALL if party is None else _OWN, after, state, limit + 1, *own)
    return page([_receivable(row, party=party) for row in rows], limit=limit, key=lambda each: each["receivable_id"])


async def orders(database: Database, *, after: str, limit: int, state: str, party: str | None) -> dict[str, Any]:
    """Return a page of orders, in the order of their registration; their lines come with each order by itself."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_ALL_ORDERS if party is None else _OWN_ORDERS, after, state, limit + 1, *own)
    found = [_order(row, party=party) for row in rows]
    for each in found:
        del each["lines"]
    return page(found, limit=limit, key=lambda each: each["order_id"])


async def order(database: Database, *, order_id: str, party: str | None) -> dict[str, Any]:
    """Return one order with its lines and what was invoiced of it; UnknownOrder or ForeignParty otherwise."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(f"{_ORDER} WHERE order_id = $1", order_id)
        invoices = await tx.pg.fetch(_INVOICES_OF, order_id)
        deliveries = await tx.pg.fetch(_DELIVERIES_OF, order_id)
    if row is None:
        raise UnknownOrder(order_id=order_id)
    if party is not None and party not in {row["seller_id"], row["buyer_id"]}:
        raise ForeignParty
    shown = [
        {
            "receivable_id": each["receivable_id"],
            "number": each["number"],
            "takes": Money(each["amount_minor"], row["currency"]).wire(),
        }
        for each in invoices
    ]
    notes = [{**dict(each), "lines": [_delivered(stored_line(line)) for line in each["lines"]]} for each in deliveries]
    return {**_order(row, party=party), "invoices": shown, "deliveries": notes}


async def order_match(database: Database, *, receivable_id: str, party: str | None) -> dict[str, Any]:
    """Return how an invoice stands to its order and deliveries, and to the bank flow that paid it.

    UnknownReceivable, ForeignParty, or NoMatch when it was matched with nothing and nothing was paid.
    """
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(_MATCH, receivable_id)
        if row is None:
            raise UnknownReceivable(receivable_id=receivable_id)
        if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
            raise ForeignParty
        payment = await payment_facts(tx, row)
    if row["status"] is None and not payment["payments"]:
        raise NoMatch(receivable_id=receivable_id)
    shown = ("seller_id", "obligor_id", "order_id", "order_number", "status", "reasons", "lines", "is_financeable")
    facts = {name: row[name] for name in (*shown, "policy_version", "matched_at")}
    return {"receivable_id": receivable_id, **facts, "payment": payment}


def _delivered(line: TradeLine) -> dict[str, Any]:
    shown = line.stored()
    return {name: shown[name] for name in ("line_id", "order_line", "item", "name", "quantity", "unit")}


def _order(row: Mapping[str, Any], *, party: str | None) -> dict[str, Any]:
    found = dict(row)
    currency, drawdown_id = found.pop("currency"), found.pop("drawdown_id")
    released_minor = found.pop("released_minor")
    for name in ("amount", "open"):
        found[name] = Money(found.pop(f"{name}_minor"), currency).wire()
    # Who confirmed was told of the assignment; whether the other side has borrowed on it is not its business.
    drawer = drawer_of(side=row["side"], seller_id=row["seller_id"], buyer_id=row["buyer_id"])
    shown = party is None or party == drawer
    found["state"] = found["state"] if shown else told(found["state"])
    found["lines"] = [stored_line(each).wire(currency=currency) for each in found["lines"]]
    # Of a sale that is lent on, the seller hands over what its buyer has repaid (DOMAIN §2).
    found["released"] = Money(released_minor, currency).wire() if row["side"] == "sale" else None
    return {**found, "assigned_to": drawdown_id if shown else None}


async def vouchers(database: Database, *, after: str, limit: int, party: str | None) -> dict[str, Any]:
    """Return a page of vouchers with their slices."""
    own = () if party is None else (party,)
    async with database.snapshot() as tx:
        rows = await tx.pg.fetch(_ALL_VOUCHERS if party is None else _OWN_VOUCHERS, after, limit + 1, *own)
        slices = await tx.pg.fetch(_SLICES, [row["root_id"] for row in rows])
    found = [_voucher(row, slices, party=party) for row in rows]
    return page(found, limit=limit, key=lambda each: each["root_id"])


async def voucher(database: Database, *, root_id: str, party: str | None) -> dict[str, Any]:
    """Return one voucher with its slices; UnknownVoucher or ForeignParty otherwise."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(f"{_VOUCHER} WHERE v.root_id = $1", root_id)
        slices = await tx.pg.fetch(_SLICES, [root_id])
        offered = party is not None and await tx.pg.fetchval(
            "SELECT true FROM transfer WHERE root_id = $1 AND transferee_id = $2 LIMIT 1", root_id, party
        )
    if row is None:
        raise UnknownVoucher(document_id=root_id)
    concerned = {row["obligor_id"], *(each["holder_id"] for each in slices)}
    if party is not None and party not in concerned and not offered:
        raise ForeignParty
    return _voucher(row, slices, party=party)


async def transfers(database: Database, *, after: str, limit: int, party: str | None) -> dict[str, Any]:
    """Return a page of transfers, offered and answered."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_ALL_TRANSFERS if party is None else _OWN_TRANSFERS, after, limit + 1, *own)
    found = []
    for row in rows:
        each = dict(row)
        each["amount"] = Money(each.pop("amount_minor"), each.pop("currency")).wire()
        found.append(each)
    return page(found, limit=limit, key=lambda each: each["transfer_id"])


def _receivable(row: Mapping[str, Any], *, party: str | None) -> dict[str, Any]:
    found = dict(row)
    currency, drawdown_id = found.pop("currency"), found.pop("drawdown_id")
    for name in ("payable", "financeable", "paid"):
        found[name] = Money(found.pop(f"{name}_minor"), currency).wire()
    # What can be financed is what is still open: both fall with notes and payments (R7).
    found["open"] = found["financeable"]
    # The obligor was told of the assignment; whether its supplier has borrowed on it is not its business.
    shown = party is None or party == row["seller_id"]
    found["state"] = found["state"] if shown else told(found["state"])
    return {**found, "assigned_to": drawdown_id if shown else None}


def _voucher(row: Mapping[str, Any], slices: list[Mapping[str, Any]], *, party: str | None) -> dict[str, Any]:
    found = dict(row)
    found["face"] = Money(found.pop("face_minor"), found.pop("currency")).wire()
    mine = [dict(each) for each in slices if each["root_id"] == row["root_id"]]
    for each in mine:
        del each["root_id"]
        if party == row["obligor_id"] and each["holder_id"] != party:
            each["state"] = told(each["state"])
    if party not in {None, row["obligor_id"]}:
        mine = [each for each in mine if each["holder_id"] == party]
    return {**found, "slices": mine}
