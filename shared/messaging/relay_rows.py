"""What the relay keeps in the service's database: its leases, the rows that wait, where each shard's last ack is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.runtime.leases import keep_leases
from shared.storage.database import Transaction

LEASE_S = 3.0
_BATCH = 500

_READ = """
SELECT s.shard, o.position, o.id, o.type, o.source, o.topic, o.subject, o.sequence, o.time, o.traceparent, o.body
FROM unnest($1::text[], $2::bigint[]) AS s(shard, floor)
CROSS JOIN LATERAL (
    SELECT p.position FROM outbox_pending p WHERE p.shard = s.shard AND p.position > s.floor
    ORDER BY p.position LIMIT $3) AS pending
JOIN outbox o USING (position) ORDER BY o.position
"""
_MARK = """
WITH mine AS (
    SELECT name FROM lease JOIN unnest($1::text[], $2::bigint[]) AS l(name, epoch) USING (name, epoch)
    WHERE owner = $3 FOR SHARE OF lease),
marked AS (
    DELETE FROM outbox_pending p USING unnest($4::text[], $5::bigint[]) AS d(shard, position)
    WHERE (p.shard, p.position) = (d.shard, d.position) AND p.shard IN (SELECT name FROM mine) RETURNING 1),
acked AS (
    INSERT INTO relay_ack AS a (shard, cluster_id, record_offset, event_id)
    SELECT shard, $6, record_offset, event_id
    FROM unnest($7::text[], $8::bigint[], $9::text[]) AS k(shard, record_offset, event_id)
    WHERE shard IN (SELECT name FROM mine)
    ON CONFLICT (shard) DO UPDATE SET cluster_id = excluded.cluster_id,
        record_offset = excluded.record_offset, event_id = excluded.event_id RETURNING 1)
SELECT count(*) FROM marked
"""
# No row, and a head that is past it: the row was archived when its retention ended.
_UNKNOWN = """
SELECT r.nth FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
    WITH ORDINALITY AS r(topic, subject, sequence, id, nth)
LEFT JOIN outbox o USING (topic, subject, sequence)
LEFT JOIN outbox_head h USING (topic, subject)
WHERE CASE WHEN o.id IS NULL THEN coalesce(h.sequence, 0) < r.sequence ELSE o.id <> r.id END
ORDER BY r.nth LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class OnTopic:
    """What a record on the topic says it is."""

    topic: str
    subject: str
    sequence: int
    id: str


async def keep_shards(tx: Transaction, *, group: str, owner: str, names: Sequence[str]) -> dict[str, int]:
    """Renew the owner's shards and take free ones up to its share; return shard → epoch of those it has."""
    return await keep_leases(tx, group=group, owner=owner, names=names, seconds=LEASE_S)


async def last_acks(tx: Transaction, *, shards: Sequence[str]) -> list[Any]:
    """Return shard, cluster_id, record_offset and event_id of the last ack of each shard that has one."""
    return await tx.pg.fetch("SELECT * FROM relay_ack WHERE shard = ANY($1)", list(shards))


async def first_unknown(tx: Transaction, *, records: Sequence[OnTopic]) -> int | None:
    """Return the index of the first record that the outbox never wrote; None when it wrote them all."""
    nth: int | None = await tx.pg.fetchval(
        _UNKNOWN,
        [each.topic for each in records],
        [each.subject for each in records],
        [each.sequence for each in records],
        [each.id for each in records],
    )
    return None if nth is None else nth - 1


async def pending(tx: Transaction, *, floors: Mapping[str, int]) -> list[Any]:
    """Return the rows that wait beyond each shard's floor, at most a batch a shard, by position."""
    return await tx.pg.fetch(_READ, list(floors), list(floors.values()), _BATCH)


async def mark(
    tx: Transaction,
    *,
    owner: str,
    epochs: Mapping[str, int],
    rows: Sequence[Any],
    cluster: str,
    last: Mapping[str, tuple[int, str]],
) -> int:
    """Mark rows as sent and keep each shard's last ack, where the lease is still ours; return how many were marked."""
    # A mark that is lost is sent again, and consumers skip the copy.
    await tx.pg.execute("SET LOCAL synchronous_commit = off")
    marked: int = await tx.pg.fetchval(
        _MARK,
        list(epochs),
        list(epochs.values()),
        owner,
        [row["shard"] for row in rows],
        [row["position"] for row in rows],
        cluster,
        list(last),
        [offset for offset, _ in last.values()],
        [event_id for _, event_id in last.values()],
    )
    return marked
