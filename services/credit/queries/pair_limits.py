"""The pairs of seller and obligor that have a limit."""

from __future__ import annotations

from typing import Any

from services.credit.domain.paths import Level
from services.credit.queries.reading import node_of, node_out
from shared.storage.database import Database
from shared.storage.paging import page

# The level as a literal, so that the partial index serves.
_PAIRS = """
SELECT n.*, split_part(n.node_id, '/', 2) AS seller_id, split_part(n.node_id, '/', 3) AS obligor_id
FROM limit_node n WHERE n.level = 9 AND n.node_id > $1
    AND ($2::text IS NULL OR $2 IN (split_part(n.node_id, '/', 2), split_part(n.node_id, '/', 3)))
ORDER BY n.node_id LIMIT $3
"""


async def pair_limits(database: Database, *, enterprise_id: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of pairs with what their limit leaves."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_PAIRS, after, enterprise_id, limit + 1)
    found = [
        {
            "seller_id": row["seller_id"],
            "obligor_id": row["obligor_id"],
            **node_out(node_of(row), Level.PAIR, row["currency"]),
        }
        for row in rows
    ]
    return page(found, limit=limit, key=lambda each: str(each["node_id"]))
