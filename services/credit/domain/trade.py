"""How trade flows from the anchor through the tiers: v(t) of DOMAIN §3, propagation 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trade:
    """What a firm traded in 12 months with a neighbour one step nearer to the anchor, in minor units.

    Upstream the firm is the supplier and the neighbour its buyer; downstream it is the other way round.
    """

    firm_id: str
    neighbour_id: str
    traded_minor: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a firm stands from the anchor, and how much of the anchor's trade reaches it."""

    tier: int
    volume_minor: int


def tiers(*, anchor_id: str, trades: Iterable[Trade]) -> dict[str, int]:
    """Return each firm's shortest distance from the anchor; links may form cycles."""
    towards: dict[str, set[str]] = defaultdict(set)
    for trade in trades:
        towards[trade.neighbour_id].add(trade.firm_id)
    found = {anchor_id: 0}
    ring = {anchor_id}
    while ring:
        ring = {firm for neighbour in ring for firm in towards[neighbour]} - found.keys()
        distance = max(found.values()) + 1
        found.update(dict.fromkeys(ring, distance))
    return found


def reach(*, anchor_id: str, trades: Iterable[Trade], max_tier: int) -> dict[str, Reach]:
    """Return tier and volume of every firm within max_tier; only links from tier k to tier k+1 count.

    A firm passes on no more than reached it: v(t) = Σ traded(t, s) × min(1, v(s) / Σ traded(·, s)), rounded down,
    where Σ traded(·, s) runs over all of the neighbour's partners, admitted or not.
    """
    trades = sorted(trades, key=lambda trade: (trade.firm_id, trade.neighbour_id))
    distance = tiers(anchor_id=anchor_id, trades=trades)
    total: dict[str, int] = defaultdict(int)
    for trade in trades:
        total[trade.neighbour_id] += trade.traded_minor
    volume: dict[str, int] = defaultdict(int)
    outward = sorted(trades, key=lambda trade: distance.get(trade.firm_id, 0))
    for trade in outward:
        tier = distance.get(trade.firm_id, 0)
        if tier < 1 or tier > max_tier or distance.get(trade.neighbour_id, tier) != tier - 1:
            continue
        volume[trade.firm_id] += _passed_on(trade, volume, total, tier)
    return {firm: Reach(distance[firm], volume[firm]) for firm in volume}


def _passed_on(trade: Trade, volume: Mapping[str, int], total: Mapping[str, int], tier: int) -> int:
    if tier == 1:
        return trade.traded_minor
    all_traded = total[trade.neighbour_id]
    reached = min(volume[trade.neighbour_id], all_traded)
    return trade.traded_minor * reached // all_traded if all_traded else 0
