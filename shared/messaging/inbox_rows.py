"""What the inbox keeps in the service's database: offsets, heads, and the events that wait."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from shared.events.envelope import MalformedRecord, Received, read_envelope, read_record
from shared.storage.database import Transaction

Aggregate = tuple[str, str]
_WAITING = 500

_PARK = """
INSERT INTO inbox_parked AS p (topic, subject, sequence, event_id, type, headers, body, reason,
    waits_topic, waits_subject, waits_sequence, error, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)
ON CONFLICT (topic, subject, sequence, event_id) DO UPDATE SET reason = excluded.reason,
    waits_topic = excluded.waits_topic, waits_subject = excluded.waits_subject,
    waits_sequence = excluded.waits_sequence, error = excluded.error, attempts = p.attempts + 1, replay = false
"""
# What waits for another aggregate is tried when that one has moved, not each second. What was applied by another way
# since it was parked is due too: it is found to be a copy and forgotten. A replay that two persons decided is one try.
_DUE = """
SELECT p.* FROM inbox_parked p
JOIN inbox_head h ON (h.topic, h.subject) = (p.topic, p.subject)
LEFT JOIN inbox_head w ON (w.topic, w.subject) = (p.waits_topic, p.waits_subject)
WHERE (p.topic, p.subject, p.sequence) > ($2, $3, $4) AND (p.replay OR p.reason NOT IN ('fork', 'malformed'))
    AND (p.sequence <= h.sequence OR p.sequence = h.sequence + 1 AND (p.replay OR CASE p.reason
        WHEN 'gap' THEN true
        WHEN 'waits' THEN coalesce(w.sequence, 0) > p.waits_sequence
        WHEN 'unknown_type' THEN p.type = ANY($1)
        ELSE false END))
ORDER BY p.topic, p.subject, p.sequence LIMIT $5
"""
_LOCK_OFFSETS = """
WITH named AS (SELECT topic, partition FROM unnest($1::text[], $2::int[]) AS n(topic, partition) ORDER BY 1, 2),
made AS (
    INSERT INTO inbox_offset (topic, partition, next_offset) SELECT topic, partition, 0 FROM named
    ON CONFLICT DO NOTHING RETURNING topic, partition, next_offset)
SELECT * FROM made UNION ALL SELECT * FROM (
    SELECT o.topic, o.partition, o.next_offset FROM inbox_offset o JOIN named USING (topic, partition)
    ORDER BY 1, 2 FOR UPDATE OF o) AS locked
"""
_LOCK_HEADS = """
WITH named AS (SELECT topic, subject FROM unnest($1::text[], $2::text[]) AS n(topic, subject) ORDER BY 1, 2),
made AS (
    INSERT INTO inbox_head (topic, subject, sequence) SELECT topic, subject, 0 FROM named
    ON CONFLICT DO NOTHING RETURNING topic, subject, sequence, event_id)
SELECT * FROM made UNION ALL SELECT * FROM (
    SELECT h.topic, h.subject, h.sequence, h.event_id FROM inbox_head h JOIN named USING (topic, subject)
    ORDER BY 1, 2 FOR UPDATE OF h) AS locked
"""
# Whether anything is parked is asked under the heads' locks: who waits for one of them was parked before, and is seen,
# or will find it moved.
_SAVE_OFFSETS = """
WITH following AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) AS n(topic, partition, next_offset)),
saved AS (
    UPDATE inbox_offset o SET next_offset = n.next_offset FROM following n
    WHERE (o.topic, o.partition) = (n.topic, n.partition)),
counted AS (
    INSERT INTO inbox_stats AS s (topic, partition, consumed, duplicates)
    SELECT topic, partition, $4, $5 FROM following ORDER BY topic, partition LIMIT 1
    ON CONFLICT (topic, partition) DO UPDATE SET consumed = s.consumed + excluded.consumed,
        duplicates = s.duplicates + excluded.duplicates)
