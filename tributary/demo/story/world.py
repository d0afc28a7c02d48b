"""What the story knows while it runs: who is who, what was registered, what came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from shared.values.money import minor_digits
from tributary.demo.client import Person, until
from tributary.demo.people import People
from tributary.demo.plan import Plan, ProgrammePlan
from tributary.demo.stage import Nodes, Stage, Step

Receivable = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file: exactly one of accepted, refused and duplicate."""

    file: str
    outcome: str
    code: str
    message: str
    stored: int = 0


@dataclass
class Slots:
    """The invoices that the story follows."""

    main: Receivable
    voucher: Receivable
    again: Receivable
    rail: Receivable
    sale: Receivable


@dataclass
class World:
    """The run's state, as its steps see it."""

    plan: Plan
    people: People
    stage: Stage
    maker: Person
    checker: Person
    risk: Person
    ids: dict[str, str] = field(default_factory=dict)
    programmes: dict[str, str] = field(default_factory=dict)
    intake: list[Taken] = field(default_factory=list)
    receivables: dict[str, Receivable] = field(default_factory=dict)
    chosen: Slots | None = None
    loan_id: str = ""

    @property
    def currency(self) -> str:
        """Return the story's currency."""
        return self.plan.main.currency

    @property
    def programme_id(self) -> str:
        """Return the story's programme."""
        return self.programmes[self.currency]

    @property
    def anchor_id(self) -> str:
        """Return the story's anchor."""
        return self.ids[self.plan.main.anchor]

    @property
    def slots(self) -> Slots:
        """Return the invoices that the story follows, once they are chosen."""
        if self.chosen is None:
            message = "no invoices are chosen yet"
            raise RuntimeError(message)
        return self.chosen

    @property
    def all_programmes(self) -> list[ProgrammePlan]:
        """Return the story's programme and those of the other currencies."""
        return [self.plan.main, *self.plan.others]

    def name(self, key: str) -> str:
        """Return a firm's name."""
        return next(firm.name for firm in self.plan.firms if firm.key == key)

    def major(self, amount: int) -> int:
        """Return whole units of the story's currency in its minor units."""
        return int(amount * 10 ** minor_digits(self.currency))

    def note_lack(self, step: Step, what: str) -> None:
        """Say in a step what the folder could not give it, if so."""
        if what in self.plan.lacks:
            step.lack(self.plan.lacks[what])

    async def sme(self, key: str) -> Person:
        """Return who draws for a firm."""
        return await self.people.of(self.ids[key], "sme")

    async def nodes(self) -> Nodes:
        """Return the limit nodes of the story's programme."""
        if self.currency not in self.programmes:
            return {}
        path = "/credit/v1/nodes"
        found = await self.risk.every(path, programme_id=self.programme_id)
        return {node["node_id"]: node for node in found}

    async def lines(self, currency: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of a programme."""
        programme_id = self.programmes[currency or self.currency]
        return await self.risk.every("/credit/v1/lines", programme_id=programme_id)

    async def line(self, key: str) -> dict[str, Any]:
        """Return a firm's line in the story's programme."""
        return next(line for line in await self.lines() if line["enterprise_id"] == self.ids[key])

    async def open_date(self) -> date:
        """Return the open business day."""
        found = await self.maker.get("/settlement/v1/business-days/current")
        return date.fromisoformat(found["open_date"])

    async def close_days(self, *, up_to: date) -> int:
        """Close every open day up to and including a date, by two people; return how many."""
        opened = await self.open_date()
        if opened > up_to:
            return 0
        proposal = await self.maker.post(f"/settlement/v1/business-days/{up_to}/close")
        await self.checker.post(f"/settlement/v1/approvals/{proposal['approval_id']}/approve")

        async def moved() -> bool | None:
            return True if await self.open_date() > up_to else None

        await until(moved, awaited=f"the day after {up_to} is open", within_s=60)
        return (up_to + timedelta(days=1) - opened).days
