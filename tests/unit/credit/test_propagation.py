"""Propagation by the two tables of DOMAIN §3."""

from __future__ import annotations

import pytest

from services.credit.domain.propagation import LineInput, line_weight, propagate
from services.credit.domain.trade import Reach, Trade, reach

UNBOUNDED = 10**12
TRADES = [
    Trade("A", "anchor", 600),
    Trade("B", "anchor", 300),
    Trade("C", "A", 400),
    Trade("stranger", "A", 400),
]


def _lines(*, a_used: int = 0, d_used: int = 0, e_weight: int = 0, a_ceiling: int = 450) -> list[LineInput]:
    volumes = reach(anchor_id="anchor", trades=TRADES, max_tier=2)
    weights = {
        firm: line_weight(volume_minor=at.volume_minor, multiplier=1_000_000, tier_decay=500_000, tier=at.tier)
        for firm, at in volumes.items()
    }
    lines = [
        LineInput("A", weights["A"], a_ceiling, a_used, 0),
        LineInput("B", weights["B"], UNBOUNDED, 0, 0),
        LineInput("C", weights["C"], UNBOUNDED, 0, 0),
        LineInput("D", 150, UNBOUNDED, d_used, 0),
    ]
    return [*lines, LineInput("E", e_weight, UNBOUNDED, 0, 0)] if e_weight else lines


@pytest.mark.parametrize(
    ("limit", "lines", "caps"),
    [
        (1000, _lines(), [450, 276, 137, 137]),
        (1001, _lines(), [450, 276, 138, 137]),
        (1000, _lines(a_used=450, d_used=200), [450, 234, 116, 200]),
        (1000, _lines(a_used=450, d_used=200, e_weight=200), [450, 162, 81, 200, 107]),
        (600, _lines(a_used=450, d_used=200), [450, 0, 0, 200]),
        (1000, _lines(a_used=450, d_used=200, a_ceiling=300), [300, 234, 116, 200]),
    ],
)
def test_the_caps_are_those_of_the_domains_table(limit: int, lines: list[LineInput], caps: list[int]) -> None:
    assert [share.cap for share in propagate(limit=limit, lines=lines).shares] == caps


def test_floors_above_the_pool_stay_and_the_shortfall_is_recorded() -> None:
    result = propagate(limit=600, lines=_lines(a_used=450, d_used=200))
    assert (result.shortfall, result.reserved) == (50, 650)


def test_r12_a_ceiling_below_use_leaves_the_cap_short_and_the_use_reserved() -> None:
    first = propagate(limit=1000, lines=_lines(a_used=450, d_used=200, a_ceiling=300)).shares[0]
    assert (first.cap, first.reserved) == (300, 450)


def test_a_firm_passes_on_no_more_than_reached_it() -> None:
    volumes = reach(anchor_id="anchor", trades=TRADES, max_tier=2)
    assert volumes["A"] == Reach(tier=1, volume_minor=600)
    assert volumes["C"] == Reach(tier=2, volume_minor=300)


def test_cycles_and_links_within_a_tier_do_not_count() -> None:
    looped = [*TRADES, Trade("anchor", "C", 50), Trade("B", "A", 70), Trade("A", "C", 10)]
    assert reach(anchor_id="anchor", trades=looped, max_tier=2)["C"].tier == 2
    assert reach(anchor_id="anchor", trades=looped, max_tier=2)["B"].volume_minor == 300


def test_beyond_the_last_tier_nothing_propagates() -> None:
    assert "C" not in reach(anchor_id="anchor", trades=TRADES, max_tier=1)
