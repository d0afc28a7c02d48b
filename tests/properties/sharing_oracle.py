"""Propagation in its small readable form, line by line and unit by unit: what the vectorised form must equal."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

from services.credit.domain.propagation import LineInput
from services.credit.domain.trade import Reach, Trade


def reserve(*, pool: int, lines: Sequence[LineInput]) -> list[int]:
    """Return r of each line: the floors, then unit k of a line at λ = k / w, at one λ by the order of the lines."""
    reserved = [line.floor for line in lines]
    full = [max(line.floor, line.ceiling if line.weight else 0) for line in lines]
    left = pool - sum(reserved)
    if sum(full) - sum(reserved) <= left:
        return full
    level = _level_below(pool, lines, full)
    if left > 0:
        reserved = [min(top, max(r, level * w.weight // 1)) for r, top, w in zip(reserved, full, lines, strict=True)]
        left = pool - sum(reserved)
    queue = [
        (Fraction(r + 1, line.weight), nth)
        for nth, (line, r, top) in enumerate(zip(lines, reserved, full, strict=True))
        if r < top
    ]
    heapq.heapify(queue)
    for _ in range(left):
        _, nth = heapq.heappop(queue)
        reserved[nth] += 1
        if reserved[nth] < full[nth]:
            heapq.heappush(queue, (Fraction(reserved[nth] + 1, lines[nth].weight), nth))
    return reserved


def _level_below(pool: int, lines: Sequence[LineInput], full: Sequence[int]) -> Fraction:
    """Return a λ at which undivided shares fit, so close that few units are left: halving, in exact fractions."""
    low, high = Fraction(0), Fraction(max(full) + 1)
    for _ in range(200):
        middle = (low + high) / 2
        undivided = (
            min(Fraction(top), max(Fraction(line.floor), middle * line.weight))
            for line, top in zip(lines, full, strict=True)
        )
        low, high = (middle, high) if sum(undivided) <= pool else (low, middle)
    return low


def reach(*, anchor_id: str, trades: Iterable[Trade], max_tier: int) -> dict[str, Reach]:
    """Return tier and volume of every firm within max_tier, ring by ring."""
    trades = sorted(trades, key=lambda trade: (trade.firm_id, trade.neighbour_id))
    distance = tiers(anchor_id=anchor_id, trades=trades)
    total: dict[str, int] = defaultdict(int)
    for trade in trades:
        total[trade.neighbour_id] += trade.traded_minor
    volume: dict[str, int] = defaultdict(int)
    for tier in range(1, max_tier + 1):
        for trade in trades:
            firm, neighbour = trade.firm_id, trade.neighbour_id
            if distance.get(firm) != tier or distance.get(neighbour) != tier - 1:
                continue
            reached = min(volume[neighbour], total[neighbour])
            passed = trade.traded_minor * reached // total[neighbour] if total[neighbour] else 0
            volume[firm] += trade.traded_minor if tier == 1 else passed
    return {firm: Reach(distance[firm], volume[firm]) for firm in volume if distance[firm] > 0}


def tiers(*, anchor_id: str, trades: Iterable[Trade]) -> dict[str, int]:
    """Return each firm's shortest distance from the anchor; links may form cycles."""
    towards: dict[str, set[str]] = defaultdict(set)
    for trade in trades:
        towards[trade.neighbour_id].add(trade.firm_id)
    found = {anchor_id: 0}
    ring, distance = {anchor_id}, 0
    while ring:
        distance += 1
        ring = {firm for neighbour in ring for firm in towards[neighbour]} - found.keys()
        found.update(dict.fromkeys(ring, distance))
    return found
