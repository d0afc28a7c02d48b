"""I1: Σ reserved ≤ max(pool, Σ floors); every overuse names its cause, and no hold was accepted during it."""

from __future__ import annotations

from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "limit tree"

_PROGRAMMES = """
SELECT p.programme_id, p.pool_minor, coalesce(sum(l.reserved_minor), 0)::bigint AS reserved,
    coalesce(sum(l.floor_minor), 0)::bigint AS floors
FROM programme p LEFT JOIN line_now l USING (programme_id) GROUP BY p.programme_id, p.pool_minor ORDER BY p.programme_id
"""
# Of a line whose generation is in force and not written yet, the generation names the cause.
_NODES = """
SELECT n.node_id, n.held_minor + n.utilised_minor - n.sanctioned_minor AS over,
    coalesce(o.cause, (SELECT v.cause FROM generation v CROSS JOIN LATERAL (
        SELECT FROM line_next g WHERE (g.programme_id, g.number, g.line_id)
            = (v.programme_id, v.number, substr(n.node_id, 6)) LIMIT 1) AS g
        WHERE v.flipped_at IS NOT NULL AND starts_with(n.node_id, 'line/') LIMIT 1)) AS cause
FROM limit_node_now n LEFT JOIN overuse o ON o.node_id = n.node_id AND o.until IS NULL
"""
# A share so small that the node carries nothing of the hold cannot be refused by it, nor can documents that carry all.
_DURING = """
SELECT d.drawdown_id, o.node_id, o.cause
FROM overuse o JOIN drawdown d ON d.held_at >= o.since AND (o.until IS NULL OR d.held_at < o.until)
CROSS JOIN LATERAL jsonb_array_elements(d.path) AS step
WHERE step->>1 = o.node_id
    AND div(greatest(0, d.exposure_minor - coalesce((step->>3)::bigint, 0))::numeric * (step->>2)::bigint, 1000000) > 0
ORDER BY d.drawdown_id
"""


async def check(world: World) -> Result:
    """Check programmes, nodes and holds in credit's snapshot."""
    result, tx = Result(), world.state["credit"]
    async for row in tx.pg.cursor(_PROGRAMMES):
        result.checked += 1
        most = max(row["pool_minor"], row["floors"])
        if row["reserved"] > most:
            result.violate(f"programme {row['programme_id']}: {row['reserved']} reserved, at most {most} may be")
    async for row in tx.pg.cursor(_NODES):
        result.checked += 1
        if row["over"] > 0 and not row["cause"]:
            result.violate(f"{row['node_id']} is used {row['over']} above its limit, and nothing says why")
    result.checked += await tx.pg.fetchval("SELECT count(*) FROM drawdown")
    async for row in tx.pg.cursor(_DURING):
        result.violate(f"drawdown {row['drawdown_id']} was held while {row['node_id']} was overused ({row['cause']})")
    return result
