"""What waits in a service's database, for its metrics: each figure one indexed statement with a bounded cost."""

from __future__ import annotations

from shared.events.topics import TOPICS, topics_of
from shared.runtime.metrics import show_backlog_taken, show_outbox, show_parked
from shared.storage.database import Database

_MOST_PENDING, _MOST_PARKED = 100_000, 10_000

PENDING = "SELECT count(*) FROM (SELECT FROM outbox_pending ORDER BY shard, position LIMIT $1) AS p"
OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(o.time)), 0)::float8
FROM unnest($1::text[]) AS s(shard)
CROSS JOIN LATERAL (
    SELECT p.position FROM outbox_pending p WHERE p.shard = s.shard ORDER BY p.position LIMIT 1) AS pending
JOIN outbox o USING (position)
"""
UNOWNED = """
SELECT count(*) FROM unnest($1::text[]) AS s(shard)
LEFT JOIN lease l ON l.name = s.shard AND l.expires_at > clock_timestamp() WHERE l.name IS NULL
"""
PARKED = """
SELECT p.reason, count(DISTINCT (p.topic, p.subject)) AS keys,
    extract(epoch FROM clock_timestamp() - min(p.parked_at))::float8 AS oldest_s
FROM (SELECT topic, subject, reason, parked_at FROM inbox_parked ORDER BY parked_id LIMIT $1) AS p GROUP BY p.reason
"""


async def show_backlog(database: Database, *, service: str) -> None:
    """Take the figures and show them."""
    shards = [f"{topic}-{number}" for topic in topics_of(service) for number in range(TOPICS[topic])]
    async with database.reader() as tx:
        parked = await tx.pg.fetch(PARKED, _MOST_PARKED)
        if shards:
            show_outbox(
                service,
                pending=await tx.pg.fetchval(PENDING, _MOST_PENDING),
                oldest_s=await tx.pg.fetchval(OLDEST, shards),
                unowned_shards=await tx.pg.fetchval(UNOWNED, shards),
            )
    keys = {row["reason"]: row["keys"] for row in parked}
    show_parked(service, keys=keys, oldest_s=max((row["oldest_s"] for row in parked), default=0.0))
    show_backlog_taken(service)
