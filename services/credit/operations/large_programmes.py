"""Programmes of more lines than are propagated under a lock: what is done of them at once (decision 0026).

What must stop draws needs no line written: a line's terms are read with its firm's, its programme's and its papers'
state, and are read anew once the programme's version is another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from services.credit.domain.paths import Level, line_node, programme_node
from services.credit.operations.bring_in import bring_in
from services.credit.operations.nodes import create_nodes, note_overuse, renew_version, sanction
from services.credit.operations.product_quotas import bounded_products
from services.credit.operations.programme_facts import Facts, firm_node, sanctions
from shared.storage.database import Transaction
from shared.values.policies import policy_on

# What more lines than these take is more than a moment: it goes to a process of its own, the loop answers others.
INLINE_LINES = 500
# As soon as one line is beyond the most: what is counted is bounded. One whose generation is on its way stays large.
_LARGE = """
SELECT g.programme_id FROM unnest($1::text[], $2::int[]) AS g(programme_id, most)
WHERE EXISTS (SELECT FROM line l WHERE l.programme_id = g.programme_id OFFSET g.most)
    OR EXISTS (SELECT FROM generation v WHERE v.programme_id = g.programme_id)
"""
_LINES = """
SELECT line_id, enterprise_id, direction FROM line WHERE programme_id = $1 AND enterprise_id = ANY($2)
"""
# A product has a quota of its own since today: all lines of its direction lack the node if the first one does.
_QUOTA_NODES = """
INSERT INTO limit_node (node_id, level, currency)
SELECT 'product/' || l.line_id || '/' || $2, $4, $5 FROM line l WHERE l.programme_id = $1 AND l.direction = $3
    AND NOT EXISTS (SELECT FROM limit_node n WHERE n.node_id = (
        SELECT 'product/' || f.line_id || '/' || $2 FROM line f WHERE f.programme_id = $1 AND f.direction = $3
        ORDER BY f.enterprise_id LIMIT 1))
ORDER BY l.line_id ON CONFLICT DO NOTHING
"""
_ALL_LINES = "SELECT line_id, enterprise_id, direction FROM line WHERE programme_id = $1"


class PropagationFailed(RuntimeError):
    """What another process was to propagate failed, and is tried again: a programme's id, the words of the error."""

    code: ClassVar[str] = "propagation_failed"


async def large_among(tx: Transaction, programmes: Sequence[Mapping[str, Any]], *, most: int | None = None) -> set[str]:
    """Return which programmes have more lines than the policy propagates under a lock, or than `most`.

    Their rows come with the business date, `today`.
    """
    if not programmes:
        return set()
    agreed = [_under_lock(row) for row in programmes]
    bounds = agreed if most is None else [min(most, each) for each in agreed]
    rows = await tx.pg.fetch(_LARGE, [row["programme_id"] for row in programmes], bounds)
    return {row["programme_id"] for row in rows}


def _under_lock(programme: Mapping[str, Any]) -> int:
    policy = policy_on(programme["terms"]["propagation_policy"], on=programme["today"])
    lines: int = policy.values["lines_under_lock"]
    return lines


async def create_line_nodes(tx: Transaction, head: Facts, *, admitted: Collection[str]) -> None:
    """Create the nodes of the lines of firms that were admitted; of all lines when the programme itself is new.

    Those of quotas that are new too. All are sanctioned nothing until a generation reaches them.
    """
    programme_id = head.programme["programme_id"]
    node_id = programme_node(programme_id=programme_id)
    is_new = not await tx.pg.fetchval(
        "SELECT EXISTS (SELECT FROM limit_node WHERE node_id = $1 AND version > 0)", node_id
    )
    if is_new:
        rows = await tx.pg.fetch(_ALL_LINES, programme_id)
    else:
        rows = await tx.pg.fetch(_LINES, programme_id, list(admitted)) if admitted else []
    nodes = [(Level.LINE, line_node(line_id=row["line_id"])) for row in rows]
    for each in bounded_products(head.terms, on=head.programme["today"]):
        for direction in each.directions:
            given = (programme_id, each.name, direction, int(Level.PRODUCT), head.terms.currency)
            await tx.pg.execute(_QUOTA_NODES, *given)
    await create_nodes(
        tx, nodes=[*(firm_node(row, head.terms.currency) for row in rows), *nodes], currency=head.terms.currency
    )


async def sanction_head(tx: Transaction, head: Facts, *, cause: str) -> None:
    """Sanction the locked nodes above a programme's lines, and have whoever remembers the lines read them anew."""
    amounts = sanctions(head, ())
    await sanction(tx, amounts)
    await note_overuse(tx, node_ids=amounts, cause=cause)
    await bring_in(tx, programme=head.programme)
    await renew_version(tx, programme_id=head.programme["programme_id"])
