"""Each yuan of cover secures one loan, whatever is pledged, in whatever order it is told."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.covers import Cover, CoverState, Need, allocate, lending_values
from services.credit.operations.cover_policies import haircuts

DAY = date(2026, 3, 2)
HAIRCUTS = haircuts(on=DAY)
_AMOUNTS = st.integers(min_value=0, max_value=10**12)
_LINES = st.one_of(st.none(), st.frozensets(st.sampled_from("abc"), min_size=1))


@st.composite
def _covers(draw: st.DrawFn) -> list[Cover]:
    count = draw(st.integers(min_value=0, max_value=5))
    return [
        Cover(
            cover_id=f"c{nth}",
            asset=draw(st.sampled_from(["plant", "press", "bond"])),
            kind=draw(st.sampled_from(["building", "equipment", "instrument", "guarantee"])),
            state=draw(st.sampled_from([CoverState.REGISTERED, CoverState.REGISTERED, CoverState.VALUED])),
            value_minor=draw(_AMOUNTS),
            valued_on=DAY - timedelta(days=draw(st.integers(min_value=0, max_value=1_500))),
            prior_minor=draw(_AMOUNTS),
            rank=draw(st.integers(min_value=1, max_value=3)),
            secured_minor=draw(_AMOUNTS),
            valid_until=DAY,
            line_ids=draw(_LINES),
        )
        for nth in range(count)
    ]


_NEEDS = st.lists(
    st.builds(Need, st.uuids().map(str), st.sampled_from("abcd"), _AMOUNTS),
    max_size=6,
    unique_by=lambda n: n.drawdown_id,
)


@given(_covers())
def test_no_asset_carries_more_than_its_value_after_haircut_and_prior_charges(covers: list[Cover]) -> None:
    values = lending_values(covers, HAIRCUTS, on=DAY)
    assert values == lending_values(list(reversed(covers)), HAIRCUTS, on=DAY)
    for cover in covers:
        assert 0 <= values[cover.cover_id] <= cover.secured_minor
        if cover.state is not CoverState.REGISTERED:
            assert values[cover.cover_id] == 0
            continue
        same = [each for each in covers if each.asset == cover.asset and each.state is CoverState.REGISTERED]
        worth = HAIRCUTS.carried(cover.kind, value_minor=cover.value_minor, valued_on=cover.valued_on or DAY, on=DAY)
        assert sum(values[each.cover_id] for each in same) <= max(0, worth - cover.prior_minor)


@given(_covers(), _NEEDS)
def test_each_yuan_secures_one_loan_on_a_line_that_it_may_and_none_lies_idle_beside_a_need(
    covers: list[Cover], needs: list[Need]
) -> None:
    values = lending_values(covers, HAIRCUTS, on=DAY)
    found = allocate(covers, values, needs)
    assert found == allocate(list(reversed(covers)), values, list(reversed(needs)))
    for cover in covers:
        given_away = sum(parts.get(cover.cover_id, 0) for parts in found.secured.values())
        assert given_away + found.left[cover.cover_id] == values[cover.cover_id]
    by_id = {cover.cover_id: cover for cover in covers}
    for need in needs:
        assert found.of_loan(need.drawdown_id) <= need.minor
        assert all(by_id[cover_id].secures(need.line_id) for cover_id in found.secured[need.drawdown_id])
        if found.of_loan(need.drawdown_id) < need.minor:
            assert found.support(covers, line_id=need.line_id) == 0
