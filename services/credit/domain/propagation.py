"""Propagation: how a programme's limit becomes lines (DOMAIN §3). One pure function, also for what-if."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.credit.domain.trade import Numbers
from services.credit.domain.water_level import pour
from services.credit.domain.wide_integers import Ints, column, share_down, total
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


@dataclass(frozen=True, slots=True)
class SharedPool:
    """A pool shared by lines that are known by their place only."""

    pool: int
    reserved: Ints
    cap: Ints
    shortfall: int


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
    shared = share_pool(
        limit=limit,
        commitment_ratio=commitment_ratio,
        weight=column((line.weight for line in lines), name="weight"),
        floor=column((line.floor for line in lines), name="floor"),
        ceiling=column((line.ceiling for line in lines), name="ceiling"),
    )
    each = zip(lines, shared.reserved.tolist(), shared.cap.tolist(), strict=True)
    shares = tuple(Share(line.line_id, reserved, cap) for line, reserved, cap in each)
    return Propagation(pool=shared.pool, shares=shares, shortfall=shared.shortfall)


def share_pool(*, limit: int, commitment_ratio: int, weight: Ints, floor: Ints, ceiling: Ints) -> SharedPool:
    """Return what `propagate` does of lines without names, in order of id: a million of them in a blink."""
    pool = share_of(amount=limit, millionths=commitment_ratio)
    reserved = pour(pool=pool, weight=weight, floor=floor, ceiling=ceiling)
    return SharedPool(
        pool=pool, reserved=reserved, cap=np.minimum(reserved, ceiling), shortfall=max(0, total(floor) - pool)
    )


def weigh(*, volume: Ints, multiplier: Ints, tier_decay: int, tier: Numbers) -> Ints:
    """Return `line_weight` of each line."""
    weight = share_down(volume, millionths=multiplier)
    for step in range(1, int(tier.max(initial=0))):
        further = np.flatnonzero(tier > step)
        weight[further] = share_down(weight[further], millionths=tier_decay)
    return weight
