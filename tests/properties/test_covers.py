"""Each yuan of cover secures one loan, whatever is pledged, in whatever order it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

from hypothesis import assume, given
from hypothesis import strategies as st

from services.credit.domain.covers import Cover, CoverState, Need, allocate, lending_values
from services.credit.domain.limits import Node
from services.credit.domain.support import Support, secured_on
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
            kind=draw(st.sampled_from(["building", "equipment", "goods", "instrument", "guarantee"])),
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


_PLAIN = Cover("", "plant", "building", CoverState.REGISTERED, 0, DAY, 0, 1, 0, DAY)
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
            assert found.support(covers, line_ids=[need.line_id]) == 0


@st.composite
def _standing(draw: st.DrawFn) -> tuple[Support, dict[str, Node], dict[str, int]]:
    """Return a firm's cover, its nodes, and what each of its lines uses; d is a line that no cover names."""
    named = draw(st.lists(_LINES, min_size=1, max_size=4))
    covers = tuple(replace(_PLAIN, cover_id=f"c{nth}", line_ids=line_ids) for nth, line_ids in enumerate(named))
    values = {cover.cover_id: draw(st.integers(0, 9)) for cover in covers}
    support = Support("firm", "CNY", draw(st.sampled_from("abcd")), covers, values, 0)
    used = {line: draw(st.sampled_from([0, 0, 1, 2, 5])) for line in "abcd"}
    nodes = {support.node_id: Node(support.node_id, sum(values.values()), 0, sum(used.values()))}
    for node_id in support.node_ids - nodes.keys():
        line = node_id.rpartition("/")[2]
        nodes[node_id] = Node(node_id, secured_on(covers, values, line_id=line), used[line], 0)
    return support, nodes, used


@given(_standing())
def test_a_line_has_room_for_exactly_what_any_allocation_could_still_secure(
    standing: tuple[Support, dict[str, Node], dict[str, int]],
) -> None:
    support, nodes, used = standing
    room = support.room(nodes)
    # Cover that fell leaves loans short; the machine of the limits plays that.
    assume(_can_be_secured(support, used))
    assert _can_be_secured(support, {**used, support.line_id: used[support.line_id] + room})
    assert not _can_be_secured(support, {**used, support.line_id: used[support.line_id] + room + 1})


def _can_be_secured(support: Support, used: dict[str, int]) -> bool:
    """Return whether every set of lines has cover enough among all that secures one of them (Hall)."""
    return all(
        sum(used[line] for line in lines)
        <= sum(support.values[each.cover_id] for each in support.covers if any(map(each.secures, lines)))
        for many in range(1, len(used) + 1)
        for lines in combinations(sorted(used), many)
    )


@given(_covers(), _NEEDS)
def test_an_older_loan_keeps_what_it_has_and_no_need_stays_open_that_could_be_filled(
    covers: list[Cover], needs: list[Need]
) -> None:
    values = lending_values(covers, HAIRCUTS, on=DAY)
    by_age = sorted(needs, key=lambda need: need.drawdown_id)
    whole = allocate(covers, values, needs)
    for many in range(len(by_age)):
        fewer = allocate(covers, values, by_age[:many])
        assert all(fewer.of_loan(each.drawdown_id) == whole.of_loan(each.drawdown_id) for each in by_age[:many])
