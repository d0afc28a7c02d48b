"""The consequences of propagation that DOMAIN §3 asks to prove."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.propagation import LineInput, propagate

AMOUNT = st.integers(0, 10**13)


@st.composite
def books(draw: st.DrawFn) -> list[LineInput]:
    count = draw(st.integers(0, 30))
    top = draw(st.sampled_from([5, 1000, 10**13]))
    amount = st.integers(0, top)
    return [LineInput(f"{n:04}", draw(amount), draw(amount), draw(amount), draw(amount)) for n in range(count)]


@given(limit=AMOUNT, lines=books())
def test_what_is_reserved_never_exceeds_the_pool_or_the_floors(limit: int, lines: list[LineInput]) -> None:
    result = propagate(limit=limit, lines=lines)
    assert result.reserved <= max(limit, sum(line.floor for line in lines))


@given(limit=AMOUNT, lines=books())
def test_no_floor_shrinks_and_no_cap_passes_its_ceiling(limit: int, lines: list[LineInput]) -> None:
    by_id = {line.line_id: line for line in lines}
    for share in propagate(limit=limit, lines=lines).shares:
        assert share.reserved >= by_id[share.line_id].floor
        assert share.cap <= by_id[share.line_id].ceiling


@given(limit=AMOUNT, more=st.integers(0, 10**6), lines=books())
def test_no_line_falls_when_the_pool_grows(limit: int, more: int, lines: list[LineInput]) -> None:
    before = propagate(limit=limit, lines=lines).shares
    after = propagate(limit=limit + more, lines=lines).shares
    assert all(b.reserved <= a.reserved for b, a in zip(before, after, strict=True))


@given(limit=AMOUNT, lines=books(), seed=st.integers())
def test_the_order_of_input_does_not_matter(limit: int, lines: list[LineInput], seed: int) -> None:
    shuffled = random.Random(seed).sample(lines, len(lines))  # noqa: S311 - shuffling, not secrecy
    assert propagate(limit=limit, lines=shuffled) == propagate(limit=limit, lines=lines)


@given(
    limit=AMOUNT, count=st.integers(1, 40), weight=st.integers(1, 10**12), ceiling=AMOUNT, used=st.integers(0, 10**6)
)
def test_equal_lines_differ_by_at_most_one_unit(limit: int, count: int, weight: int, ceiling: int, used: int) -> None:
    lines = [LineInput(f"{n:04}", weight, ceiling, used, 0) for n in range(count)]
    reserved = [share.reserved for share in propagate(limit=limit, lines=lines).shares]
    assert max(reserved) - min(reserved) <= 1


@given(limit=st.integers(0, 10**6), lines=books())
def test_what_is_not_reserved_no_line_could_take(limit: int, lines: list[LineInput]) -> None:
    result = propagate(limit=limit, lines=lines)
    if result.reserved < limit:
        tops = {line.line_id: max(line.floor, line.ceiling if line.weight else 0) for line in lines}
        assert all(share.reserved == tops[share.line_id] for share in result.shares)
