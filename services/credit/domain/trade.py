"""How trade flows from the anchor through the tiers: v(t) of DOMAIN §3, propagation 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.credit.domain.wide_integers import Ints, check, column, pass_on, totals

Numbers = NDArray[np.int32]


class Trade(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class Trades:
    """Many trades, link by link: firms by number, amounts in minor units."""

    firm: Numbers
    neighbour: Numbers
    traded: Ints


def reach(*, anchor_id: str, trades: Iterable[tuple[str, str, int]], max_tier: int) -> dict[str, Reach]:
    """Return tier and volume of every firm within max_tier; `reach_each` with names."""
    given = list(trades)
    number = {anchor_id: 0}
    for firm_id, neighbour_id, _ in given:
        number.setdefault(firm_id, len(number))
        number.setdefault(neighbour_id, len(number))
    links = Trades(
        np.array([number[firm_id] for firm_id, _, _ in given], dtype=np.int32),
        np.array([number[neighbour_id] for _, neighbour_id, _ in given], dtype=np.int32),
        column((traded for _, _, traded in given), name="traded"),
    )
    tier, volume = reach_each(anchor=0, firms=len(number), trades=links, max_tier=max_tier)
    each = zip(number, tier.tolist(), volume.tolist(), strict=True)
    return {firm_id: Reach(tier, volume) for firm_id, tier, volume in each if tier > 0}


def reach_each(*, anchor: int, firms: int, trades: Trades, max_tier: int) -> tuple[Numbers, Ints]:
    """Return each firm's tier, its shortest distance from the anchor, and its volume; 0 and 0 where none reaches.

    Only links from tier k to tier k+1 count, whatever cycles there are. A firm passes on no more than reached it:
    v(t) = Σ traded(t, s) × min(1, v(s) / Σ traded(·, s)), rounded down, where Σ traded(·, s) runs over all of the
    neighbour's partners, admitted or not.
    """
    traded = check(trades.traded, name="traded")
    tier, volume = np.full(firms, -1, dtype=np.int32), np.zeros(firms, dtype=np.int64)
    tier[anchor] = 0
    for distance in range(1, max_tier + 1):
        near = np.flatnonzero(tier[trades.neighbour] == distance - 1)
        firm = trades.firm[near]
        tier[firm[tier[firm] < 0]] = distance
        is_outward = tier[firm] == distance
        if not is_outward.any():
            break
        passed = traded[near]
        if distance > 1:
            neighbour = trades.neighbour[near]
            all_traded = totals(passed, of=neighbour, count=firms)
            share = np.minimum(volume, all_traded)
            neighbour = neighbour[is_outward]
            passed = pass_on(passed[is_outward], reached=share[neighbour], of=all_traded[neighbour])
        else:
            passed = passed[is_outward]
        volume += totals(passed, of=firm[is_outward], count=firms)
    tier[tier < 0] = 0
    return tier, volume
