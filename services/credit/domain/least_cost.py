"""The least cost under linear conditions, exact: integers in, fractions out, with the proof that nothing is cheaper.

The dual simplex method in integers, each row over a scale of its own and without a common factor: costs are never
negative, so doing nothing is dual feasible and no first phase is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import ClassVar

# The steepest row first is fast; the smallest name first (Bland) never goes in circles.
_STEEP_PIVOTS = 400


class NoSuchMix(ValueError):
    """No amounts meet all the conditions together."""

    code: ClassVar[str] = "no_such_mix"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("No amounts meet all the conditions together.")


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
    """Return amounts ≥ 0 that meet every condition at the least cost; NoSuchMix when there are none.

    Costs are never negative. Of several that cost the same, always the same one comes out.
    """
    if any(cost < 0 for cost in costs):
        message = "a cost is below zero"
        raise ValueError(message)
    table = _Table(costs, conditions)
    while (row := table.leaving()) is not None:
        table.pivot(row, table.entering(row))
    return table.solution()


class _Table:
    """Each row says what a basic variable is in terms of the others; the last row is the cost; each over its scale.

    Variables 0…n−1 are the amounts, n… the slacks of the conditions. The last column is the constant.
    """

    def __init__(self, costs: Sequence[int], conditions: Sequence[Condition]) -> None:
        self._count = len(costs)
        self._rows = [[each.weights.get(nth, 0) for nth in range(self._count)] + [-each.least] for each in conditions]
        self._rows.append([*costs, 0])
        self._scales = [1] * len(self._rows)
        self._basic = [self._count + nth for nth in range(len(conditions))]
        self._others = list(range(self._count))
        self._pivots = 0

    def leaving(self) -> int | None:
        """Return the row of a variable below zero, None when all conditions are met."""
        below = [nth for nth in range(len(self._basic)) if self._rows[nth][-1] < 0]
        if not below:
            return None
        if self._pivots < _STEEP_PIVOTS:
            return min(below, key=lambda nth: (self._rows[nth][-1] / self._scales[nth], self._basic[nth]))
        return min(below, key=lambda nth: self._basic[nth])

    def entering(self, row: int) -> int:
        """Return the column whose variable raises the row's at the least cost a unit."""
        weights, costs = self._rows[row], self._rows[-1]
        best: int | None = None
        for column, variable in enumerate(self._others):
            if weights[column] <= 0:
                continue
            if best is None:
                best = column
                continue
            against = costs[column] * weights[best] - costs[best] * weights[column]
            if against < 0 or (against == 0 and variable < self._others[best]):
                best = column
        if best is None:
            raise NoSuchMix
        return best

    def pivot(self, row: int, column: int) -> None:
        """Let a variable of a column become basic instead of a row's."""
        pivot_row, scale = self._rows[row], self._scales[row]
        pivot = pivot_row[column]
        for nth, each in enumerate(self._rows):
            factor = each[column]
            if nth == row or not factor:
                continue
            changed = [a * pivot - factor * b for a, b in zip(each, pivot_row, strict=True)]
            changed[column] = factor * scale
            self._keep(nth, changed, self._scales[nth] * pivot)
        turned = [-a for a in pivot_row]
        turned[column] = scale
        self._keep(row, turned, pivot)
        self._basic[row], self._others[column] = self._others[column], self._basic[row]
        self._pivots += 1

    def _keep(self, nth: int, row: list[int], scale: int) -> None:
        common = gcd(scale, *row)
        self._rows[nth] = [a // common for a in row] if common > 1 else row
        self._scales[nth] = scale // common

    def solution(self) -> LeastCost:
        """Return what the table says now."""
        amounts = [Fraction(0)] * self._count
        for nth, variable in enumerate(self._basic):
            if variable < self._count:
                amounts[variable] = Fraction(self._rows[nth][-1], self._scales[nth])
        worths = [Fraction(0)] * len(self._basic)
        for column, variable in enumerate(self._others):
            if variable >= self._count:
                worths[variable - self._count] = Fraction(self._rows[-1][column], self._scales[-1])
        return LeastCost(tuple(amounts), Fraction(self._rows[-1][-1], self._scales[-1]), tuple(worths))
