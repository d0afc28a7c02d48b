"""Limit nodes in the database: locked by (level, id) root first, written set-wise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from services.credit.domain.limits import Node
from services.credit.domain.paths import Level, programme_node
from shared.storage.database import Transaction, packed, unpacked
from shared.values.ids import new_id

_CREATE = f"""
INSERT INTO limit_node (node_id, level, currency)
SELECT n.node_id, n.level, $3 FROM unnest({unpacked(1)}, {unpacked(2, "smallint")}) AS n(node_id, level)
WHERE NOT EXISTS (SELECT FROM limit_node k WHERE k.node_id = n.node_id)
ORDER BY n.level, n.node_id ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only
_LOCK = """
SELECT n.node_id, n.sanctioned_minor, n.held_minor, n.utilised_minor FROM limit_node n
WHERE n.node_id = ANY($1) ORDER BY n.level, n.node_id FOR NO KEY UPDATE
"""
_MOVE = """
UPDATE limit_node n SET held_minor = n.held_minor + m.held, utilised_minor = n.utilised_minor + m.utilised
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS m(node_id, held, utilised) WHERE n.node_id = m.node_id
"""
_SANCTION = f"""
WITH changed AS (
    UPDATE limit_node n SET sanctioned_minor = s.amount
    FROM unnest({unpacked(1)}, {unpacked(2, "bigint")}) AS s(node_id, amount)
    WHERE n.node_id = s.node_id AND n.sanctioned_minor <> s.amount RETURNING n.node_id, n.sanctioned_minor)
INSERT INTO node_history (node_id, since, sanctioned_minor)
SELECT node_id, coalesce($3, statement_timestamp()), sanctioned_minor FROM changed
ON CONFLICT (node_id, since) DO UPDATE SET sanctioned_minor = excluded.sanctioned_minor
"""  # noqa: S608 - constants only
_IN_FORCE = """
SELECT n.node_id, n.sanctioned_minor FROM limit_node_now n
WHERE n.node_id = ANY($1) AND EXISTS (SELECT FROM generation WHERE flipped_at IS NOT NULL)
"""
_OVERUSED = """
SELECT n.node_id FROM limit_node_now n
WHERE n.node_id = ANY($1) AND n.held_minor + n.utilised_minor > n.sanctioned_minor ORDER BY n.node_id
"""
_NOTE_OVERUSE = """
INSERT INTO overuse (overuse_id, node_id, cause)
SELECT i.overuse_id, i.node_id, $3 FROM unnest($1::text[], $2::text[]) AS i(node_id, overuse_id)
ON CONFLICT (node_id) WHERE until IS NULL DO NOTHING
"""
_BACK_IN_LIMIT = """
UPDATE overuse o SET until = clock_timestamp() FROM limit_node_now n
WHERE o.node_id = n.node_id AND n.node_id = ANY($1) AND o.until IS NULL
    AND n.held_minor + n.utilised_minor <= n.sanctioned_minor
"""


async def create_nodes(tx: Transaction, *, nodes: Collection[tuple[Level, str]], currency: str) -> None:
    """Create the nodes that are missing, sanctioned nothing yet."""
    await tx.pg.execute(
        _CREATE, packed([node_id for _, node_id in nodes]), packed([str(int(level)) for level, _ in nodes]), currency
    )


async def lock_nodes(tx: Transaction, *, node_ids: Collection[str]) -> dict[str, Node]:
    """Lock nodes by (level, id); return where each stands, under the lock."""
    rows = await tx.pg.fetch(_LOCK, list(node_ids))
    return {row["node_id"]: Node(*row) for row in rows}


async def apply_generations(tx: Transaction, nodes: Mapping[str, Node]) -> None:
    """Sanction locked nodes, in memory alone, what a generation in force gives them that is not written there yet."""
    rows = await tx.pg.fetch(_IN_FORCE, [node_id for node_id in nodes if node_id.startswith("line/")])
    for row in rows:
        nodes[row["node_id"]].sanctioned = row["sanctioned_minor"]


async def sanction(tx: Transaction, amounts: Mapping[str, int], *, since: datetime | None = None) -> None:
    """Set what locked nodes are sanctioned, and keep since when; only propagation, a pair's limit and cover do this."""
    await tx.pg.execute(_SANCTION, packed(amounts), packed(map(str, amounts.values())), since)


async def renew_version(tx: Transaction, *, programme_id: str) -> None:
    """Tell every hold that what it remembers of the programme's lines is old; its locked node carries the version."""
    await tx.pg.execute(
        "UPDATE limit_node SET version = version + 1 WHERE node_id = $1", programme_node(programme_id=programme_id)
    )


async def move(tx: Transaction, changes: Mapping[str, tuple[int, int]]) -> None:
    """Change what locked nodes hold and use; only drawdowns do this."""
    moved = {node_id: change for node_id, change in changes.items() if any(change)}
    if moved:
        await tx.pg.execute(
            _MOVE, list(moved), [held for held, _ in moved.values()], [utilised for _, utilised in moved.values()]
        )


async def note_overuse(tx: Transaction, *, node_ids: Collection[str], cause: str) -> None:
    """Record why a locked node is used above its limit, as long as it is (I1)."""
    names = sorted(set(node_ids))
    await tx.pg.execute(_BACK_IN_LIMIT, names)
    overused = [row["node_id"] for row in await tx.pg.fetch(_OVERUSED, names)]
    if overused:
        await tx.pg.execute(_NOTE_OVERUSE, overused, [new_id() for _ in overused], cause)
