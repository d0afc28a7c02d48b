"""A netting run clears the most that can be and moves no net position; cash clears the rest at the least (R14)."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from itertools import product
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.settlement.domain.netting import (
    Cash,
    Clearing,
    Debt,
    TooMuchDebt,
    cash_to_clear_all,
    clear,
    net_positions,
)
from services.settlement.domain.netting_cycles import bundles_of, cycles_of

_DAY = date(2026, 11, 2)
_FIRMS = "ABCDEF"


def _debts(*, firms: int = 6, most: int = 14, minor: int = 2**55) -> st.SearchStrategy[list[Debt]]:
    names = st.sampled_from(_FIRMS[:firms])
    one = st.tuples(names, names, st.integers(min_value=1, max_value=minor), st.integers(min_value=0, max_value=2))
    return st.lists(one, max_size=most).map(
        lambda found: [
            Debt(f"o{nth:02}", debtor, creditor, amount, _DAY + timedelta(days=days))
            for nth, (debtor, creditor, amount, days) in enumerate(found)
            if debtor != creditor
        ]
    )


def _nets(debts: list[Debt], amounts: dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for each in debts:
        found[each.debtor_id] -= amounts.get(each.obligation_id, 0)
        found[each.creditor_id] += amounts.get(each.obligation_id, 0)
    return found


@given(_debts())
def test_a_set_off_moves_nobody_s_net_position_and_takes_no_more_than_is_owed(debts: list[Debt]) -> None:
    found = clear(debts)
    owed = {each.obligation_id: each.open_minor for each in debts}
    assert all(0 < amount <= owed[key] for key, amount in found.cleared.items())
    assert not any(_nets(debts, dict(found.cleared)).values())
    assert found.cash_minor == 0


@given(_debts())
def test_r14_every_leg_of_a_cycle_falls_equally_and_the_cycles_are_the_set_off(debts: list[Debt]) -> None:
    cleared = clear(debts).cleared
    by_id = {each.obligation_id: each for each in debts}
    summed: dict[str, int] = defaultdict(int)
    for cycle in cycles_of(debts, cleared):
        legs = [by_id[key] for key in cycle.obligation_ids]
        assert cycle.amount_minor > 0
        assert len({leg.debtor_id for leg in legs}) == len(legs)
        for leg, following in zip(legs, [*legs[1:], legs[0]], strict=True):
            assert leg.creditor_id == following.debtor_id
            summed[leg.obligation_id] += cycle.amount_minor
    assert summed == cleared


@given(_debts(), st.integers(min_value=1, max_value=6))
def test_bundles_hold_each_cycle_once_and_strangers_apart(debts: list[Debt], at_most: int) -> None:
    cycles = cycles_of(debts, clear(debts).cleared)
    bundles = bundles_of(debts, cycles, legs_at_most=at_most)
    assert sorted((c.obligation_ids, c.amount_minor) for taken, _ in bundles for c in taken) == sorted(
        (c.obligation_ids, c.amount_minor) for c in cycles
    )
    for taken, legs in bundles:
        assert len(legs) <= at_most or len(taken) == 1
        assert not any(_nets(debts, legs).values())
    whole = bundles_of(debts, cycles, legs_at_most=1000)
    parties = [
        {firm for each in debts if each.obligation_id in legs for firm in (each.debtor_id, each.creditor_id)}
        for _, legs in whole
    ]
    assert sum(map(len, parties)) == len(set[str]().union(*parties))


@given(_debts(), st.randoms())
def test_the_order_of_input_does_not_matter_and_twice_is_the_same(debts: list[Debt], chance: Random) -> None:
    shuffled = list(debts)
    chance.shuffle(shuffled)
    one, other = clear(debts), clear(shuffled)
    assert one == other == clear(debts)
    assert list(one.cleared) == list(other.cleared)
    assert cycles_of(debts, one.cleared) == cycles_of(shuffled, other.cleared)


@given(_debts())
def test_of_one_pair_s_debts_the_older_falls_first(debts: list[Debt]) -> None:
    cleared = clear(debts).cleared
    for one, other in product(debts, debts):
        same = (one.debtor_id, one.creditor_id) == (other.debtor_id, other.creditor_id)
        if same and (one.due_date, one.obligation_id) < (other.due_date, other.obligation_id):
            full = cleared.get(one.obligation_id, 0) == one.open_minor
            assert full or other.obligation_id not in cleared


def _best_by_trying(debts: list[Debt], cash: Cash | None) -> tuple[int, int]:
    """Return the most that can be cleared and the least cash for it, by trying every amount of every debt."""
    best = (0, 0)
    for amounts in product(*(range(each.open_minor + 1) for each in debts)):
        nets = _nets(debts, {each.obligation_id: amount for each, amount in zip(debts, amounts, strict=True)})
        lacking = {firm: -net for firm, net in nets.items() if net < 0}
        needed = sum(lacking.values())
        if cash is None and needed:
            continue
        if cash is not None:
            limits = cash.by_firm or dict.fromkeys(_FIRMS, cash.total_minor)
            if needed > cash.total_minor or any(amount > limits.get(firm, 0) for firm, amount in lacking.items()):
                continue
        best = max(best, (sum(amounts), -needed))
    return best[0], -best[1]


@settings(max_examples=150)
@given(_debts(firms=4, most=6, minor=3))
def test_the_most_is_cleared_as_trying_everything_shows(debts: list[Debt]) -> None:
    assert clear(debts).cleared_minor == _best_by_trying(debts, None)[0]


@settings(max_examples=150)
@given(
    _debts(firms=4, most=6, minor=3),
    st.integers(min_value=0, max_value=6),
    st.dictionaries(st.sampled_from("ABCD"), st.integers(min_value=0, max_value=4), max_size=3),
)
def test_cash_clears_the_most_with_the_least_as_trying_everything_shows(
    debts: list[Debt], total: int, by_firm: dict[str, int]
) -> None:
    cash = Cash(total, by_firm)
    found = clear(debts, cash=cash)
    assert (found.cleared_minor, found.cash_minor) == _best_by_trying(debts, cash)
    _check_cash(debts, cash, found)


@given(_debts(), st.integers(min_value=0, max_value=2**58))
def test_cash_is_paid_on_and_none_is_made(debts: list[Debt], total: int) -> None:
    cash = Cash(total)
    found = clear(debts, cash=cash)
    _check_cash(debts, cash, found)
    assert found.cleared_minor >= clear(debts).cleared_minor + found.cash_minor


def _check_cash(debts: list[Debt], cash: Cash, found: Clearing) -> None:
    nets = _nets(debts, dict(found.cleared))
    assert {firm: net for firm, net in nets.items() if net > 0} == found.kept
    assert {firm: -net for firm, net in nets.items() if net < 0} == found.given
    assert found.cash_minor <= cash.total_minor


@given(_debts())
def test_what_the_net_debtors_lack_clears_everything_and_one_less_does_not(debts: list[Debt]) -> None:
    needed = cash_to_clear_all(debts)
    owed = sum(each.open_minor for each in debts)
    assert clear(debts, cash=Cash(needed)).cleared_minor == owed
    assert needed == sum(max(0, net) for net in net_positions(debts).values())
    assume(needed)
    assert clear(debts, cash=Cash(needed - 1)).cleared_minor < owed


def test_three_firms_that_owe_one_another_in_a_round_owe_the_difference_only() -> None:
    debts = [
        Debt("ab", "A", "B", 100_00, _DAY),
        Debt("bc", "B", "C", 80_00, _DAY),
        Debt("ca", "C", "A", 60_00, _DAY),
    ]
    found = clear(debts)
    assert found.cleared == {"ab": 60_00, "bc": 60_00, "ca": 60_00}
    # A owes 40.00 more, of which B passes 20.00 on to C.
    with_cash = clear(debts, cash=Cash(40_00))
    assert with_cash.given == {"A": 40_00}
    assert with_cash.kept == {"B": 20_00, "C": 20_00}


def test_debts_that_cannot_be_counted_exactly_are_refused() -> None:
    with pytest.raises(TooMuchDebt):
        clear([Debt("ab", "A", "B", 2**61, _DAY), Debt("ba", "B", "A", 1, _DAY)])
