"""A million lines and five million links in memory: what propagation computes of them, and what numpy could at best."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from services.credit.domain.propagation import SharedPool, share_pool, weigh
from services.credit.domain.trade import Trades, reach_each
from services.credit.domain.wide_integers import Ints
from shared.values.rates import MILLION

LINES, LINKS_A_LINE, TIERS = 1_000_000, 5, 6
_DECAY = 500_000
# How much of all firms stands in which tier.
_PARTS = (0.01, 0.09, 0.3, 0.3, 0.2, 0.1)
_LINKS_NEARER, _USED = 3, 0.3
_SEED = 20_261_125


@dataclass(frozen=True, slots=True)
class Chain:
    """Firms around an anchor, which is number 0, and what bounds their lines."""

    trades: Trades
    multiplier: Ints
    floor: Ints
    ceiling: Ints


def make_chain(lines: int = LINES) -> Chain:
    """Return firms in tiers, in no order; of a firm's links most lead one tier up, others anywhere: back, across."""
    random = np.random.default_rng(_SEED)
    ends = np.cumsum(np.array(_PARTS) * lines).astype(np.int64)
    ends[-1] = lines
    starts = np.concatenate([[0], ends[:-1]])
    firm = np.repeat(np.arange(1, lines + 1), LINKS_A_LINE)
    tier = np.searchsorted(ends, firm - 1, side="right")
    above = np.maximum(tier - 1, 0)
    nearer = 1 + starts[above] + (random.random(firm.size) * (ends - starts)[above]).astype(np.int64)
    anywhere = random.integers(1, lines, firm.size, endpoint=True)
    nth = np.tile(np.arange(LINKS_A_LINE), lines)
    neighbour = np.where((nth >= _LINKS_NEARER) & (anywhere > firm), anywhere, np.where(tier == 0, 0, nearer))
    number = np.concatenate([[0], 1 + random.permutation(lines)]).astype(np.int32)
    order = random.permutation(firm.size)
    traded = (random.pareto(1.5, firm.size) * 10_000_00).astype(np.int64) + 1
    return Chain(
        Trades(number[firm[order]], number[neighbour[order]], traded),
        random.integers(500_000, 1_500_000, lines),
        np.where(random.random(lines) < _USED, random.integers(0, 1_000_00, lines), 0),
        random.integers(0, 1_000_000_00, lines),
    )


def compute(chain: Chain) -> SharedPool:
    """Return every line's share: trade through the tiers, weights, the pool to the unit."""
    lines = chain.floor.size
    tier, volume = reach_each(anchor=0, firms=lines + 1, trades=chain.trades, max_tier=TIERS)
    weight = weigh(volume=volume[1:], multiplier=chain.multiplier, tier_decay=_DECAY, tier=tier[1:])
    limit = (int(chain.ceiling.sum()) + int(chain.floor.sum())) // 4
    return share_pool(limit=limit, commitment_ratio=MILLION, weight=weight, floor=chain.floor, ceiling=chain.ceiling)


def compute_least(chain: Chain) -> None:
    """Do what no vectorised form can do without, and nothing else.

    Of the links: look up both ends' tiers and the neighbour's volume, multiply, divide, add up by firm. Of the lines:
    sort the two corners of each and add them up.
    """
    lines, trades = chain.floor.size, chain.trades
    tier, volume = np.ones(lines + 1, dtype=np.int32), np.ones(lines + 1, dtype=np.int64)
    is_outward = tier[trades.firm] == tier[trades.neighbour]
    passed = trades.traded * volume[trades.neighbour] // trades.traded
    np.add.at(volume, trades.firm, passed * is_outward)
    corners = np.concatenate([chain.floor, chain.ceiling]) / np.concatenate([chain.multiplier, chain.multiplier])
    np.cumsum(corners[np.argsort(corners)])


def seconds_of_both(chain: Chain) -> tuple[float, float]:
    """Return how long one computation and the least of it take, one after the other."""
    began = time.perf_counter()
    compute(chain)
    middle = time.perf_counter()
    compute_least(chain)
    return middle - began, time.perf_counter() - middle
