"""The vectorised propagation equals its small readable form to the unit, whatever the numbers and links."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain import wide_integers as wide
from services.credit.domain.propagation import LineInput, line_weight, propagate, weigh
from services.credit.domain.trade import Trade, reach
from services.credit.domain.water_level import pour
from tests.properties import sharing_oracle as oracle

TOPS = (1, 3, 50, 10**6, 10**13, 2**53 + 3, wide.BOUND - 1)


@st.composite
def books(draw: st.DrawFn) -> list[LineInput]:
    """Return lines of one size or of many: weights of nought, equal ones, neighbouring ones, floors above ceilings."""
    count = draw(st.integers(0, 12))
    tops = [draw(st.sampled_from(TOPS)) for _ in range(3)]
    weight = st.one_of(
        st.integers(0, tops[0]),
        st.sampled_from([0, tops[0]]),
        st.integers(max(0, tops[0] - 3), tops[0]),
        st.integers(0, draw(st.sampled_from(TOPS))),
    )
    ceiling, floor = st.integers(0, tops[1]), st.one_of(st.just(0), st.integers(0, tops[2]))
    return [LineInput(f"{n:04}", draw(weight), draw(ceiling), draw(floor), draw(floor)) for n in range(count)]


@st.composite
def pooled(draw: st.DrawFn) -> tuple[int, list[LineInput]]:
    """Return lines and a pool, mostly one that their floors leave something of and that does not fill them all."""
    lines = draw(books())
    floors = sum(line.floor for line in lines)
    full = sum(max(line.floor, line.ceiling if line.weight else 0) for line in lines)
    return draw(st.integers(floors, full) | st.integers(0, 2 * full + 1)), lines


@given(case=pooled())
def test_every_reserved_unit_is_that_of_the_readable_form(case: tuple[int, list[LineInput]]) -> None:
    pool, lines = case
    found = propagate(limit=pool, lines=lines)
    expected = oracle.reserve(pool=pool, lines=lines)
    assert [share.reserved for share in found.shares] == expected
    assert [share.cap for share in found.shares] == [
        min(r, line.ceiling) for r, line in zip(expected, lines, strict=True)
    ]
    assert found.shortfall == max(0, sum(line.floor for line in lines) - pool)


@given(case=pooled(), more=st.integers(0, 10**6))
def test_no_line_falls_when_a_pool_of_any_size_grows(case: tuple[int, list[LineInput]], more: int) -> None:
    pool, lines = case
    before, after = propagate(limit=pool, lines=lines).shares, propagate(limit=pool + more, lines=lines).shares
    assert all(b.reserved <= a.reserved for b, a in zip(before, after, strict=True))


@given(seed=st.integers(0, 2**32), top=st.sampled_from(TOPS), kinds=st.integers(1, 500), part=st.integers(0, 10**6))
def test_among_many_lines_no_unit_comes_before_an_earlier_one(seed: int, top: int, kinds: int, part: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, top, kinds, endpoint=True)[rng.integers(0, kinds, 500)]
    floor = np.where(rng.random(500) < 0.5, 0, rng.integers(0, 50, 500))
    ceiling = rng.integers(0, 10_000, 500)
    full = np.where(weight > 0, np.maximum(floor, ceiling), floor)
    pool = int(floor.sum()) + int((full - floor).sum()) * part // 10**6
    reserved = pour(pool=pool, weight=weight, floor=floor, ceiling=ceiling)
    assert int(reserved.sum()) == pool
    rows = list(zip(*(each.tolist() for each in (reserved, weight, floor, full)), strict=True))
    given_units = [(Fraction(r, w), n) for n, (r, w, low, _) in enumerate(rows) if r > low]
    next_units = [(Fraction(r + 1, w), n) for n, (r, w, _, top) in enumerate(rows) if r < top]
    assert not given_units or not next_units or max(given_units) < min(next_units)


@given(
    volume=st.integers(0, 2**60),
    multiplier=st.integers(0, 3_000_000),
    decay=st.integers(0, 1_000_000),
    tier=st.integers(1, 9),
)
def test_many_weights_are_each_that_of_one(volume: int, multiplier: int, decay: int, tier: int) -> None:
    each = weigh(
        volume=np.array([volume, 7]),
        multiplier=np.array([multiplier, 1_000_000]),
        tier_decay=decay,
        tier=np.array([tier, 1]),
    )
    assert each.tolist() == [line_weight(volume_minor=volume, multiplier=multiplier, tier_decay=decay, tier=tier), 7]


@st.composite
def graphs(draw: st.DrawFn) -> list[Trade]:
    """Return links among few firms, so that there are cycles, links back, links to oneself and the same link twice."""
    firm = st.sampled_from(["anchor", *"ABCDEFGH"])
    traded = st.integers(0, draw(st.sampled_from([0, 1, 10, 10**6, 2**52, 2**58])))
    return draw(st.lists(st.builds(Trade, firm, firm, traded), max_size=30))


@given(trades=graphs(), max_tier=st.integers(0, 6), seed=st.integers())
def test_trade_reaches_as_far_and_as_much_as_ring_by_ring(trades: list[Trade], max_tier: int, seed: int) -> None:
    shuffled = random.Random(seed).sample(trades, len(trades))  # noqa: S311 - shuffling, not secrecy
    expected = oracle.reach(anchor_id="anchor", trades=trades, max_tier=max_tier)
    assert reach(anchor_id="anchor", trades=shuffled, max_tier=max_tier) == expected


@given(
    numbers=st.lists(st.tuples(*[st.integers(0, 2**61)] * 3), min_size=1, max_size=20),
    level=st.integers(0, 2**63),
)
def test_wide_products_and_sums_are_those_of_pythons_integers(numbers: list[tuple[int, int, int]], level: int) -> None:
    amounts, reached, of = (
        np.array(each) for each in zip(*((min(a, c), min(b, c), c) for a, b, c in numbers), strict=True)
    )
    assert wide.pass_on(amounts, reached=reached, of=of).tolist() == [
        int(a) * int(b) // int(c) if c else 0 for a, b, c in zip(amounts, reached, of, strict=True)
    ]
    assert wide.scale(of, level=level, shift=62).tolist() == [level * int(c) >> 62 for c in of]
    assert wide.total(of) == sum(map(int, of))
    ones = np.maximum(of, 1)
    less, same = wide.compare(reached, ones, with_nth=0)
    first = Fraction(int(reached[0]), int(ones[0]))
    fractions = [Fraction(int(b), int(c)) for b, c in zip(reached, ones, strict=True)]
    assert (less.tolist(), same.tolist()) == (
        [each < first for each in fractions],
        [each == first for each in fractions],
    )


@pytest.mark.parametrize("wrong", [-1, wide.BOUND, 2**70])
def test_what_has_no_room_is_refused_rather_than_wrong(wrong: int) -> None:
    with pytest.raises(wide.TooWide):
        propagate(limit=10, lines=[LineInput("a", wrong, 5, 0, 0)])
    with pytest.raises(wide.TooWide):
        reach(anchor_id="anchor", trades=[Trade("A", "anchor", wrong)], max_tier=1)


def test_sums_that_have_no_room_are_refused() -> None:
    firms = [Trade(f"{n}", "A", 2**61) for n in range(5)]
    with pytest.raises(wide.TooWide):
        reach(anchor_id="anchor", trades=[Trade("A", "anchor", 1), *firms], max_tier=2)
