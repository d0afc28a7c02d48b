"""Retention: outbox rows whose period is over move to the archive, with a manifest that says what lies there.

The archive is a table beside the outbox, which stays as small as what is young. The manifest stands in the aggregate's
head: how many of its events are archived, always its first ones, and a digest chained over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from shared.runtime.leases import keep_leases
from shared.storage.database import Database, Transaction

PAGE = 5_000
_LEASE_S = 60.0
_DIGEST = "encode(sha256(convert_to(o.body, 'UTF8')), 'hex')"
# The oldest rows; those that are young or not sent stay, and with them what follows in their aggregate.
_OLDEST = f"""
SELECT o.position, o.topic, o.subject, o.sequence, o.id, o.type, {_DIGEST} AS body,
    o.time >= clock_timestamp() - make_interval(days => $1)
        OR EXISTS (SELECT FROM outbox_pending p WHERE p.position = o.position) AS stays
FROM outbox o ORDER BY o.position LIMIT $2
"""  # noqa: S608 - a constant from above
_HEADS = """
SELECT h.topic, h.subject, h.archived, h.archive_digest FROM outbox_head h
JOIN unnest($1::text[], $2::text[]) AS n(topic, subject) USING (topic, subject)
ORDER BY h.topic, h.subject FOR UPDATE OF h
"""
_COLUMNS = "position, id, topic, subject, sequence, type, source, traceparent, time, body"
_MOVE = f"""
WITH moved AS (DELETE FROM outbox WHERE position = ANY($1) RETURNING {_COLUMNS})
INSERT INTO outbox_archive ({_COLUMNS}) SELECT {_COLUMNS} FROM moved
"""  # noqa: S608 - a constant from above
_MANIFEST = """
UPDATE outbox_head h SET archived = n.archived, archive_digest = n.digest
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS n(topic, subject, archived, digest)
WHERE (h.topic, h.subject) = (n.topic, n.subject)
"""
_BACK = f"""
WITH back AS (DELETE FROM outbox_archive WHERE topic = ANY($1) RETURNING {_COLUMNS})
INSERT INTO outbox ({_COLUMNS}) OVERRIDING SYSTEM VALUE SELECT {_COLUMNS} FROM back
"""  # noqa: S608 - a constant from above
_ARCHIVED = f"""
SELECT o.topic, o.subject, o.sequence, o.id, o.type, {_DIGEST} AS body, h.archived, h.archive_digest
FROM outbox_archive o LEFT JOIN outbox_head h USING (topic, subject) ORDER BY o.topic, o.subject, o.sequence
"""  # noqa: S608 - a constant from above
_GONE = """
SELECT h.topic, h.subject FROM outbox_head h WHERE h.archived > 0 AND NOT EXISTS (
    SELECT FROM outbox_archive a WHERE (a.topic, a.subject) = (h.topic, h.subject)) ORDER BY 1, 2
"""
Aggregate = tuple[str, str]


async def archive(database: Database, *, owner: str, days: int) -> int:
    """Archive a page of what is older than so many days, if this process holds the lease; return how many rows."""
    async with database.transaction() as tx:
        names = ["retention/archiver"]
        if not await keep_leases(tx, group="retention", owner=owner, names=names, seconds=_LEASE_S):
            return 0
        await _alone(tx)
        rows = await tx.pg.fetch(_OLDEST, days, PAGE)
        aggregates = {(row["topic"], row["subject"]) for row in rows if not row["stays"]}
        heads = await tx.pg.fetch(_HEADS, [topic for topic, _ in aggregates], [subject for _, subject in aggregates])
        manifests = {(row["topic"], row["subject"]): (row["archived"], row["archive_digest"]) for row in heads}
        positions = _chain(rows, manifests)
        await tx.pg.execute(_MOVE, positions)
        await tx.pg.execute(
            _MANIFEST,
            [topic for topic, _ in manifests],
            [subject for _, subject in manifests],
            [archived for archived, _ in manifests.values()],
            [digest for _, digest in manifests.values()],
        )
    return len(positions)


async def bring_back(tx: Transaction, *, topics: Sequence[str]) -> None:
    """Put what is archived of these topics back into the outbox, where the relay finds it; a later run archives it."""
    await _alone(tx)
    await tx.pg.execute(_BACK, list(topics))
    await tx.pg.execute(
        "UPDATE outbox_head SET archived = 0, archive_digest = '' WHERE topic = ANY($1) AND archived > 0", list(topics)
    )


async def broken_archives(tx: Transaction) -> list[Aggregate]:
    """Return the aggregates whose archive is not what their manifest says (I5)."""
    broken = [(row["topic"], row["subject"]) for row in await tx.pg.fetch(_GONE)]
    last: Mapping[str, Any] | None = None
    reached = (0, "")
    async for row in tx.pg.cursor(_ARCHIVED, prefetch=1_000):
        if last is None or _aggregate(last) != _aggregate(row):
            broken += _unlike(last, reached)
            reached = (0, "")
        follows = row["sequence"] == reached[0] + 1
        reached = (row["sequence"], _link(reached[1], row) if follows else "a gap")
        last = row
    return broken + _unlike(last, reached)


def _chain(rows: Sequence[Mapping[str, Any]], manifests: dict[Aggregate, tuple[int, str]]) -> list[int]:
    """Go on with each aggregate's chain where its manifest ends; return the positions of what is in it now."""
    positions, blocked = [], set()
    for row in rows:
        aggregate = _aggregate(row)
        if row["stays"]:
            blocked.add(aggregate)
        if aggregate in blocked or aggregate not in manifests:
            continue
        archived, digest = manifests[aggregate]
        if row["sequence"] == archived + 1:
            manifests[aggregate] = (archived + 1, _link(digest, row))
            positions.append(row["position"])
    return positions


def _link(previous: str, row: Mapping[str, Any]) -> str:
    return sha256("\n".join([previous, str(row["sequence"]), row["id"], row["type"], row["body"]]).encode()).hexdigest()


def _unlike(last: Mapping[str, Any] | None, reached: tuple[int, str]) -> list[Aggregate]:
    return [] if last is None or (last["archived"], last["archive_digest"]) == reached else [_aggregate(last)]


def _aggregate(row: Mapping[str, Any]) -> Aggregate:
    return row["topic"], row["subject"]


async def _alone(tx: Transaction) -> None:
    """Keep everybody else from moving rows between outbox and archive until this transaction ends."""
    await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended('outbox_archive', 0))")