SELECT EXISTS (SELECT FROM inbox_parked)
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it arrived, with its record, should it have to be parked."""

    received: Received
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    parked_id: int | None = None
    malformed: str | None = None
    discarded: bool = False

    @property
    def aggregate(self) -> Aggregate:
        """Return the unit of order and parking."""
        return self.received.topic, self.received.subject


@dataclass(slots=True)
class Head:
    """How far an aggregate was applied."""

    sequence: int
    event_id: str | None
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """The aggregate that must move first, and where it stood when we looked."""

    aggregate: Aggregate
    sequence: int


@dataclass(slots=True)
class Parked:
    """An event that must wait, and why."""

    arrival: Arrival
    reason: str
    error: str | None = None
    waits: Awaited | None = None


async def offsets(tx: Transaction) -> dict[TopicPartition, int]:
    """Return where we are in every partition."""
    rows = await tx.pg.fetch("SELECT topic, partition, next_offset FROM inbox_offset")
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def lock_offsets(tx: Transaction, *, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Lock where we are in these partitions, and return it: another member may have moved it meanwhile."""
    names = sorted(partitions)
    columns = [each.topic for each in names], [each.partition for each in names]
    rows = await _made_and_locked(tx, _LOCK_OFFSETS, *columns)
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def save_offsets(
    tx: Transaction, *, following: Mapping[TopicPartition, int], applied: int, duplicates: int
) -> bool:
    """Keep the next offset of each partition, count what was consumed; return whether any event is parked."""
    names = sorted(following)
    is_any_parked: bool = await tx.pg.fetchval(
        _SAVE_OFFSETS,
        [each.topic for each in names],
        [each.partition for each in names],
        [following[each] for each in names],
        applied,
        duplicates,
    )
    return is_any_parked


async def lock_heads(tx: Transaction, *, aggregates: Iterable[Aggregate]) -> dict[Aggregate, Head]:
    """Create the heads that are missing and lock all, sorted; return where each stands."""
    names = sorted(set(aggregates))
    columns = [topic for topic, _ in names], [subject for _, subject in names]
    rows = await _made_and_locked(tx, _LOCK_HEADS, *columns)
    return {(row["topic"], row["subject"]): Head(row["sequence"], row["event_id"]) for row in rows}


async def _made_and_locked(tx: Transaction, statement: str, *columns: Sequence[Any]) -> list[Any]:
    """Insert the rows that are missing, sorted, then lock those that are there, sorted; return all."""
    rows: list[Any] = []
    while len(rows) < len(columns[0]):
        # What somebody else inserted meanwhile is neither made nor seen by the statement; the next one sees it.
        rows = await tx.pg.fetch(statement, *columns)
    return rows


async def save_heads(tx: Transaction, *, heads: Mapping[Aggregate, Head]) -> None:
    """Keep the heads that moved."""
    moved = [(name, head) for name, head in heads.items() if head.moved]
    await tx.pg.execute(
        """UPDATE inbox_head h SET sequence = n.sequence, event_id = n.event_id
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS n(topic, subject, sequence, event_id)
        WHERE (h.topic, h.subject) = (n.topic, n.subject)""",
        [name[0] for name, _ in moved],
        [name[1] for name, _ in moved],
        [head.sequence for _, head in moved],
        [head.event_id for _, head in moved],
    )


async def park(tx: Transaction, *, parked: Sequence[Parked]) -> None:
    """Keep what must wait, whole, where an operator sees it; parking again only counts."""
    if parked:
        await tx.pg.executemany(_PARK, [_row(each) for each in parked])


async def due(tx: Transaction, *, known_types: Collection[str], after: tuple[str, str, int]) -> list[Arrival]:
    """Return parked events whose turn has come, by topic, subject and sequence, at most a page after that place."""
    rows = await tx.pg.fetch(_DUE, list(known_types), *after, _WAITING)
    return [_unpark(row) for row in rows]


async def forget(tx: Transaction, *, parked_ids: Sequence[int]) -> None:
    """Remove what no longer waits."""
    await tx.pg.execute("DELETE FROM inbox_parked WHERE parked_id = ANY($1)", list(parked_ids))


def _row(parked: Parked) -> tuple[Any, ...]:
    received, waits = parked.arrival.received, parked.waits
    return (
        received.topic,
        received.subject,
        received.sequence,
        received.id,
        received.type,
        json.dumps([[name, (value or b"").decode("latin-1")] for name, value in parked.arrival.headers]),
        parked.arrival.body,
        parked.reason,
        waits.aggregate[0] if waits else None,
        waits.aggregate[1] if waits else None,
        waits.sequence if waits else None,
        _storable(parked.error) if parked.error else None,
    )


def _unpark(row: Any) -> Arrival:
    return read_arrival(
        topic=row["topic"], headers=headers_of(row["headers"]), body=row["body"], parked_id=row["parked_id"]
    )


def headers_of(kept: Iterable[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a parked record as they came."""
    return tuple((name, value.encode("latin-1")) for name, value in kept)


def read_arrival(
    *, topic: str, headers: tuple[tuple[str, bytes], ...], body: bytes, parked_id: int | None = None
) -> Arrival:
    """Return a record as an arrival, one with a body that is not as agreed too; MalformedRecord without an envelope."""
    try:
        return Arrival(read_record(topic=topic, headers=headers, body=body), headers, body, parked_id)
    except MalformedRecord as error:
        received = read_envelope(topic=topic, headers=headers)
        return Arrival(received, headers, body, parked_id, malformed=str(error))


def _storable(text: str) -> str:
    """Return a text without what PostgreSQL keeps in none: a NUL, a lone surrogate."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
