"""The least cost under linear conditions: HiGHS finds where it is, exact arithmetic computes it and proves it (0024).

A solver in floats says which conditions bind and which amounts are drawn. Amounts and worths follow from that by whole
numbers, and what does not prove itself is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any, ClassVar

# The second way is taken where the first one's end does not prove itself: floats may stop a step too early.
_WAYS: tuple[Mapping[str, Any], ...] = ({}, {"presolve": "off", "simplex_strategy": 4})


class NoSuchMix(ValueError):
    """No amounts meet all the conditions together."""

    code: ClassVar[str] = "no_such_mix"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("No amounts meet all the conditions together.")


class NotProved(ArithmeticError):
    """The solver ended where nothing proves that it is the least cost."""

    code: ClassVar[str] = "not_proved"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("The least cost could not be proved; ask for fewer weeks.")


@dataclass(frozen=True, slots=True)
class Condition:
    """Σ weight × amount ≥ least; weights by the amount's number."""

    weights: dict[int, int]
    least: int


@dataclass(frozen=True, slots=True)
class LeastCost:
    """The amounts, what they cost together, and the worth of one unit of each condition: they prove it is least."""

    amounts: tuple[Fraction, ...]
    cost: Fraction
    worths: tuple[Fraction, ...]


def least_cost(costs: Sequence[int], conditions: Sequence[Condition]) -> LeastCost:
    """Return amounts ≥ 0 that meet every condition at the least cost; NoSuchMix when there are none, NotProved.

    Costs are never negative. The same question has the same answer, also where others cost the same.
    """
    if any(cost < 0 for cost in costs):
        message = "a cost is below zero"
        raise ValueError(message)
    for way in _WAYS:
        drawn, binding = _where(costs, conditions, way)
        found = _exact(costs, conditions, drawn, binding)
        if found is not None and is_proved(found, costs, conditions):
            return found
    raise NotProved


def is_proved(found: LeastCost, costs: Sequence[int], conditions: Sequence[Condition]) -> bool:
    """Return whether amounts meet the conditions and worths prove that none that do cost less (strong duality)."""
    amounts, scale = _over_one(found.amounts)
    worths, measure = _over_one(found.worths)
    left = [cost * measure for cost in costs]
    for worth, each in zip(worths, conditions, strict=True):
        if sum(weight * amounts[nth] for nth, weight in each.weights.items()) < each.least * scale:
            return False
        for nth, weight in each.weights.items():
            left[nth] -= worth * weight
    paid = sum(cost * amount for cost, amount in zip(costs, amounts, strict=True))
    bound = sum(worth * each.least for worth, each in zip(worths, conditions, strict=True))
    is_allowed = all(each >= 0 for each in (*amounts, *worths, *left))
    return is_allowed and paid == found.cost * scale and bound == found.cost * measure


def _over_one(values: Sequence[Fraction]) -> tuple[list[int], int]:
    """Return whole numbers and what each of them is over: quicker than as many fractions."""
    scale = lcm(*(each.denominator for each in values))
    return [each.numerator * (scale // each.denominator) for each in values], scale


def _where(
    costs: Sequence[int], conditions: Sequence[Condition], way: Mapping[str, Any]
) -> tuple[list[int], list[int]]:
    """Return which amounts are drawn and which conditions bind at the least cost, as HiGHS finds; NoSuchMix."""
    import numpy as np
    from highspy import HighsBasisStatus, HighsModelStatus, HighsOptions, kHighsInf
    from highspy._core import _Highs  # `Highs` itself prints a banner before it can be told not to

    options = HighsOptions()
    options.output_flag, options.threads = False, 1
    for name, value in way.items():
        setattr(options, name, value)
    solver, many, all_of = _Highs(), len(costs), len(conditions)
    solver.passOptions(options)
    solver.addVars(many, np.zeros(many), np.full(many, kHighsInf))
    # Each row over its largest weight, costs over theirs: floats tell apart what is of one size.
    highest = max(costs, default=0) or 1
    solver.changeColsCost(many, np.arange(many, dtype=np.int32), np.array([1_000 * cost / highest for cost in costs]))
    scales = [max(map(abs, each.weights.values()), default=0) or 1 for each in conditions]
    least = np.array([each.least / scale for each, scale in zip(conditions, scales, strict=True)])
    rows = [sorted((nth, weight) for nth, weight in each.weights.items() if weight) for each in conditions]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    places = np.array([nth for row in rows for nth, _ in row], dtype=np.int32)
    weights = np.array([weight / scale for row, scale in zip(rows, scales, strict=True) for _, weight in row])
    solver.addRows(all_of, least, np.full(all_of, kHighsInf), len(places), starts[:-1], places, weights)
    solver.run()
    if solver.getModelStatus() == HighsModelStatus.kInfeasible:
        raise NoSuchMix
    basis, basic = solver.getBasis(), HighsBasisStatus.kBasic
    drawn = [nth for nth, status in enumerate(basis.col_status) if status == basic]
    return drawn, [nth for nth, status in enumerate(basis.row_status) if status != basic]


def _exact(
    costs: Sequence[int], conditions: Sequence[Condition], drawn: Sequence[int], binding: Sequence[int]
) -> LeastCost | None:
    """Return the amounts that meet the binding conditions to the unit, and the worths that pay for what is drawn."""
    rows = [[conditions[row].weights.get(nth, 0) for nth in drawn] for row in binding]
    amounts = _solved(rows, [conditions[row].least for row in binding])
    worths = _solved([list(column) for column in zip(*rows, strict=True)], [costs[nth] for nth in drawn])
    if amounts is None or worths is None or len(drawn) != len(binding):
        return None
    cost = sum((costs[nth] * amount for nth, amount in zip(drawn, amounts, strict=True)), Fraction(0))
    return LeastCost(_spread(drawn, amounts, len(costs)), cost, _spread(binding, worths, len(conditions)))


def _spread(places: Sequence[int], values: Sequence[Fraction], count: int) -> tuple[Fraction, ...]:
    found = dict(zip(places, values, strict=True))
    return tuple(found.get(nth, Fraction(0)) for nth in range(count))


def _solved(rows: Sequence[Sequence[int]], right: Sequence[int]) -> list[Fraction] | None:
    """Return the solution of a square system, None without one; whole numbers, no division leaves a rest (Bareiss)."""
    table = [[*row, value] for row, value in zip(rows, right, strict=True)]
    if any(len(row) != len(table) + 1 for row in table):
        return None
    before = 1
    for nth in range(len(table)):
        # The lowest row with the fewest entries keeps the numbers small.
        place = min(
            (r for r in range(nth, len(table)) if table[r][nth]),
            key=lambda r: len(table[r]) - table[r].count(0),
            default=None,
        )
        if place is None:
            return None
        table[nth], table[place] = table[place], table[nth]
        pivot = table[nth]
        for row in table[nth + 1 :]:
            factor = row[nth]
            row[nth:] = [(a * pivot[nth] - factor * b) // before for a, b in zip(row[nth:], pivot[nth:], strict=True)]
        before = pivot[nth]
    found = [Fraction(0)] * len(table)
    for nth in reversed(range(len(table))):
        known = sum((table[nth][k] * found[k] for k in range(nth + 1, len(table)) if table[nth][k]), Fraction(0))
        found[nth] = (table[nth][-1] - known) / table[nth][nth]
    return found
