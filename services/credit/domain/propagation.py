"""Propagation: how a programme's limit becomes lines (DOMAIN §3). One pure function, also for what-if."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from shared.values.rates import MILLION, share_of


@dataclass(frozen=True, slots=True)
class LineInput:
    """What propagation needs to know of one line; amounts in minor units.

    `used` = held + utilised; `committed` is what a signed agreement promises; `ceiling` is the least of rating cap,
    concentration cap, product quota and SME-wide headroom, and 0 when suspended or unrated.
    """

    line_id: str
    weight: int
    ceiling: int
    used: int
    committed: int

    @property
    def floor(self) -> int:
        """Return what the line cannot be pushed below: use or commitment."""
        return max(self.used, self.committed)


@dataclass(frozen=True, slots=True)
class Share:
    """What propagation gives a line: `reserved` (r) counts against the pool, `cap` is what it may use."""

    line_id: str
    reserved: int
    cap: int


@dataclass(frozen=True, slots=True)
class Propagation:
    """The shares of all lines, by id, and the programme's shortfall when floors exceed the pool."""

    pool: int
    shares: tuple[Share, ...]
    shortfall: int

    @property
    def reserved(self) -> int:
        """Return Σ r."""
        return sum(share.reserved for share in self.shares)


def line_weight(*, volume_minor: int, multiplier: int, tier_decay: int, tier: int) -> int:
    """Return w = v × rating multiplier × tier decay^(tier − 1), each step rounded down; factors in millionths."""
    weight = share_of(amount=volume_minor, millionths=multiplier)
    for _ in range(tier - 1):
        weight = share_of(amount=weight, millionths=tier_decay)
    return weight


def line_ceiling(
    *, rating_cap: int, concentration_cap: int, quota: int, sme_headroom: int, used: int, open_for_draws: bool
) -> int:
    """Return min(rating cap, concentration cap, product quota, SME-wide headroom + own use); 0 when not open."""
    if not open_for_draws:
        return 0
    return max(0, min(rating_cap, concentration_cap, quota, sme_headroom + used))


def propagate(*, limit: int, lines: Sequence[LineInput], commitment_ratio: int = MILLION) -> Propagation:
    """Return every line's share of the pool: r = max(floor, min(ceiling, ⌊λw⌋)) with the greatest λ that fits.

    What is left goes one unit each to the lines whose next unit would come next, by id. When Σ floors exceeds the
    pool, r = floor and the excess is the programme's shortfall: floors never shrink.
    """
    lines = sorted(lines, key=lambda line: line.line_id)
    pool = share_of(amount=limit, millionths=commitment_ratio)
    floors = sum(line.floor for line in lines)
    if floors >= pool:
        reserved = [line.floor for line in lines]
        return _result(pool, lines, reserved, shortfall=floors - pool)
    return _result(pool, lines, _fill(pool, lines), shortfall=0)


def _result(pool: int, lines: Sequence[LineInput], reserved: Sequence[int], *, shortfall: int) -> Propagation:
    shares = (Share(line.line_id, r, min(r, line.ceiling)) for line, r in zip(lines, reserved, strict=True))
    return Propagation(pool=pool, shares=tuple(shares), shortfall=shortfall)


def _fill(pool: int, lines: Sequence[LineInput]) -> list[int]:
    full = [max(line.floor, line.ceiling if line.weight else 0) for line in lines]
    if sum(full) <= pool:
        return full
    level = Fraction(_level_below(pool, lines))
    reserved = [
        max(line.floor, min(line.ceiling, line.weight * level.numerator // level.denominator)) for line in lines
    ]
    return _hand_out(pool - sum(reserved), lines, reserved, full)


def _hand_out(left: int, lines: Sequence[LineInput], reserved: list[int], full: Sequence[int]) -> list[int]:
    """Give single units in the order in which a rising λ would give them; at one λ by id."""
    queue = [
        (Fraction(r + 1, line.weight), index)
        for index, (line, r, top) in enumerate(zip(lines, reserved, full, strict=True))
        if r < top
    ]
    heapq.heapify(queue)
    while left > 0 and queue:
        _, index = heapq.heappop(queue)
        reserved[index] += 1
        left -= 1
        if reserved[index] < full[index]:
            heapq.heappush(queue, (Fraction(reserved[index] + 1, lines[index].weight), index))
    return reserved


def _level_below(pool: int, lines: Sequence[LineInput]) -> float:
    """Return a λ just below the one at which the undivided shares fill the pool (water-filling over breakpoints)."""
    weight = np.array([line.weight for line in lines], dtype=np.float64)
    floor = np.array([line.floor for line in lines], dtype=np.float64)
    ceiling = np.array([max(line.floor, line.ceiling) for line in lines], dtype=np.float64)
    growing = (weight > 0) & (ceiling > floor)
    weight, low, high = weight[growing], floor[growing], ceiling[growing]
    points = np.concatenate([low / weight, high / weight])
    slopes = np.concatenate([weight, -weight])
    order = np.argsort(points, kind="stable")
    points, slope = points[order], np.cumsum(slopes[order])
    filled = float(floor.sum()) + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(points))])
    index = max(0, int(np.searchsorted(filled, float(pool), side="right")) - 1)
    level = points[index] + (pool - filled[index]) / slope[index] if slope[index] > 0 else points[index]
    return max(0.0, float(level) * (1 - 1e-11))
