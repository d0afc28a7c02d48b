"""Drawdowns in every state, and what credit and settlement have said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from services.credit.domain.paths import Level, Step
from shared.events.credit import (
    DrawdownApproved,
    DrawdownHeld,
    DrawdownReinstated,
    DrawdownReleased,
    DrawdownRepaid,
    DrawdownUtilised,
)
from shared.events.envelope import Event
from shared.events.receivables import Document
from shared.events.settlement import (
    LoanClosed,
    LoanDisbursed,
    LoanInstructed,
    LoanRepaid,
)
from shared.values.money import Amount

DAY, DUE = date(2026, 3, 2), date(2026, 6, 1)
UPSTREAM = (
    Step(Level.GROUP, "group/anchor/CNY"),
    Step(Level.PROGRAMME, "programme/p1"),
    Step(Level.LINE, "line/l1"),
)
DOWNSTREAM = (
    Step(Level.GROUP, "group/anchor/CNY", 333_333),
    Step(Level.PROGRAMME, "programme/p1"),
    Step(Level.LINE, "line/l2"),
)


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawdown over one document of its exposure, and what was repaid of it."""

    name: str
    state: str
    exposure: int
    repaid: int = 0
    form: Literal["loan", "purchase"] = "loan"
    path: Sequence[Step] = UPSTREAM

    @property
    def left(self) -> int:
        return self.exposure - self.repaid if self.paid_out else 0

    @property
    def paid_out(self) -> bool:
        return self.state in {"utilised", "repaid"}

    @property
    def instructed(self) -> bool:
        return self.paid_out or self.state == "approved"


DRAWS = (
    Draw("d-held", "held", 10_000),
    Draw("d-referred", "referred", 20_001, path=DOWNSTREAM),
    Draw("d-approved", "approved", 30_000),
    Draw("d-released", "released", 40_000),
    Draw("d-utilised", "utilised", 50_000, repaid=12_345),
    Draw("d-small", "utilised", 1_001, repaid=500, path=DOWNSTREAM),
    Draw("d-purchase", "utilised", 60_000, form="purchase"),
    Draw("d-repaid", "repaid", 70_000, repaid=70_000),
)


def drawdown_events(each: Draw) -> list[Event]:
    name = each.name
    events: list[Event] = [
        DrawdownHeld(
            drawdown_id=name,
            line_id=each.path[-1].node_id.removeprefix("line/"),
            programme_id="p1",
            enterprise_id="l1",
            obligor_id="anchor",
            principal=cny(each.exposure),
            held=cny(each.exposure),
            documents=[document_of(each)],
            purpose="stock",
            expires_at=datetime(2999, 1, 1, tzinfo=UTC),
        )
    ]
    if each.state == "released":
        events.append(DrawdownReleased(drawdown_id=name, reason="cancelled"))
    if each.instructed:
        events.append(
            DrawdownApproved(
                drawdown_id=name,
                form=each.form,
                programme_id="p1",
                enterprise_id="l1",
                obligor_id="anchor",
                payee_id="l1",
                payee_account="ACC",
                collection_account="COLLECT",
                principal=cny(each.exposure),
                face=cny(each.exposure),
                fee=cny(0),
                rate="0.000000",
                penalty_rate="0.000000",
                day_count="ACT/360",
                interest_payer="seller",
                document_due_date=DUE,
                maturity_date=DUE,
                grace_days=0,
                recourse=True,
                purpose="stock",
                policy_version="1",
            )
        )
    if each.paid_out:
        events.append(DrawdownUtilised(drawdown_id=name, principal=cny(each.exposure)))
    if each.repaid:
        line = each.path[-1].node_id.removeprefix("line/")
        left = {"principal": cny(each.repaid), "outstanding": cny(each.left)}
        events.append(DrawdownReinstated(drawdown_id=name, **left, line_id=line))
    if each.state == "repaid":
        events.append(DrawdownRepaid(drawdown_id=name))
    return events


def loan_events(each: Draw) -> list[Event]:
    name = each.name
    events: list[Event] = [LoanInstructed(loan_id=name, end_to_end_id=f"e2e-{name}", paid_out=cny(each.exposure))]
    if each.paid_out:
        dates = {"disbursed_date": DAY, "maturity_date": DUE}
        amounts = {"principal": cny(each.exposure), "paid_out": cny(each.exposure)}
        events.append(LoanDisbursed(loan_id=name, **amounts, **dates))
    if each.repaid:
        nothing = dict.fromkeys(("costs", "penalty", "interest", "surplus"), cny(0))
        principal = {"principal": cny(each.repaid), "outstanding": cny(each.left)}
        events.append(LoanRepaid(loan_id=name, collection_id=f"c-{name}", value_date=DUE, **nothing, **principal))
    if each.state == "repaid":
        events.append(LoanClosed(loan_id=name, closed_date=DUE))
    return events


def document_of(each: Draw) -> Document:
    return Document(kind="receivable", document_id=f"doc-{each.name}", amount=cny(each.exposure))


def cny(minor: int) -> Amount:
    return Amount.of(amount_minor=minor, currency="CNY")
