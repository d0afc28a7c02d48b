"""Who trades with whom, as far from the anchors as it matters to their programmes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from shared.storage.database import Transaction

# Step by step away from the anchor: all that a firm which was reached trades with, on its far side. Of many firms the
# planner sees how many they are, and reads the table whole where that is cheaper.
_SUPPLIERS_OF = """
SELECT link_id, supplier_id, buyer_id, traded_minor FROM link WHERE currency = $1 AND buyer_id = ANY($2)
"""
_BUYERS_OF = """
SELECT link_id, supplier_id, buyer_id, traded_minor FROM link WHERE currency = $1 AND supplier_id = ANY($2)
"""
_WAYS = ((_SUPPLIERS_OF, "supplier_id"), (_BUYERS_OF, "buyer_id"))


async def read_trade(
    tx: Transaction, programmes: Collection[Mapping[str, Any]]
) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return, by currency, every link that decides how far the anchors' trade reaches in these programmes.

    Within a programme's last tier but one all partners of a firm count, admitted or not; beyond it nobody does.
    """
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for currency in sorted({row["currency"] for row in programmes}):
        mine = [row for row in programmes if row["currency"] == currency]
        tiers = max(row["terms"]["max_tier"] for row in mine)
        found[currency] = await _read(tx, currency, anchors={row["anchor_id"] for row in mine}, tiers=tiers)
    return found


async def _read(tx: Transaction, currency: str, *, anchors: Collection[str], tiers: int) -> list[Mapping[str, Any]]:
    links: dict[str, Mapping[str, Any]] = {}
    for statement, partner in _WAYS:
        reached, edge = set(anchors), sorted(anchors)
        for _ in range(tiers):
            rows = await tx.pg.fetch(statement, currency, edge)
            links |= {row["link_id"]: row for row in rows}
            edge = sorted({row[partner] for row in rows} - reached)
            reached.update(edge)
            if not edge:
                break
    return list(links.values())
