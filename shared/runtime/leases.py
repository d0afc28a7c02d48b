"""Leases: one owner a name, fenced by an epoch that grows with every take-over."""

from __future__ import annotations

from collections.abc import Sequence

from shared.storage.database import Transaction

_KEEP = """
WITH live AS (
    INSERT INTO lease AS l (name, owner, epoch, expires_at)
    VALUES ($1 || '/member/' || $2, $2, 1, clock_timestamp() + make_interval(secs => $4))
    ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at RETURNING 1),
members AS (
    SELECT greatest(1, count(*) + (SELECT count(*) FROM live)) AS many FROM lease
    WHERE starts_with(name, $1 || '/member/') AND owner <> $2 AND expires_at > clock_timestamp()),
fair AS (SELECT ceil(cardinality($3::text[])::numeric / many)::int AS share FROM members),
wanted AS (
    SELECT n.name FROM unnest($3::text[]) AS n(name) LEFT JOIN lease l ON l.name = n.name
    WHERE l.name IS NULL OR l.owner = $2 OR l.expires_at < clock_timestamp()
    ORDER BY (l.owner = $2 AND l.expires_at >= clock_timestamp()) DESC NULLS LAST, n.name
    LIMIT (SELECT share FROM fair)),
sorted AS (SELECT name FROM wanted ORDER BY name)
INSERT INTO lease AS l (name, owner, epoch, expires_at)
SELECT name, $2, 1, clock_timestamp() + make_interval(secs => $4) FROM sorted
ON CONFLICT (name) DO UPDATE SET owner = $2, expires_at = excluded.expires_at,
    epoch = CASE WHEN l.owner = $2 THEN l.epoch ELSE l.epoch + 1 END
WHERE l.owner = $2 OR l.expires_at < clock_timestamp()
RETURNING l.name, l.epoch
"""


async def keep_leases(
    tx: Transaction, *, group: str, owner: str, names: Sequence[str], seconds: float
) -> dict[str, int]:
    """Renew the owner's leases and take free ones up to its fair share; return name → epoch of those it has."""
    await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", group)
    rows = await tx.pg.fetch(_KEEP, group, owner, list(names), seconds)
    held = {row["name"]: row["epoch"] for row in rows}
    await tx.pg.execute(
        "UPDATE lease SET expires_at = clock_timestamp() WHERE owner = $1 AND name = ANY($2) AND NOT name = ANY($3)",
        owner,
        list(names),
        list(held),
    )
    return held


async def release_leases(tx: Transaction, *, group: str, owner: str) -> None:
    """Let every lease of the owner go at once, so that others need not wait for the expiry."""
    await tx.pg.execute("DELETE FROM lease WHERE name = $1", f"{group}/member/{owner}")
    await tx.pg.execute("UPDATE lease SET expires_at = clock_timestamp() WHERE owner = $1", owner)
