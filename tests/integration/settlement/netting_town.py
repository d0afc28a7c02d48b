"""Firms that owe one another: settlement and receivables on a real database each, their events carried by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx

from services.receivables.consumers import handlers as receivables_handlers
from services.receivables.main import build as build_receivables
from services.settlement.consumers import HANDLERS
from services.settlement.main import build as build_settlement
from shared.events.credit import DrawdownHeld
from shared.events.envelope import EVENT_TYPES, Event, Received
from shared.events.receivables import Document
from shared.messaging.applying import Handlers, Outcome, apply_all
from shared.messaging.inbox_rows import Arrival
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.integration.receivables.desk import enterprise, programme
from tests.integration.settlement.desk import OPENING
from tests.support.service import Bench, bench

ISSUED, DUE = date(2026, 1, 2), date(2026, 3, 2)


@dataclass
class Side:
    """One service, what it hears, and how far its outbox was carried."""

    service: Bench
    handlers: Handlers
    carried: int = 0
    heard: dict[tuple[str, str], int] = field(default_factory=dict)

    async def said(self) -> list[Received]:
        """Return what it has said since it was last asked."""
        async with self.service.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT * FROM outbox WHERE position > $1 ORDER BY position", self.carried)
        self.carried = rows[-1]["position"] if rows else self.carried
        return [
            Received(
                id=row["id"],
                type=row["type"],
                topic=row["topic"],
                subject=row["subject"],
                sequence=row["sequence"],
                time=row["time"],
                source=row["source"],
                traceparent=None,
                event=EVENT_TYPES[row["type"]].model_validate_json(row["body"]),
            )
            for row in rows
        ]

    async def hear(self, told: list[Received]) -> Outcome:
        """Apply events as the inbox does, and lose none."""
        wanted = [each for each in told if type(each.event) in self.handlers]
        numbered = []
        for each in wanted:
            # An inbox hears whole topics; here an aggregate is what this side cares for, numbered anew.
            key = (each.topic, each.subject)
            self.heard[key] = self.heard.get(key, 0) + 1
            numbered.append(Received(**{**_fields(each), "sequence": self.heard[key]}))
        async with self.service.database.transaction() as tx:
            outcome = await apply_all(tx, [Arrival(each, (), b"") for each in numbered], handlers=self.handlers)
        assert outcome.parked == []
        return outcome


@dataclass
class Town:
    """Settlement, receivables, and the people of the bank and of the firms."""

    settlement: Side
    receivables: Side
    firms: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    programme_id: str = field(default_factory=new_id)

    async def found(self, *names: str) -> None:
        """Open the book and register firms."""
        async with self.settlement.service.caller("bank_maker") as maker:
            await maker.post("/book", json={"opening_date": OPENING.isoformat()})
        self.firms = {name: new_id() for name in names}
        await self.tell(*(enterprise(firm, name, {}) for name, firm in self.firms.items()))
        await self.tell(programme(self.programme_id, self.firms[names[0]]))

    async def tell(self, *events: Event) -> None:
        """Tell both what another service says."""
        told = [
            Received(new_id(), each.type, each.topic, each.subject, 1, datetime.now(UTC), "test", None, each)
            for each in events
        ]
        await self.settlement.hear(told)
        await self.receivables.hear(told)

    async def carry(self) -> None:
        """Carry events between the two until neither has anything to say."""
        while True:
            one, other = await self.settlement.said(), await self.receivables.said()
            if not one and not other:
                return
            await self.settlement.hear(other)
            await self.receivables.hear(one)

    async def owe(self, debtor: str, creditor: str, amount: str, *, number: str = "") -> str:
        """Have a creditor register a debt and its debtor acknowledge it; return its receivable's id."""
        self.numbers += 1
        body = self.stated(debtor, creditor, amount, number=number or f"D-{self.numbers}")
        registered = await self.receivables_post(creditor, "/obligations", json=body)
        assert registered.status_code == 201, registered.text
        receivable_id = str(registered.json()["receivable_id"])
        said = await self.receivables_post(debtor, f"/receivables/{receivable_id}/acknowledgements")
        assert said.status_code == 200, said.text
        return receivable_id

    def stated(self, debtor: str, creditor: str, amount: str, *, number: str) -> dict[str, Any]:
        """Return a debt as a party states it."""
        return {
            "debtor_id": self.firms[debtor],
            "creditor_id": self.firms[creditor],
            "amount": {"amount": amount, "currency": "CNY"},
            "number": number,
            "issue_date": ISSUED.isoformat(),
            "due_date": DUE.isoformat(),
        }

    async def confirm(self, receivable_id: str, *, by: str) -> None:
        """Have the obligor's maker and checker confirm a receivable."""
        caller, party = self.receivables.service.caller, self.firms[by]
        async with caller("anchor_maker", party=party) as maker, caller("anchor_checker", party=party) as checker:
            body = {"receivable_ids": [receivable_id], "undertaking": "none"}
            proposed = await maker.post("/confirmations", json=body)
            assert proposed.status_code == 201, proposed.text
            approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert approved.status_code == 200, approved.text

    def held(self, receivable_id: str, *, by: str, obligor: str, amount: str) -> DrawdownHeld:
        """Return what credit says when a firm draws on a receivable."""
        money = Amount(amount=amount, currency="CNY")
        return DrawdownHeld(
            drawdown_id=new_id(),
            line_id=new_id(),
            programme_id=self.programme_id,
            enterprise_id=self.firms[by],
            obligor_id=self.firms[obligor],
            principal=money,
            held=money,
            documents=[Document(kind="receivable", document_id=receivable_id, amount=money)],
            purpose="working capital",
            expires_at=datetime.now(UTC),
        )

    async def receivables_post(self, firm: str, path: str, *, role: str = "sme", **what: Any) -> httpx.Response:
        async with self.receivables.service.caller(role, party=self.firms[firm]) as client:
            return await client.post(path, **what)

    async def run(self, **body: Any) -> dict[str, Any]:
        """Run a netting; return what it found."""
        async with self.settlement.service.caller("bank_maker") as maker:
            answer = await maker.post(
                "/netting/runs", json={"currency": "CNY", **body}, headers={"idempotency-key": new_id()}
            )
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def answer(self, firm: str, netting_id: str, what: str = "acceptance") -> httpx.Response:
        """Accept or decline for a firm."""
        async with self.settlement.service.caller("sme", party=self.firms[firm]) as client:
            body = {"reason": "not in our interest"} if what == "decline" else None
            return await client.post(f"/netting/proposals/{netting_id}/{what}", json=body)

    async def accept_all(self, netting_id: str) -> None:
        """Accept for every party."""
        names = {firm: name for name, firm in self.firms.items()}
        for each in (await self.netting(netting_id))["answers"]:
            accepted = await self.answer(names[each["enterprise_id"]], netting_id)
            assert accepted.status_code == 200, accepted.text

    async def netting(self, netting_id: str, *, by: str | None = None) -> dict[str, Any]:
        """Return a netting as the bank, or as a firm, reads it."""
        roles = ("bank_maker",) if by is None else ("sme",)
        async with self.settlement.service.caller(*roles, party=self.firms[by] if by else None) as client:
            answer = await client.get(f"/netting/proposals/{netting_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def owed(self, *receivable_ids: str) -> list[str]:
        """Return what is still payable of each, as receivables says."""
        async with self.receivables.service.caller("bank_maker") as bank:
            return [(await bank.get(f"/receivables/{each}")).json()["financeable"]["amount"] for each in receivable_ids]

    async def state(self, netting_id: str) -> tuple[str, str | None]:
        """Return where a netting stands, and the code of why it ended."""
        found = await self.netting(netting_id)
        return found["state"], found["code"]

    async def offsets(self) -> list[Mapping[str, Any]]:
        async with self.settlement.service.database.reader() as tx:
            return list(await tx.pg.fetch("SELECT * FROM netting_offset ORDER BY receivable_id"))


@asynccontextmanager
async def town_at(urls: tuple[str, str], home: Path) -> AsyncIterator[Town]:
    """Run a town on two empty databases."""
    async with (
        bench("settlement", build_settlement, url=urls[0], home=home / "s") as one,
        bench("receivables", build_receivables, url=urls[1], home=home / "r") as other,
    ):
        yield Town(Side(one, HANDLERS), Side(other, receivables_handlers(other.settings)))


def _fields(each: Received) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Received.__slots__}
