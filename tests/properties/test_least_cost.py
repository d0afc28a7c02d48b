"""The least cost is the least: proved for each by its worths, and found by trying everything where that is possible."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.credit.domain import least_cost as least_cost_room
from services.credit.domain.least_cost import Condition, LeastCost, NoSuchMix, NotProved, is_proved, least_cost

_MOST = 4


@st.composite
def _mixes(draw: st.DrawFn) -> tuple[list[int], list[Condition]]:
    count = draw(st.integers(min_value=1, max_value=4))
    costs = draw(st.lists(st.integers(min_value=0, max_value=9), min_size=count, max_size=count))
    weights = st.dictionaries(st.integers(min_value=0, max_value=count - 1), st.integers(min_value=-6, max_value=6))
    given_ones = draw(
        st.lists(st.builds(Condition, weights, st.integers(min_value=-12, max_value=12)), min_size=1, max_size=5)
    )
    return costs, given_ones + [Condition({nth: -1}, -_MOST) for nth in range(count)]


def _met(amounts: tuple[Fraction, ...] | tuple[int, ...], conditions: list[Condition]) -> bool:
    return all(sum(weight * amounts[nth] for nth, weight in each.weights.items()) >= each.least for each in conditions)


def _proved(found: LeastCost, costs: list[int], conditions: list[Condition]) -> bool:
    """Return whether the worths prove it: no amounts that meet the conditions can cost less than Σ worth × least."""
    fair = all(
        sum(worth * each.weights.get(nth, 0) for worth, each in zip(found.worths, conditions, strict=True)) <= cost
        for nth, cost in enumerate(costs)
    )
    bound = sum(worth * each.least for worth, each in zip(found.worths, conditions, strict=True))
    return fair and min(found.worths) >= 0 and bound == found.cost


@settings(max_examples=300, deadline=None)
@given(_mixes())
def test_the_amounts_meet_the_conditions_and_the_worths_prove_that_nothing_is_cheaper(
    mix: tuple[list[int], list[Condition]],
) -> None:
    costs, conditions = mix
    whole = [amounts for amounts in product(range(_MOST + 1), repeat=len(costs)) if _met(amounts, conditions)]
    try:
        found = least_cost(costs, conditions)
    except NoSuchMix:
        assert not whole
        return
    assert min(found.amounts) >= 0
    assert _met(found.amounts, conditions)
    assert found.cost == sum(cost * amount for cost, amount in zip(costs, found.amounts, strict=True))
    assert _proved(found, costs, conditions)
    cheapest = [sum(cost * amount for cost, amount in zip(costs, amounts, strict=True)) for amounts in whole]
    assert not cheapest or found.cost <= min(cheapest)
    assert found == least_cost(costs, conditions)


@settings(deadline=None)
@given(_mixes())
def test_an_end_that_is_not_the_least_proves_nothing_and_is_no_answer(mix: tuple[list[int], list[Condition]]) -> None:
    costs, conditions = mix
    try:
        found = least_cost(costs, conditions)
    except NoSuchMix:
        return
    cheaper = replace(found, cost=found.cost - 1)
    worthless = replace(found, worths=tuple(each - 1 for each in found.worths))
    for wrong in (cheaper, worthless):
        assert not is_proved(wrong, costs, conditions)


@pytest.mark.parametrize("ends", [([], [0]), ([0], [0])])
def test_where_the_solver_ends_too_early_there_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[list[int], list[int]]
) -> None:
    monkeypatch.setattr(least_cost_room, "_where", lambda *_: ends)
    with pytest.raises(NotProved):
        least_cost([2, 1], [Condition({0: 1, 1: 1}, 4)])


def test_what_one_way_does_not_prove_the_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found = least_cost_room._where
    monkeypatch.setattr(
        least_cost_room, "_where", lambda costs, given, way: found(costs, given, way) if way else ([0], [0])
    )
    assert list(least_cost([2, 1], [Condition({0: 1, 1: 1}, 4)]).amounts) == [0, 4]


def test_the_solver_says_nothing_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    least_cost([1], [Condition({0: 3}, 1)])
    assert capfd.readouterr() == ("", "")


def test_a_fraction_stays_exact() -> None:
    found = least_cost([1], [Condition({0: 3}, 1)])
    assert (found.amounts, found.cost, found.worths) == ((Fraction(1, 3),), Fraction(1, 3), (Fraction(1, 3),))


def test_a_cost_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="below zero"):
        least_cost([-1], [])
