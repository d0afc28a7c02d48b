"""A set-off taken apart: the cycles that it consists of, and which of them are proposed together (R14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.settlement.domain.netting import Debt


@dataclass(frozen=True, slots=True)
class Cycle:
    """Debts that go round: each falls by the same amount, so nobody's net position moves (R14)."""

    amount_minor: int
    obligation_ids: tuple[str, ...]


def cycles_of(debts: Sequence[Debt], cleared: Mapping[str, int]) -> list[Cycle]:
    """Return the cycles that a set-off consists of: each leg of a cycle falls equally, Σ over cycles = cleared."""
    left = {each.obligation_id: cleared[each.obligation_id] for each in debts if cleared.get(each.obligation_id, 0) > 0}
    going: dict[str, list[tuple[str, str]]] = {}
    for each in sorted(debts, key=lambda each: (each.debtor_id, each.due_date, each.obligation_id), reverse=True):
        if each.obligation_id in left:
            going.setdefault(each.debtor_id, []).append((each.obligation_id, each.creditor_id))
    found = []
    for start in sorted(going):
        firms, legs = [start], list[str]()
        seen = {start: 0}
        while going.get(firms[-1]):
            obligation_id, following = going[firms[-1]][-1]
            legs.append(obligation_id)
            if following not in seen:
                seen[following] = len(firms)
                firms.append(following)
                continue
            first = seen[following]
            found.append(_peel(legs[first:], left))
            for firm, leg in zip(firms[first:], legs[first:], strict=True):
                if not left[leg]:
                    going[firm].pop()
            for firm in firms[first + 1 :]:
                del seen[firm]
            del firms[first + 1 :], legs[first:]
    return found


def bundles_of(
    debts: Sequence[Debt], cycles: Sequence[Cycle], *, legs_at_most: int
) -> list[tuple[list[Cycle], dict[str, int]]]:
    """Return cycles that are proposed together, with what each obligation falls by.

    Cycles that share no firm stand apart: nobody waits for strangers. One with too many legs for all its parties to
    agree is cut between cycles; a cycle is never cut.
    """
    firms = {each.obligation_id: (each.debtor_id, each.creditor_id) for each in debts}
    bundles = []
    for connected in _connected(cycles, firms):
        taken: list[Cycle] = []
        legs: dict[str, int] = {}
        for cycle in connected:
            more = sum(obligation_id not in legs for obligation_id in cycle.obligation_ids)
            if taken and len(legs) + more > legs_at_most:
                bundles.append((taken, legs))
                taken, legs = [], {}
            taken.append(cycle)
            for obligation_id in cycle.obligation_ids:
                legs[obligation_id] = legs.get(obligation_id, 0) + cycle.amount_minor
        bundles.append((taken, legs))
    return bundles


def _connected(cycles: Sequence[Cycle], firms: Mapping[str, tuple[str, str]]) -> list[list[Cycle]]:
    root: dict[str, str] = {}

    def root_of(firm: str) -> str:
        while root.setdefault(firm, firm) != firm:
            root[firm] = root[root[firm]]
            firm = root[firm]
        return firm

    for cycle in cycles:
        for obligation_id, following in pairwise((*cycle.obligation_ids, cycle.obligation_ids[0])):
            one, other = root_of(firms[obligation_id][0]), root_of(firms[following][0])
            root[max(one, other)] = min(one, other)
    groups: dict[str, list[Cycle]] = {}
    for cycle in cycles:
        groups.setdefault(root_of(firms[cycle.obligation_ids[0]][0]), []).append(cycle)
    return list(groups.values())


def _peel(legs: Sequence[str], left: dict[str, int]) -> Cycle:
    amount = min(left[leg] for leg in legs)
    for leg in legs:
        left[leg] -= amount
    return Cycle(amount, tuple(legs))
