"""Triangular debt: the set-off of cycles that clears most, and what cash clears the rest (R14). Whole minor units.

Asked the other way round, as what must be left of each debt: the least that can be left is a minimum-cost flow whose
costs are above zero. The solver's potentials prove each answer exactly before anybody relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, TypeVar

import numpy as np
import pylmcf
from numpy.typing import NDArray

_MOST_MINOR = 2**61  # the sum of all debts: what the solver adds up stays within 64 bits
_LEFT, _CASH = 2, 1  # a unit of debt is worth more than a unit of cash: one of cash clears one of debt or more
_Ints = NDArray[np.int64]
Key = TypeVar("Key", str, int)


class TooMuchDebt(ValueError):
    """The debts of one run add up to more than can be counted exactly."""

    code: ClassVar[str] = "too_much_debt"

    def __init__(self) -> None:
        """Say what helps."""
        super().__init__("The debts add up to more than one run can count exactly: name fewer firms.")


class NotProved(RuntimeError):
    """The solver's answer is not the optimum that it should be: a programming error, nothing is proposed."""

    code: ClassVar[str] = "not_proved"


@dataclass(frozen=True, slots=True)
class Debt:
    """What one firm owes another and nothing else binds, in minor units above zero."""

    obligation_id: str
    debtor_id: str
    creditor_id: str
    open_minor: int
    due_date: date


@dataclass(frozen=True, slots=True)
class Cash:
    """Money from outside: at most so much in all, and at most so much to each firm named (to any when none is)."""

    total_minor: int
    by_firm: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clearing:
    """What is cleared of each debt; with cash, what each firm is given and what ends up with each."""

    cleared: Mapping[str, int]
    given: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def cleared_minor(self) -> int:
        """Return what is cleared in all."""
        return sum(self.cleared.values())

    @property
    def cash_minor(self) -> int:
        """Return the cash that it takes."""
        return sum(self.given.values())


def net_positions(debts: Sequence[Debt]) -> dict[str, int]:
    """Return what each firm is owed less what it owes."""
    found: dict[str, int] = {}
    for each in debts:
        found[each.debtor_id] = found.get(each.debtor_id, 0) - each.open_minor
        found[each.creditor_id] = found.get(each.creditor_id, 0) + each.open_minor
    return found


def cash_to_clear_all(debts: Sequence[Debt]) -> int:
    """Return the least cash by which every debt can be paid: what the net debtors lack, and no less."""
    return sum(-net for net in net_positions(debts).values() if net < 0)


def clear(debts: Sequence[Debt], *, cash: Cash | None = None) -> Clearing:
    """Return the set-off that clears most; with cash, the most that it clears and of that the least cash.

    Among debts of one pair the older falls first; the order of input does not matter. TooMuchDebt or NotProved.
    """
    if sum(each.open_minor for each in debts) + (cash.total_minor if cash else 0) > _MOST_MINOR:
        raise TooMuchDebt
    ordered = sorted(debts, key=lambda each: (each.debtor_id, each.creditor_id, each.due_date, each.obligation_id))
    firms = sorted({each.debtor_id for each in ordered} | {each.creditor_id for each in ordered})
    place = {firm: nth for nth, firm in enumerate(firms)}
    network = _Network(len(firms), ordered, place, cash)
    flows = network.solve()
    owed = np.array([each.open_minor for each in ordered], dtype=np.int64)
    cleared = owed - flows[: len(ordered)]
    given, kept = network.cash_flows(flows)
    return Clearing(
        _oldest_first(ordered, cleared.tolist()),
        {firms[nth]: amount for nth, amount in given.items()},
        {firms[nth]: amount for nth, amount in kept.items()},
    )


