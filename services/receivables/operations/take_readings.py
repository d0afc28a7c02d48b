"""Take in what devices say of goods, many readings at once; each is kept once by its device and instant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from services.receivables.domain.readings import (
    InvalidReading,
    Observed,
    Reading,
    ReadingConflict,
    Row,
    UnknownDevice,
    observe,
)
from services.receivables.operations.appraise_goods import (
    appraise_goods,
    lock_lots,
    observed_of,
    rules_on,
    today_of,
    watch_of,
)
from shared.runtime.clock import database_now
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column

_CHUNK = 1000
_AHEAD = timedelta(minutes=5)
_DEVICES = """
SELECT d.device, d.goods_id, g.owner_id FROM goods_device d JOIN goods g USING (goods_id) WHERE d.device = ANY($1)
"""
_INSERT = """
INSERT INTO goods_reading (device, measured_at, goods_id, temperature, humidity, latitude, longitude, quantity_milli)
SELECT device, measured_at, goods_id, temperature, humidity, latitude, longitude, quantity
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[], $8::bigint[])
    WITH ORDINALITY AS r(device, measured_at, goods_id, temperature, humidity, latitude, longitude, quantity, nth)
ORDER BY device, measured_at, nth ON CONFLICT DO NOTHING RETURNING device, measured_at
"""
STANDING = """
SELECT r.* FROM unnest($1::text[], $2::timestamptz[]) AS d(device, measured_at)
CROSS JOIN LATERAL (SELECT device, measured_at, temperature, humidity, latitude, longitude, quantity_milli
    FROM goods_reading f WHERE (f.device, f.measured_at) = (d.device, d.measured_at) LIMIT 1) AS r
"""
_OBSERVED = """
UPDATE goods g SET measured_milli = o.measured, measured_at = o.measured_at, in_place = o.in_place,
    place_at = o.place_at, excursion_date = o.excursion
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::boolean[], $5::timestamptz[], $6::date[])
    AS o(goods_id, measured, measured_at, in_place, place_at, excursion) WHERE g.goods_id = o.goods_id
"""
Outcome = Exception | bool
Name = tuple[str, datetime]


async def take_readings(database: Database, *, rows: Iterable[Row], party: str | None, actor: str) -> dict[str, Any]:
    """Keep readings and appraise their goods anew; return how many were new or known, and each refused with its row.

    An upload that breaks off between two chunks can be repeated: what was taken is known then.
    """
    outcomes: list[Outcome] = []
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        async with database.transaction() as tx:
            outcomes += await _take(tx, chunk, party=party, actor=actor)
    return {
        "accepted": sum(each is True for each in outcomes),
        "known": sum(each is False for each in outcomes),
        "refused": [
            {"row": nth, "code": getattr(each, "code", "refused"), "message": str(each)}
            for nth, each in enumerate(outcomes, start=1)
            if isinstance(each, Exception)
        ],
    }


async def _take(tx: Transaction, rows: Sequence[Row], *, party: str | None, actor: str) -> list[Outcome]:
    """Keep a chunk; answer each row with whether it was new, or with why it is refused."""
    devices = {row.device for row in rows if isinstance(row, Reading)}
    known = {row["device"]: row for row in await tx.pg.fetch(_DEVICES, sorted(devices))}
    latest = await database_now(tx) + _AHEAD
    wrong = [_why_not(row, known, party=party, latest=latest) for row in rows]
    kept = [row for row, why in zip(rows, wrong, strict=True) if why is None and isinstance(row, Reading)]
    columns = [_columns(each, known[each.device]["goods_id"]) for each in kept]
    # The goods are locked before their readings: two uploads of one lot, and a valuation, wait for each other.
    goods = await lock_lots(tx, {known[each.device]["goods_id"] for each in kept})
    inserted = {tuple(row) for row in await tx.pg.fetch(_INSERT, *by_column(columns, width=8))}
    answers = await _answers(tx, kept, inserted)
    fresh: dict[str, list[Reading]] = defaultdict(list)
    for reading, answer in zip(kept, answers, strict=True):
        if answer is True:
            fresh[known[reading.device]["goods_id"]].append(reading)
    await _observe(tx, {goods_id: goods[goods_id] for goods_id in fresh}, fresh)
    await record(tx, [Entry(actor, "goods.measured", key, {"readings": len(each)}) for key, each in fresh.items()])
    told = iter(answers)
    return [next(told) if why is None else why for why in wrong]


def _why_not(
    row: Row, known: Mapping[str, Any], *, party: str | None, latest: datetime
) -> InvalidReading | UnknownDevice | None:
    """Return why a reading is refused; a device of another firm's goods is as unknown as any (R23)."""
    if isinstance(row, InvalidReading):
        return row
    device = known.get(row.device)
    if device is None or party not in {None, device["owner_id"]}:
        return UnknownDevice(device=row.device)
    if row.measured_at > latest:
        return InvalidReading(field="measured_at", reason="is in the future")
    return None


async def _answers(tx: Transaction, kept: Sequence[Reading], inserted: set[Any]) -> list[Outcome]:
    """Return of each reading whether it is new; a conflict where the device said something else before."""
    new: dict[Name, Reading] = {}
    for each in kept:
        name = each.device, each.measured_at
        if name in inserted:
            new.setdefault(name, each)
    rest = sorted({(each.device, each.measured_at) for each in kept} - new.keys())
    standing = {
        (row["device"], row["measured_at"]): Reading(**row)
        for row in await tx.pg.fetch(STANDING, *by_column(rest, width=2))
    }
    answers: list[Outcome] = []
    for each in kept:
        name = each.device, each.measured_at
        if new.get(name) is each:
            answers.append(True)
        elif (new.get(name) or standing[name]) == each:
            answers.append(False)
        else:
            answers.append(ReadingConflict(device=each.device, measured_at=each.measured_at))
    return answers


async def _observe(tx: Transaction, goods: Mapping[str, Any], fresh: Mapping[str, Sequence[Reading]]) -> None:
    """Write what is known of goods after new readings, and what they are worth then."""
    if not goods:
        return
    rules, rows, kept = await rules_on(tx), {}, []
    for goods_id, row in sorted(goods.items()):
        seen = observe(observed_of(row), fresh[goods_id], watch_of(row, rules))
        rows[goods_id] = {**dict(row), **_stored(seen)}
        kept.append((goods_id, *_stored(seen).values()))
    await tx.pg.execute(_OBSERVED, *by_column(kept, width=6))
    await appraise_goods(tx, rows, on=await today_of(tx))


def _stored(seen: Observed) -> dict[str, Any]:
    return {
        "measured_milli": seen.measured_milli,
        "measured_at": seen.measured_at,
        "in_place": seen.in_place,
        "place_at": seen.place_at,
        "excursion_date": seen.excursion_date,
    }


def _columns(each: Reading, goods_id: str) -> tuple[Any, ...]:
    measured = (each.temperature, each.humidity, each.latitude, each.longitude, each.quantity_milli)
    return each.device, each.measured_at, goods_id, *measured
