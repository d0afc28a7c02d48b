"""A small world for credit's tests: facts as the events of other services, fed to the handlers as the inbox does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import httpx

from services.credit.consumers import HANDLERS
from services.credit.operations.generations.carry import carry_generations
from services.credit.operations.propagate_due import propagate_due
from shared.events.envelope import Event, Received
from shared.events.onboarding import (
    Direction,
    EnterpriseRegistered,
    LineAgreementSigned,
    LinkRecorded,
    MemberAdmitted,
    ProgrammeActivated,
    ProgrammeTerms,
)
from shared.events.receivables import Document, DocumentsAssigned, ReceivableConfirmed, ReceivableRegistered
from shared.events.risk import RatingRecorded
from shared.events.settlement import BusinessDayOpened, LoanDisbursed, LoanRepaid
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.support.service import Bench

OPEN = date(2026, 3, 2)
DUE = date(2026, 6, 1)
FAR = date(2030, 1, 1)


def cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")


def terms(**changes: Any) -> ProgrammeTerms:
    given: dict[str, Any] = {
        "currency": "CNY",
        "limit": cny("1000000.00"),
        "upstream_limit": cny("1000000.00"),
        "downstream_limit": cny("500000.00"),
        "issuance_limit": cny("500000.00"),
        "max_tier": 2,
        "advance_rate": "0.800000",
        "concentration_share": "1.000000",
        "max_tenor_days": 180,
        "buffer_days": 5,
        "grace_days": 3,
        "recourse": True,
        "interest_payer": "seller",
        "pricing_policy": "pricing",
        "propagation_policy": "propagation",
        "auto_approve_up_to": cny("500000.00"),
        "cut_off": time(17),
        "zone": "Asia/Shanghai",
        "collection_account": "COLLECT-1",
    }
    return ProgrammeTerms.model_validate({**given, **changes})


class World:
    """One anchor with its programme, and whoever is around it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.database = bench.database
        self.anchor = new_id()
        self.programme = new_id()
        self._sequences: dict[tuple[str, str], int] = defaultdict(int)

    async def hear(self, *events: Event) -> None:
        """Feed events to their handlers, each in a transaction of its own."""
        for event in events:
            await self.hear_together([event])

    async def hear_together(self, events: Sequence[Event]) -> None:
        """Feed events of one type as one batch; propagate what is due of them, as the worker does after the commit."""
        async with self.database.transaction() as tx:
            await HANDLERS[type(events[0])](tx, [self._received(event) for event in events])
        await propagate_due(self.database)
        await carry_generations(self.database)

    def _received(self, event: Event) -> Received:
        self._sequences[event.topic, event.subject] += 1
        return Received(
            id=new_id(),
            type=event.type,
            topic=event.topic,
            subject=event.subject,
            sequence=self._sequences[event.topic, event.subject],
            time=datetime.now(UTC),
            source="test",
            traceparent=None,
            event=event,
        )

    def firm(self, enterprise_id: str, *, name: str = "Firm", size: Literal["small", "large"] = "small") -> Event:
        return EnterpriseRegistered(
            enterprise_id=enterprise_id,
            name=name,
            country="CN",
            legal_identifiers={},
            group_head_id=enterprise_id,
            size_class=size,
            industry="",
            account=f"ACC-{enterprise_id[-4:]}",
        )

    def rating(self, enterprise_id: str, *, cap: str = "1000000.00", valid_until: date = FAR) -> Event:
        return RatingRecorded(
            enterprise_id=enterprise_id,
            grade="A",
            cap=cny(cap),
            multiplier="1.000000",
            risk_spread="0.010000",
            reasons=["test"],
            valid_until=valid_until,
            policy_version="officer",
        )

    def activated(self, **changes: Any) -> Event:
        return ProgrammeActivated(
            programme_id=self.programme,
            name="P",
            anchor_id=self.anchor,
            group_head_id=self.anchor,
            terms=terms(**changes),
        )

    def member(
        self, enterprise_id: str, *, direction: Direction = "upstream", support: str = "0.000000"
    ) -> MemberAdmitted:
        return MemberAdmitted(
            programme_id=self.programme, enterprise_id=enterprise_id, direction=direction, anchor_support=support
        )

    def agreement(self, enterprise_id: str, *, expiry: date = FAR, committed: str = "0.00") -> Event:
        return LineAgreementSigned(
            enterprise_id=enterprise_id,
            programme_id=self.programme,
            signed_date=date(2026, 1, 1),
            expiry_date=expiry,
            committed=cny(committed),
        )

    def link(self, supplier_id: str, buyer_id: str, *, traded: str = "600000.00") -> Event:
        return LinkRecorded(
            link_id=f"{supplier_id}/{buyer_id}",
            supplier_id=supplier_id,
            buyer_id=buyer_id,
            traded=cny(traded),
            contract="C-1",
        )

    async def begin(self, **changes: Any) -> None:
        """Open the book, register the anchor and activate its programme."""
        await self.hear(
            BusinessDayOpened(open_date=OPEN),
            self.firm(self.anchor, name="Anchor", size="large"),
            self.rating(self.anchor, cap="5000000.00"),
            self.activated(**changes),
        )

    async def supplier(self, *, cap: str = "1000000.00", traded: str = "600000.00", buyer_id: str | None = None) -> str:
        """Admit a supplier with everything a line needs; return its id."""
        enterprise_id = new_id()
        await self.hear(
            self.firm(enterprise_id),
            self.rating(enterprise_id, cap=cap),
            self.link(enterprise_id, buyer_id or self.anchor, traded=traded),
            self.member(enterprise_id),
            self.agreement(enterprise_id),
        )
        return enterprise_id

    async def receivable(
        self,
        seller_id: str,
        *,
        amount: str = "100000.00",
        due: date = DUE,
        obligor_id: str | None = None,
        **changes: Any,
    ) -> str:
        """Register and confirm a receivable; return its id."""
        receivable_id = new_id()
        obligor_id = obligor_id or self.anchor
        await self.hear(
            ReceivableRegistered(
                receivable_id=receivable_id,
                seller_id=seller_id,
                obligor_id=obligor_id,
                number=receivable_id,
                document_type="380",
                syntax="json",
                issue_date=OPEN,
                due_date=due,
                payable=cny(amount),
                state="validated",
                reasons=[],
            ),
            ReceivableConfirmed(
                receivable_id=receivable_id,
                seller_id=seller_id,
                obligor_id=obligor_id,
                financeable=cny(amount),
                due_date=due,
                undertaking=changes.get("undertaking", "none"),
            ),
        )
        return receivable_id

    async def line_of(self, enterprise_id: str) -> dict[str, Any]:
        async with self.bench.caller("risk_officer") as bank:
            answer = await bank.get("/lines", params={"enterprise_id": enterprise_id})
        assert answer.status_code == 200, answer.text
        (line,) = answer.json()["items"]
        found: dict[str, Any] = line
        return found

    async def drawdown(self, drawdown_id: str) -> dict[str, Any]:
        async with self.bench.caller("risk_officer") as bank:
            answer = await bank.get(f"/drawdowns/{drawdown_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def nodes(self) -> dict[str, dict[str, Any]]:
        async with self.bench.caller("risk_officer") as bank:
            answer = await bank.get("/nodes", params={"programme_id": self.programme})
        assert answer.status_code == 200, answer.text
        return {node["node_id"]: node for node in answer.json()["items"]}

    async def draw(self, enterprise_id: str, documents: Sequence[str], principal: str, **more: Any) -> httpx.Response:
        """Draw as the firm itself."""
        line = more.pop("line_id", None) or (await self.line_of(enterprise_id))["line_id"]
        key = more.pop("key", None) or new_id()
        subject = more.pop("subject", None)
        body = {
            "line_id": line,
            "documents": [{"kind": more.pop("kind", "receivable"), "document_id": each} for each in documents],
            "principal": {"amount": principal, "currency": more.pop("currency", "CNY")},
            "purpose": "wages",
            **more,
        }
        async with self.bench.caller("sme", party=enterprise_id, subject=subject) as sme:
            return await sme.post("/drawdowns", json=body, headers={"idempotency-key": key})

    async def held(self, enterprise_id: str, principal: str, **more: Any) -> str:
        """Hold a drawdown over a receivable of its own; return its id."""
        document = await self.receivable(enterprise_id, **more)
        answer = await self.draw(enterprise_id, [document], principal)
        assert answer.status_code == 201, answer.text
        drawdown_id: str = answer.json()["drawdown_id"]
        return drawdown_id

    def assigned(self, drawdown_id: str) -> Event:
        return DocumentsAssigned(
            drawdown_id=drawdown_id,
            documents=[Document(kind="receivable", document_id="d", amount=cny("1.00"))],
            registry_reference="R-1",
            registered_at=datetime.now(UTC),
            notified_at=datetime.now(UTC),
            notice_digest="0",
        )

    def disbursed(self, drawdown_id: str, principal: str) -> Event:
        return LoanDisbursed(
            loan_id=drawdown_id,
            principal=cny(principal),
            paid_out=cny(principal),
            disbursed_date=OPEN,
            maturity_date=DUE,
        )

    def repaid(self, drawdown_id: str, principal: str, *, outstanding: str = "0.00") -> Event:
        return LoanRepaid(
            loan_id=drawdown_id,
            collection_id=new_id(),
            value_date=DUE,
            costs=cny("0.00"),
            penalty=cny("0.00"),
            interest=cny("0.00"),
            principal=cny(principal),
            outstanding=cny(outstanding),
            surplus=cny("0.00"),
        )

    async def told(self, subject: str) -> list[str]:
        """Return the types of the events that credit published of an aggregate, in order."""
        async with self.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT type FROM outbox WHERE subject = $1 ORDER BY sequence", subject)
        return [row["type"].removesuffix(".v1") for row in rows]
