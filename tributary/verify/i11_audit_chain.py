"""I11: the audit chain is whole up to its published head, and what is not sealed yet is young."""

from __future__ import annotations

from shared.storage.audit import broken_links
from tributary.verify.append_only import refuses_change
from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "audit chain whole"

_UNSEALED = "SELECT a.position, a.at FROM audit_unsealed u JOIN audit a USING (position) ORDER BY position"
_FORGOTTEN = """
SELECT a.position FROM audit a WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.position = a.position)
    AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.position = a.position) ORDER BY a.position
"""


async def check(world: World) -> Result:
    """Recompute every service's chain."""
    result = Result()
    for service, tx in world.state.items():
        if await tx.pg.fetchval("SELECT to_regclass('audit')") is None:
            continue
        result.checked += await tx.pg.fetchval("SELECT count(*) FROM audit_seal")
        for number in await broken_links(tx):
            result.violate(f"{service}: the audit chain breaks at seal {number}")
        async for row in tx.pg.cursor(_FORGOTTEN):
            result.violate(f"{service}: audit row {row['position']} is neither sealed nor waiting to be")
        if not await refuses_change(tx, table="audit"):
            result.violate(f"{service}: nothing keeps the audit log append-only")
        async for row in tx.pg.cursor(_UNSEALED):
            result.fly(f"{service}: audit row {row['position']} was not sealed", age_s=world.age_s(row["at"]))
    return result
