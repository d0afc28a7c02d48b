"""I5: every acked outbox row is on its topic as written, and every record has its row; copies are only counted.

Rows that are archived are rows, and their manifests say which and how many they must be. A record that no outbox wrote
and every reader has discarded, by two persons each, is noted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.events.envelope import MalformedRecord
from shared.events.topics import partition_of, topics_of
from shared.messaging.kafka import Kafka
from shared.messaging.retention import broken_archives
from tributary.services import SERVICES
from tributary.verify.result import Result
from tributary.verify.set_aside import is_aside, set_aside
from tributary.verify.snapshots import World
from tributary.verify.topics import Place, Sequences, records_of

NAME = "outbox and topics agree"

_PREFETCH = 1_000

_ROWS = """
SELECT o.subject, o.sequence, o.id, o.type, sha256(convert_to(o.body, 'UTF8')) AS digest
FROM outbox_kept o JOIN unnest($2::text[], $3::bigint[]) AS r(subject, sequence) USING (subject, sequence)
WHERE o.topic = $1
"""
_ACKED = """
SELECT o.subject, o.sequence FROM outbox_kept o WHERE o.topic = $1
    AND NOT EXISTS (SELECT FROM outbox_pending p WHERE p.position = o.position)
"""
_PENDING = "SELECT p.shard, o.time FROM outbox_pending p JOIN outbox o USING (position) ORDER BY position"


@dataclass(frozen=True, slots=True)
class _Found:
    """One record as it lies on its topic."""

    where: str
    partition: int
    key: str
    subject: str
    sequence: int
    id: str
    type: str
    digest: bytes
    is_aside: bool


async def check(world: World) -> Result:
    """Compare both ways, a topic at a time."""
    result = Result()
    copies = discarded = 0
    aside = await set_aside(world)
    for service in SERVICES:
        for topic in topics_of(service):
            seen: dict[str, Sequences] = defaultdict(Sequences)
            batches = records_of(Kafka.of(world.settings), world.ends, topics=[topic])
            async for batch in batches:
                read = await _records_have_rows(world, service, topic, batch, seen=seen, aside=aside, result=result)
                copies, discarded = copies + read[0], discarded + read[1]
            await _rows_have_records(world, service, topic, seen=seen, result=result)
        for topic, subject in await broken_archives(world.outboxes[service]):
            result.violate(f"{topic}: what is archived of {subject} is not what its manifest says")
        async for row in world.outboxes[service].pg.cursor(_PENDING):
            result.fly(f"{service}: an event for {row['shard']} was not sent", age_s=world.age_s(row["time"]))
    if discarded:
        result.notes.append(f"{discarded} records that no outbox wrote were discarded by everybody who reads them")
    if copies:
        result.notes.append(f"{copies} copies (harmless: consumers skip them)")
    return result


async def _records_have_rows(
    world: World,
    service: str,
    topic: str,
    batch: Sequence[Any],
    *,
    seen: dict[str, Sequences],
    aside: Mapping[str, set[str]],
    result: Result,
) -> tuple[int, int]:
    """Check a batch of records against their rows; return how many were copies, and how many were set aside."""
    found, copies, discarded = [], 0, 0
    for record in batch:
        try:
            found.append(_read(record, is_aside=is_aside(record, aside)))
        except (MalformedRecord, KeyError, ValueError):
            if is_aside(record, aside):
                discarded += 1
                continue
            result.violate(f"{topic}-{record.partition} offset {record.offset} is not an event of ours")
    # Rows may have been committed, and sent, after the snapshot: a fresh read has them all.
    async with world.databases[service].reader() as tx:
        rows = await tx.pg.fetch(_ROWS, topic, [each.subject for each in found], [each.sequence for each in found])
    known = {(row["subject"], row["sequence"]): row for row in rows}
    for each in found:
        result.checked += 1
        wrong = _what_is_wrong(each, known.get((each.subject, each.sequence)), topic)
        if wrong and each.is_aside:
            discarded += 1
            continue
        copies += seen[each.subject].see(each.sequence) is Place.COPY
        if wrong:
            result.violate(f"{each.where}: {wrong}")
    return copies, discarded


def _read(record: Any, *, is_aside: bool) -> _Found:
    headers = {name: value.decode() for name, value in record.headers}
    return _Found(
        where=f"{record.topic}-{record.partition} offset {record.offset}",
        partition=record.partition,
        key=(record.key or b"").decode(),
        subject=headers["ce_subject"],
        sequence=int(headers["ce_sequence"]),
        id=headers["ce_id"],
        type=headers["ce_type"],
        digest=sha256(record.value or b"").digest(),
        is_aside=is_aside,
    )


def _what_is_wrong(found: _Found, row: Mapping[str, Any] | None, topic: str) -> str | None:
    if row is None:
        return f"no outbox row says {found.type} number {found.sequence} of {found.subject}"
    if found.id != row["id"]:
        return f"number {found.sequence} of {found.subject} has another id than its outbox row"
    if found.type != row["type"] or found.digest != row["digest"]:
        return f"{found.type} number {found.sequence} of {found.subject} is not as its outbox row was written"
    if found.key != found.subject or found.partition != partition_of(topic=topic, subject=found.subject):
        return f"{found.subject} lies under another key or in another partition"
    return None


async def _rows_have_records(
    world: World, service: str, topic: str, *, seen: Mapping[str, Sequences], result: Result
) -> None:
    nothing = Sequences()
    async for row in world.outboxes[service].pg.cursor(_ACKED, topic, prefetch=_PREFETCH):
        result.checked += 1
        if row["sequence"] not in seen.get(row["subject"], nothing):
            result.violate(f"{topic}: number {row['sequence']} of {row['subject']} was acked but is not there")
