"""A receivables service on a real PostgreSQL, with events handed to its handlers as its inbox would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import httpx

from services.receivables.consumers import handlers
from services.receivables.main import build
from shared.events.credit import DrawdownHeld
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseRegistered, ProgrammeActivated, ProgrammeTerms
from shared.events.receivables import Document
from shared.events.settlement import LoanClosed, LoanDisbursed
from shared.messaging.applying import Handlers, Outcome, apply_all
from shared.messaging.inbox_rows import Arrival
from shared.storage.database import Transaction
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.support.einvoices import Firm, Sample, ubl
from tests.support.service import Bench, bench

ANCHOR, SUPPLIER, SECOND, FACTOR = (
    Firm("Anchor Motors Co., Ltd.", legal="91512081MA62K0260E"),
    Firm("Bolt Supplier GmbH", vat="DE271828180"),
    Firm("Second Tier KG"),
    Firm("Factoring AG"),
)
XML = {"content-type": "application/xml"}
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
# Not pg_stat_activity: a transaction sees it as it was when it first looked.
_WAITING = """
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN (
    SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()))
"""


def cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")


class Desk:
    """The service, and what others would tell it."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        self.ids = {firm.name: new_id() for firm in (ANCHOR, SUPPLIER, SECOND, FACTOR)}
        self.programme_id = new_id()
        self.handlers: Handlers = handlers(made.settings)
        self._sequences: dict[tuple[str, str], int] = {}

    def id(self, firm: Firm) -> str:
        return self.ids[firm.name]

    async def hear(self, *events: Event) -> Outcome:
        """Apply events as the inbox does: heads, savepoints, parking."""
        arrivals = []
        for event in events:
            key = (event.topic, event.subject)
            self._sequences[key] = self._sequences.get(key, 0) + 1
            arrivals.append(Arrival(as_received(event, self._sequences[key]), (), b""))
        return await self.apply(arrivals)

    async def apply(self, arrivals: Sequence[Arrival]) -> Outcome:
        async with self.bench.database.transaction() as tx:
            return await apply_all(tx, arrivals, handlers=self.handlers)

    async def prepare(self) -> None:
        """Register the firms and the anchor's programme."""
        schemes = {ANCHOR.name: {"uscc": ANCHOR.legal}, SUPPLIER.name: {"vat": SUPPLIER.vat}}
        await self.hear(
            *(enterprise(each, name, schemes.get(name, {})) for name, each in self.ids.items()),
            programme(self.programme_id, self.id(ANCHOR)),
        )

    def maker(self, firm: Firm = ANCHOR) -> httpx.AsyncClient:
        return self.bench.caller("anchor_maker", party=self.id(firm))

    def checker(self, firm: Firm = ANCHOR) -> httpx.AsyncClient:
        return self.bench.caller("anchor_checker", party=self.id(firm))

    def sme(self, firm: Firm) -> httpx.AsyncClient:
        return self.bench.caller("sme", party=self.id(firm))

    async def upload(self, data: bytes, headers: dict[str, str] | None = None, **params: str) -> httpx.Response:
        async with self.bench.caller("bank_maker") as bank:
            return await bank.post("/documents", content=data, headers=headers or XML, params=params)

    async def taken(self, sample: Sample | None = None) -> str:
        """Take an invoice in; return its receivable's id."""
        answer = await self.upload(ubl(sample or Sample(SUPPLIER, ANCHOR)))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["receivable_id"])

    async def confirmed(self, sample: Sample | None = None, *, undertaking: str = "none") -> str:
        """Take an invoice in and have it confirmed; return its receivable's id."""
        receivable_id = await self.taken(sample)
        async with self.maker() as maker, self.checker() as checker:
            body = {"receivable_ids": [receivable_id], "undertaking": undertaking}
            proposed = await maker.post("/confirmations", json=body)
            assert proposed.status_code == 201, proposed.text
            approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert approved.status_code == 200, approved.text
        return receivable_id

    async def voucher(self, sample: Sample | None = None) -> dict[str, Any]:
        """Issue a voucher over a confirmed invoice; return it as the bank reads it."""
        receivable_id = await self.confirmed(sample)
        body = {"programme_id": self.programme_id, "receivable_id": receivable_id}
        async with self.maker() as maker, self.checker() as checker, self.bench.caller("bank_maker") as bank:
            proposed = await maker.post("/vouchers", json=body, headers=key())
            assert proposed.status_code == 201, proposed.text
            approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert approved.status_code == 200, approved.text
            found = (await bank.get("/vouchers")).json()["items"]
        return next(each for each in found if each["receivable_id"] == receivable_id)

    def held(self, *documents: Document, by: Firm = SUPPLIER, drawdown_id: str | None = None) -> DrawdownHeld:
        return DrawdownHeld(
            drawdown_id=drawdown_id or new_id(),
            line_id=new_id(),
            programme_id=self.programme_id,
            enterprise_id=self.id(by),
            obligor_id=self.id(ANCHOR),
            principal=cny("500.00"),
            held=cny("500.00"),
            documents=list(documents),
            purpose="working capital",
            expires_at=datetime.now(UTC),
        )

    async def read(self, path: str) -> dict[str, Any]:
        async with self.bench.caller("bank_maker") as bank:
            answer = await bank.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def state(self, receivable_id: str) -> str:
        return str((await self.read(f"/receivables/{receivable_id}"))["state"])

    async def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what the service said, in order; of one type when named."""
        async with self.bench.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT type, subject, body FROM outbox ORDER BY position")
        found = [{"type": row["type"], "subject": row["subject"], **json.loads(row["body"])} for row in rows]
        return [each for each in found if not kind or each["type"] == kind]

    def filings(self) -> list[dict[str, Any]]:
        path = self.bench.settings.registry / "filings.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def desk(url: str, home: Path) -> AsyncIterator[Desk]:
    async with bench("receivables", build, url=url, home=home) as made:
        opened = Desk(made)
        await opened.prepare()
        yield opened


async def until_somebody_waits(tx: Transaction) -> None:
    """Return once another transaction on this database waits for a lock."""
    async with asyncio.timeout(60):
        while not await tx.pg.fetchval(_WAITING):
            await asyncio.sleep(0.02)


def key() -> dict[str, str]:
    return {"idempotency-key": new_id()}


def receivable(document_id: str, amount: str = "1000.00") -> Document:
    return Document(kind="receivable", document_id=document_id, amount=cny(amount))


def piece(document_id: str, amount: str) -> Document:
    return Document(kind="slice", document_id=document_id, amount=cny(amount))


def disbursed(drawdown_id: str) -> LoanDisbursed:
    day = date(2026, 11, 24)
    return LoanDisbursed(
        loan_id=drawdown_id,
        principal=cny("500.00"),
        paid_out=cny("499.00"),
        disbursed_date=day,
        maturity_date=date(2026, 12, 6),
    )


def closed(drawdown_id: str) -> LoanClosed:
    return LoanClosed(loan_id=drawdown_id, closed_date=date(2026, 12, 6))


def enterprise(enterprise_id: str, name: str, identifiers: dict[str, str]) -> EnterpriseRegistered:
    return EnterpriseRegistered(
        enterprise_id=enterprise_id,
        name=name,
        country="CN",
        legal_identifiers=identifiers,
        group_head_id=enterprise_id,
        size_class="small",
        industry="",
        account="ACC-1",
    )


def programme(programme_id: str, anchor_id: str, *, issuance: str = "1500.00") -> ProgrammeActivated:
    limit = cny("100000.00")
    terms = ProgrammeTerms(
        currency="CNY",
        limit=limit,
        upstream_limit=limit,
        downstream_limit=limit,
        issuance_limit=cny(issuance),
        max_tier=3,
        advance_rate="0.800000",
        concentration_share="0.500000",
        max_tenor_days=180,
        buffer_days=5,
        grace_days=3,
        recourse=True,
        interest_payer="seller",
        pricing_policy="pricing",
        propagation_policy="propagation",
        auto_approve_up_to=limit,
        cut_off=time(17),
        zone="Asia/Shanghai",
        collection_account="COLLECT-1",
    )
    return ProgrammeActivated(
        programme_id=programme_id, name="P", anchor_id=anchor_id, group_head_id=anchor_id, terms=terms
    )


def as_received(event: Event, sequence: int = 1) -> Received:
    """Return an event as the inbox hands it to a handler."""
    return Received(
        id=new_id(),
        type=event.type,
        topic=event.topic,
        subject=event.subject,
        sequence=sequence,
        time=datetime.combine(date(2026, 11, 24), time(9), UTC),
        source="test",
        traceparent=None,
        event=event,
    )
