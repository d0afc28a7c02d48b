"""A settlement desk: its HTTP app on a real database, events given to its handlers, the rail moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from services.settlement.consumers import HANDLERS
from services.settlement.main import build
from services.settlement.timers import timers
from shared.events.credit import DrawdownApproved, DrawdownCancellationRequested, DrawdownHeld
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseRegistered, ProgrammeActivated, ProgrammeTerms
from shared.events.receivables import Document
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.support.service import Bench, bench

COLLECT = "COLLECT-1"
OPENING = date(2026, 1, 5)
MATURITY = OPENING + timedelta(days=90)


def cny(text: str) -> Amount:
    """Return yuan."""
    return Amount(amount=text, currency="CNY")


@dataclass
class Desk:
    """Who works here, and the facts they work on."""

    service: Bench
    maker: httpx.AsyncClient
    checker: httpx.AsyncClient
    administrator: httpx.AsyncClient
    seller: str = field(default_factory=new_id)
    obligor: str = field(default_factory=new_id)
    programme: str = field(default_factory=new_id)

    async def give(self, *events: Event) -> None:
        """Give events to their handlers, each in a transaction, as the inbox does."""
        for event in events:
            async with self.service.database.transaction() as tx:
                await HANDLERS[type(event)](tx, [_received(event)])

    async def give_together(self, *events: Event) -> None:
        """Give events of one type to their handler in one go."""
        async with self.service.database.transaction() as tx:
            await HANDLERS[type(events[0])](tx, [_received(event) for event in events])

    async def know_parties(self) -> None:
        """Give what onboarding says of the programme and the seller."""
        await self.give(self.programme_activated(), self.enterprise_registered())

    def programme_activated(self) -> ProgrammeActivated:
        zero, much = cny("0.00"), cny("1000000.00")
        terms = ProgrammeTerms.model_validate(
            {
                "currency": "CNY",
                "limit": much,
                "upstream_limit": much,
                "downstream_limit": much,
                "issuance_limit": zero,
                "max_tier": 2,
                "advance_rate": "0.800000",
                "concentration_share": "1",
                "max_tenor_days": 365,
                "buffer_days": 0,
                "grace_days": 3,
                "recourse": True,
                "interest_payer": "seller",
                "pricing_policy": "pricing",
                "propagation_policy": "propagation",
                "auto_approve_up_to": much,
                "cut_off": "17:00:00",
                "zone": "Asia/Shanghai",
                "collection_account": COLLECT,
            }
        )
        return ProgrammeActivated(
            programme_id=self.programme, name="P", anchor_id=self.obligor, group_head_id=self.obligor, terms=terms
        )

    def enterprise_registered(self) -> EnterpriseRegistered:
        return EnterpriseRegistered(
            enterprise_id=self.seller,
            name="Seller",
            country="CN",
            legal_identifiers={},
            group_head_id=self.seller,
            size_class="small",
            industry="",
            account="SELLER-1",
        )

    async def approve_drawdown(self, **changes: Any) -> str:
        """Give a held and approved drawdown; return its id."""
        drawdown_id = new_id()
        document = changes.pop("document_id", None) or new_id()
        approved = self.approved(drawdown_id, **changes)
        held = DrawdownHeld(
            drawdown_id=drawdown_id,
            line_id=new_id(),
            programme_id=self.programme,
            enterprise_id=self.seller,
            obligor_id=self.obligor,
            principal=approved.principal,
            held=approved.principal,
            documents=[Document(kind="receivable", document_id=document, amount=approved.face)],
            purpose="wages",
            expires_at=datetime.now(UTC) + timedelta(minutes=10),
        )
        await self.give(held, approved)
        return drawdown_id

    def approved(self, drawdown_id: str, **changes: Any) -> DrawdownApproved:
        """Return an approval: 100,000.00 at 12%, ACT/360, 90 days, 3 days of grace, with recourse."""
        terms: dict[str, Any] = {
            "drawdown_id": drawdown_id,
            "form": "loan",
            "programme_id": self.programme,
            "enterprise_id": self.seller,
            "obligor_id": self.obligor,
            "payee_id": self.seller,
            "payee_account": "PAYEE-1",
            "collection_account": COLLECT,
            "principal": cny("100000.00"),
            "face": cny("100000.00"),
            "fee": cny("100.00"),
            "rate": "0.120000",
            "penalty_rate": "0.180000",
            "day_count": "ACT/360",
            "interest_payer": "seller",
            "document_due_date": MATURITY,
            "maturity_date": MATURITY,
            "grace_days": 3,
            "recourse": True,
            "purpose": "wages",
            "policy_version": "pricing/2000-01",
        }
        return DrawdownApproved.model_validate({**terms, **changes})

    async def cancel_drawdown(self, drawdown_id: str) -> None:
        await self.give(DrawdownCancellationRequested(drawdown_id=drawdown_id, reason="changed my mind"))

    async def open(self, day: date = OPENING) -> None:
        answer = await self.maker.post("/book", json={"opening_date": day.isoformat()})
        assert answer.status_code == 201, answer.text

    async def close(self, day: date) -> httpx.Response:
        """Close every day up to one, by two persons."""
        proposed = await self.maker.post(f"/business-days/{day}/close")
        assert proposed.status_code == 201, proposed.text
        return await self.checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")

    async def open_on(self, day: date) -> None:
        """Close days so that this one is open."""
        assert (await self.close(day - timedelta(days=1))).status_code == 200

    async def behave(self, outcome: str, *, account: str = "PAYEE-1", count: int = 1) -> None:
        body = {"account": account, "outcome": outcome, "count": count}
        assert (await self.administrator.put("/rail/behaviours", json=body)).status_code == 200

    async def run_rail(self, *, rounds: int = 1) -> None:
        """Run the payments' timer."""
        ticks = timers(rail_timeout_s=self.service.settings.rail_timeout_seconds)
        for _ in range(rounds):
            for timer in ticks.values():
                await timer.tick(self.service.database)

    async def wait_out_the_rail(self, *, timeouts: float = 1.2) -> None:
        """Let the rail's timeout pass, then run the timer."""
        await asyncio.sleep(self.service.settings.rail_timeout_seconds * timeouts)
        await self.run_rail()

    async def disburse(self, **changes: Any) -> str:
        """Bring a drawdown to a disbursed loan."""
        loan_id = await self.approve_drawdown(**changes)
        await self.run_rail()
        assert (await self.loan(loan_id))["state"] == "disbursed"
        return loan_id

    async def loan(self, loan_id: str) -> dict[str, Any]:
        answer = await self.maker.get(f"/loans/{loan_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def statement(
        self, *entries: dict[str, Any], account: str = COLLECT, key: str | None = None
    ) -> httpx.Response:
        body = {"account": account, "entries": list(entries)}
        return await self.maker.post("/statements", json=body, headers={"idempotency-key": key or new_id()})

    async def collect(self, amount: str, *, on: date, reference: str) -> dict[str, Any]:
        """Record one credit on the collection account; return what became of it."""
        answer = await self.statement(credit(amount, on=on, reference=reference))
        assert answer.status_code == 201, answer.text
        (entry,) = answer.json()["entries"]
        found: dict[str, Any] = entry
        return found

    async def events(self, subject: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Return what was published, as (type, body)."""
        async with self.service.database.reader() as tx:
            rows = await tx.pg.fetch(
                """SELECT type, body::jsonb AS body FROM outbox WHERE $1::text IS NULL OR subject = $1
                ORDER BY position""",
                subject,
            )
        return [(row["type"].removesuffix(".v1"), row["body"]) for row in rows]

    async def types(self, subject: str | None = None) -> list[str]:
        return [kind for kind, _ in await self.events(subject)]

    async def balances(self) -> dict[str, str]:
        """Return account → balance, after checking that the ledger balances as a whole and in each transaction."""
        async with self.service.database.reader() as tx:
            unbalanced = await tx.pg.fetch(
                """SELECT transaction_id FROM ledger_posting GROUP BY transaction_id, currency
                HAVING sum(debit_minor) <> sum(credit_minor)"""
            )
        assert unbalanced == []
        items = (await self.maker.get("/ledger/accounts")).json()["items"]
        return {item["account"]: item["balance"]["amount"] for item in items}


def credit(amount: str, *, on: date, reference: str, entry_id: str | None = None) -> dict[str, Any]:
    """Return a credit entry."""
    return {
        "entry_id": entry_id or new_id(),
        "amount": {"amount": amount, "currency": "CNY"},
        "direction": "credit",
        "value_date": on.isoformat(),
        "reference": reference,
    }


def debit(amount: str, *, on: date, end_to_end_id: str) -> dict[str, Any]:
    """Return a debit entry that names a payment."""
    return {**credit(amount, on=on, reference="payment"), "direction": "debit", "end_to_end_id": end_to_end_id}


def _received(event: Event) -> Received:
    return Received(
        id=new_id(),
        type=event.type,
        topic=event.topic,
        subject=event.subject,
        sequence=1,
        time=datetime.now(UTC),
        source="test",
        traceparent=None,
        event=event,
    )


def amounts(found: dict[str, Any], *names: str) -> Sequence[str]:
    """Return the decimal strings of some amounts."""
    return [found[name]["amount"] for name in names]


@asynccontextmanager
async def desk_at(url: str, home: Path) -> AsyncIterator[Desk]:
    """Run a desk on an empty database."""
    async with bench("settlement", build, url=url, home=home) as service, AsyncExitStack() as stack:
        maker = await stack.enter_async_context(service.caller("bank_maker"))
        checker = await stack.enter_async_context(service.caller("bank_checker"))
        administrator = await stack.enter_async_context(service.caller("administrator"))
        yield Desk(service, maker, checker, administrator)
