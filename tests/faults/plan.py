"""A seeded plan of commands, round by round; those of one round may come in any order and change nothing by it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tests.faults.market import OPENING, SUPPLIERS, Invoice

_DRAWS, _SPARE = 6, 2
_SMALLEST, _LARGEST = 20_000_00, 90_000_00


@dataclass(frozen=True, slots=True)
class Draw:
    """A supplier draws on an invoice."""

    key: str
    invoice: Invoice
    minor: int


@dataclass(frozen=True, slots=True)
class Dilution:
    """A credit note on an invoice that nobody draws on."""

    key: str
    invoice: Invoice
    minor: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The anchor pays something on a drawdown of an earlier round."""

    key: str
    draw: str
    minor: int


@dataclass(frozen=True, slots=True)
class Round:
    """What the clients do at once, and the day that is closed after it."""

    nth: int
    draws: Sequence[Draw]
    dilutions: Sequence[Dilution]
    receipts: Sequence[Receipt]
    limit_share: int
    rated: str

    @property
    def invoices(self) -> list[Invoice]:
        """Return the invoices that it stands on."""
        return [draw.invoice for draw in self.draws] + [note.invoice for note in self.dilutions]

    @property
    def day(self) -> date:
        """Return the open day of this round."""
        return OPENING + timedelta(days=self.nth)


def plan(*, seed: int, rounds: int) -> list[Round]:
    """Return the rounds of a seed; the first ones are the same however many there are."""
    made: list[Round] = []
    for nth in range(rounds):
        rng = random.Random(f"{seed}/{nth}")  # noqa: S311 - a plan to be repeated, no secret
        invoices = [
            Invoice(f"F{nth}-{n}", rng.choice(SUPPLIERS), rng.randrange(_SMALLEST, _LARGEST, 100))
            for n in range(_DRAWS + _SPARE)
        ]
        drawn, spare = invoices[:_DRAWS], invoices[_DRAWS:]
        before = list(made[-1].draws) if made else []
        made.append(
            Round(
                nth,
                draws=[Draw(f"draw/{i.number}", i, i.minor * rng.randint(30, 75) // 100) for i in drawn],
                dilutions=[Dilution(f"note/{i.number}", i, i.minor * rng.randint(5, 50) // 100) for i in spare],
                receipts=[
                    Receipt(f"paid/{d.invoice.number}", d.key, d.invoice.minor * rng.choice((20, 60, 100)) // 100)
                    for d in rng.sample(before, min(3, len(before)))
                ],
                limit_share=rng.randint(80, 120),
                rated=rng.choice(SUPPLIERS),
            )
        )
    return made


def invoices_of(rounds: Sequence[Round]) -> list[Invoice]:
    """Return every invoice that the rounds stand on."""
    return [invoice for one in rounds for invoice in one.invoices]
