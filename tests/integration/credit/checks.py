"""What `tributary verify` asks of credit alone: the limit tree, and every node the sum of its drawdowns."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.integration.credit.world import World
from tributary.verify import i01_limit_tree, i02_held_and_utilised
from tributary.verify.snapshots import World as Verified


async def sound(world: World) -> None:
    """Ask of credit what `tributary verify` asks, and that no document is used by what has ended."""
    async with world.database.snapshot() as tx:
        seen = Verified(
            settings=world.bench.settings,
            databases={},
            state={"credit": tx},
            outboxes={},
            ends={},
            now=datetime.now(UTC),
        )
        tree = await i01_limit_tree.check(seen)
        assert (tree.violations, tree.examples) == (0, [])
        assert tree.checked > 0
        for node in await tx.pg.fetch(i02_held_and_utilised._NODES):
            assert node["held"] == node["held_by_drawdowns"], dict(node)
            assert node["utilised"] == node["used_by_drawdowns"], dict(node)
            assert node["held"] >= 0 <= node["utilised"]
        orphans = """SELECT count(*) FROM document_use u LEFT JOIN drawdown d USING (drawdown_id)
            WHERE d.drawdown_id IS NULL OR d.state IN ('released', 'repaid')"""
        assert await tx.pg.fetchval(orphans) == 0
