"""What is read of goods: receipts, what they are worth and why, what devices said; a firm sees its own (R23)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.receivables.domain.goods import quantity_text
from services.receivables.operations.locking import UnknownGoods
from shared.storage.database import Database, Transaction
from shared.storage.paging import InvalidCursor, page
from shared.values.money import Money
from shared.web.auth import ForeignParty

_LOT = """
SELECT goods_id, owner_id, number AS receipt_number, warehouse, country, city, latitude, longitude, item, goods_class,
    quantity_milli, released_milli, unit, currency, condition, issue_date, due_date, state, code, reason, drawdown_id,
    registry_reference, filed_at, value_minor, eligible_minor, reasons, valued_date, appraised_date, policy_version,
    measured_milli, measured_at, in_place, place_at, excursion_date, bounds FROM goods
"""
_PAGE = "goods_id > $1 AND ($2 = '' OR state = $2) ORDER BY goods_id LIMIT $3"
ALL_LOTS = f"{_LOT} WHERE {_PAGE}"
OWN_LOTS = f"{_LOT} WHERE owner_id = $4 AND {_PAGE}"
VALUATIONS_OF = """
SELECT valued_date, source, unit_value_minor, condition, actor FROM goods_valuation WHERE goods_id = $1
ORDER BY valued_date DESC, source LIMIT 100
"""
DEVICES_OF = "SELECT device FROM goods_device WHERE goods_id = $1 ORDER BY device"
READINGS_OF = """
SELECT device, measured_at, temperature, humidity, latitude, longitude, quantity_milli, received_at FROM goods_reading
WHERE goods_id = $1 AND (measured_at, device) < ($2, $3) ORDER BY measured_at DESC, device DESC LIMIT $4
"""
_NEWEST = datetime.fromisoformat("9999-12-31T00:00:00+00:00")


async def lots(database: Database, *, after: str, limit: int, state: str, party: str | None) -> dict[str, Any]:
    """Return a page of goods, in the order of their registration."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(ALL_LOTS if party is None else OWN_LOTS, after, state, limit + 1, *own)
    return page([_lot(row) for row in rows], limit=limit, key=lambda each: each["goods_id"])


async def lot(database: Database, *, goods_id: str, party: str | None) -> dict[str, Any]:
    """Return one lot with its last valuations and its devices; UnknownGoods or ForeignParty otherwise."""
    async with database.snapshot() as tx:
        row = await _own(tx, goods_id, party)
        valuations = await tx.pg.fetch(VALUATIONS_OF, goods_id)
        devices = await tx.pg.fetch(DEVICES_OF, goods_id)
    valued = []
    for each in valuations:
        shown = dict(each)
        shown["unit_value"] = Money(shown.pop("unit_value_minor"), row["currency"]).wire()
        valued.append(shown)
    return {**_lot(row), "valuations": valued, "devices": [each["device"] for each in devices]}


async def readings(database: Database, *, goods_id: str, before: str, limit: int, party: str | None) -> dict[str, Any]:
    """Return a page of readings, the newest first; UnknownGoods, ForeignParty or InvalidCursor."""
    instant, device = _place_in(before) if before else (_NEWEST, "")
    async with database.reader() as tx:
        await _own(tx, goods_id, party)
        rows = await tx.pg.fetch(READINGS_OF, goods_id, instant, device, limit + 1)
    found = [_reading(row) for row in rows]
    return page(found, limit=limit, key=lambda each: f"{each['measured_at'].isoformat()} {each['device']}")


async def _own(tx: Transaction, goods_id: str, party: str | None) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await tx.pg.fetchrow(f"{_LOT} WHERE goods_id = $1", goods_id)
    if row is None:
        raise UnknownGoods(goods_id=goods_id)
    if party not in {None, row["owner_id"]}:
        raise ForeignParty
    return row


def _place_in(cursor: str) -> tuple[datetime, str]:
    instant, _, device = cursor.partition(" ")
    try:
        found = datetime.fromisoformat(instant)
    except ValueError:
        raise InvalidCursor from None
    if found.tzinfo is None:
        raise InvalidCursor
    return found, device


def _lot(row: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(row)
    currency, quantity, gone = found["currency"], found.pop("quantity_milli"), found.pop("released_milli")
    measured = found.pop("measured_milli")
    for name in ("value", "eligible"):
        found[name] = Money(found.pop(f"{name}_minor"), currency).wire()
    return {
        **found,
        **_degrees(found),
        "quantity": quantity_text(quantity),
        "released": quantity_text(gone),
        "pledged": quantity_text(quantity - gone),
        "measured": None if measured is None else quantity_text(measured),
        "assigned_to": found.pop("drawdown_id"),
    }


def _reading(row: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(row)
    quantity = found.pop("quantity_milli")
    for name in ("temperature", "humidity"):
        found[name] = None if found[name] is None else _scaled(found[name], digits=2)
    return {**found, **_degrees(found), "quantity": None if quantity is None else quantity_text(quantity)}


def _degrees(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if found[name] is None else _scaled(found[name], digits=6) for name in ("latitude", "longitude")}


def _scaled(value: int, *, digits: int) -> str:
    whole, rest = divmod(abs(value), 10**digits)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}"