class _Network:
    """Firms, and two more nodes that cash passes; an arc a debt (what is left of it), then the arcs of cash."""

    def __init__(self, firms: int, debts: Sequence[Debt], place: Mapping[str, int], cash: Cash | None) -> None:
        starts = [place[each.debtor_id] for each in debts]
        ends = [place[each.creditor_id] for each in debts]
        capacities = [each.open_minor for each in debts]
        costs = [_LEFT] * len(debts)
        supplies = np.zeros(firms + 2, dtype=np.int64)
        np.add.at(supplies, starts, capacities)
        np.subtract.at(supplies, ends, capacities)
        self._givers: list[int] = []
        self._keepers: list[int] = []
        if cash is not None and cash.total_minor > 0:
            limits = {place[firm]: most for firm, most in cash.by_firm.items() if firm in place}
            if not cash.by_firm:
                limits = dict.fromkeys(range(firms), cash.total_minor)
            self._givers, self._keepers = sorted(limits), list(range(firms))
            given, kept = firms, firms + 1
            starts += [*self._givers, *([kept] * firms), given]
            ends += [*([given] * len(limits)), *self._keepers, kept]
            capacities += [limits[nth] for nth in self._givers] + [cash.total_minor] * (firms + 1)
            costs += [0] * (len(limits) + firms) + [_CASH]
        self._debts = len(debts)
        self._starts, self._ends = np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
        self._capacities, self._costs = np.array(capacities, dtype=np.int64), np.array(costs, dtype=np.int64)
        self._supplies = supplies

    def solve(self) -> _Ints:
        """Return the flow of least cost on each arc, proved; NotProved otherwise."""
        if not len(self._starts):
            return np.zeros(0, dtype=np.int64)
        order = np.lexsort((self._ends, self._starts))
        graph = pylmcf.Graph(len(self._supplies), self._starts[order], self._ends[order])
        graph.set_edge_costs(self._costs[order])
        graph.set_edge_capacities(self._capacities[order])
        graph.set_node_supply(self._supplies)
        graph.solve()
        flows = np.empty(len(order), dtype=np.int64)
        flows[order] = graph.result()
        self._prove(flows, np.asarray(graph.potentials(), dtype=np.int64))
        return flows

    def cash_flows(self, flows: _Ints) -> tuple[dict[int, int], dict[int, int]]:
        """Return what each place is given and what each keeps, without zeros."""
        found = iter(flows[self._debts :].tolist())
        given = {nth: next(found) for nth in self._givers}
        kept = {nth: next(found) for nth in self._keepers}
        return _without_zeros(given), _without_zeros(kept)

    def _prove(self, flows: _Ints, potentials: _Ints) -> None:
        """Refuse what is no flow, or not of the least cost: at these potentials no arc could be used better."""
        within = ((flows >= 0) & (flows <= self._capacities)).all()
        balance = self._supplies.copy()
        np.subtract.at(balance, self._starts, flows)
        np.add.at(balance, self._ends, flows)
        reduced = self._costs + potentials[self._starts] - potentials[self._ends]
        better = ((reduced < 0) & (flows < self._capacities)) | ((reduced > 0) & (flows > 0))
        if not within or balance.any() or better.any():
            message = "the solver's answer is not the least"
            raise NotProved(message)


def _oldest_first(ordered: Sequence[Debt], cleared: Sequence[int]) -> dict[str, int]:
    """Return what each debt falls by, without zeros: what its pair clears, given to the older ones first."""
    pools: dict[tuple[str, str], int] = {}
    for each, amount in zip(ordered, cleared, strict=True):
        pair = each.debtor_id, each.creditor_id
        pools[pair] = pools.get(pair, 0) + amount
    found = {}
    for each in ordered:
        pair = each.debtor_id, each.creditor_id
        found[each.obligation_id] = min(each.open_minor, pools[pair])
        pools[pair] -= found[each.obligation_id]
    return _without_zeros(found)


def _without_zeros(amounts: Mapping[Key, int]) -> dict[Key, int]:
    return {key: amount for key, amount in amounts.items() if amount}
