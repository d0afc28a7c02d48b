"""Networks of debts between firms, generated; and what a person without a solver would do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import product
from random import Random

from services.settlement.domain.netting import Debt

_DAY = date(2026, 1, 5)
_SEED = 20260105
_NEAR, _ONWARD = 0.9, 0.95  # how much of the trade stays near, and how much runs down the chain


def _amount(chance: Random) -> int:
    """Return minor units as invoices are: around 50,000.00, some a hundred times that."""
    return max(100, round(chance.lognormvariate(15.4, 1.3)))


def _debts(chance: Random, pairs: Sequence[tuple[int, int]]) -> list[Debt]:
    return [
        Debt(
            f"o{nth:07}",
            f"f{debtor:06}",
            f"f{creditor:06}",
            _amount(chance),
            _DAY + timedelta(days=chance.randrange(90)),
        )
        for nth, (debtor, creditor) in enumerate(pairs)
        if debtor != creditor
    ]


def hubs(firms: int, debts: int) -> list[Debt]:
    """Return a network in which few firms trade with very many: who buys much sells much, more or less."""
    chance = Random(_SEED)  # noqa: S311 - a network, not a secret
    sizes = [chance.paretovariate(1.3) for _ in range(firms)]
    buys, sells = ([size * chance.lognormvariate(0, 1) for size in sizes] for _ in range(2))
    places = range(firms)
    pairs = zip(chance.choices(places, buys, k=debts), chance.choices(places, sells, k=debts), strict=True)
    return _debts(chance, list(pairs))


def districts(firms: int, debts: int) -> list[Debt]:
    """Return a network of industrial districts: nine debts of ten stay among a hundred neighbours."""
    chance = Random(_SEED + 1)  # noqa: S311 - a network, not a secret
    pairs = []
    for _ in range(debts):
        debtor = chance.randrange(firms)
        near = debtor - debtor % 100 + chance.randrange(100)
        pairs.append((debtor, min(near, firms - 1) if chance.random() < _NEAR else chance.randrange(firms)))
    return _debts(chance, pairs)


def tiers(firms: int, debts: int) -> list[Debt]:
    """Return a supply chain: who stands nearer to the anchor owes the next tier; one debt of twenty runs back."""
    chance = Random(_SEED + 2)  # noqa: S311 - a network, not a secret
    pairs = []
    for _ in range(debts):
        one, other = sorted((chance.randrange(firms), chance.randrange(firms)))
        pairs.append((one, other) if chance.random() < _ONWARD else (other, one))
    return _debts(chance, pairs)


NETWORKS: dict[str, Callable[[int, int], list[Debt]]] = {"hubs": hubs, "districts": districts, "tiers": tiers}


def greedy(debts: Sequence[Debt]) -> int:
    """Return what is cleared by going from debt to debt and taking each round that closes, until none is left."""
    left = [each.open_minor for each in debts]
    owes: dict[str, list[int]] = {}
    for nth, each in enumerate(debts):
        owes.setdefault(each.debtor_id, []).append(nth)
    cleared = 0
    for start in list(owes):
        path: list[int] = []
        place = {start: 0}
        firm = start
        while True:
            if not owes.get(firm):
                # A dead end: the debt that led here closes no round.
                if not path:
                    break
                del place[firm]
                firm = debts[path.pop()].debtor_id
                owes[firm].pop()
                continue
            path.append(owes[firm][-1])
            firm = debts[path[-1]].creditor_id
            if firm not in place:
                place[firm] = len(path)
                continue
            legs = path[place[firm] :]
            amount = min(left[leg] for leg in legs)
            cleared += amount * len(legs)
            for leg in legs:
                left[leg] -= amount
                if not left[leg]:
                    owes[debts[leg].debtor_id].pop()
                if debts[leg].debtor_id != firm:
                    del place[debts[leg].debtor_id]
            del path[place[firm] :]
    return cleared


def bilateral(debts: Sequence[Debt]) -> int:
    """Return what is cleared when only two firms that owe each other set off."""
    owed: dict[tuple[str, str], int] = {}
    for each in debts:
        pair = each.debtor_id, each.creditor_id
        owed[pair] = owed.get(pair, 0) + each.open_minor
    return sum(min(minor, owed.get((creditor, debtor), 0)) for (debtor, creditor), minor in owed.items())


def small_networks(count: int) -> list[list[Debt]]:
    """Return networks small enough to try everything."""
    chance = Random(_SEED + 3)  # noqa: S311 - a network, not a secret
    found = []
    for _ in range(count):
        pairs = [(chance.randrange(4), chance.randrange(4)) for _ in range(7)]
        found.append(
            [
                Debt(f"o{nth}", f"f{debtor}", f"f{creditor}", chance.randint(1, 3), _DAY)
                for nth, (debtor, creditor) in enumerate(pairs)
                if debtor != creditor
            ]
        )
    return found


def best_by_trying(debts: Sequence[Debt]) -> int:
    """Return the most that can be cleared, by trying every amount of every debt."""
    best = 0
    for amounts in product(*(range(each.open_minor + 1) for each in debts)):
        nets: dict[str, int] = {}
        for each, amount in zip(debts, amounts, strict=True):
            nets[each.debtor_id] = nets.get(each.debtor_id, 0) - amount
            nets[each.creditor_id] = nets.get(each.creditor_id, 0) + amount
        if not any(nets.values()):
            best = max(best, sum(amounts))
    return best
