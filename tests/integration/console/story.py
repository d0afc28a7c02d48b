"""A small chain's story in events: every type at least once, each aggregate in its own order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from services.console.consumers import HANDLERS
from shared.events import credit, onboarding, receivables, risk, settlement
from shared.events.envelope import Event, Received
from shared.events.receivables import Document, Slice
from shared.messaging.applying import Outcome, apply_all
from shared.messaging.inbox_rows import Arrival
from shared.storage.database import Database
from shared.values.money import Amount
from tests.integration.console.blocks_story import blocks
from tests.integration.console.goods_story import lots
from tests.integration.console.life_story import life
from tests.integration.console.limits_story import limits, terms
from tests.integration.console.loans_story import disbursed, overdue, repaid
from tests.integration.console.orders_story import orders

DAY = date(2026, 3, 2)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def identity(number: int) -> str:
    return f"019a0000-0000-7000-8000-{number:012d}"


ANCHOR, SUPPLIER, SECOND, DEALER = (identity(n) for n in range(1, 5))
PROGRAMME, LINE, LINE_2, LINE_3 = (identity(n) for n in range(11, 15))
DRAW, LATE, REFUSED, WAITING, QUIET = (identity(n) for n in range(21, 26))
INVOICE, NOTE, DOUBTFUL, ROOT, LINK, LOOKED_AT = (identity(n) for n in range(31, 37))
NAMES = {ANCHOR: "Jiangnan Motors", SUPPLIER: "Huai River Castings", SECOND: "Tai Lake Moulds", DEALER: "North Dealer"}


def cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")


def _firms() -> list[Event]:
    firms: list[Event] = [
        onboarding.EnterpriseRegistered(
            enterprise_id=each,
            name=name,
            country="CN",
            legal_identifiers={},
            group_head_id=each,
            size_class="large" if each == ANCHOR else "small",
            industry="",
            account=f"ACC-{name[:2]}",
        )
        for each, name in NAMES.items()
    ]
    agreement = onboarding.LineAgreementSigned(
        enterprise_id=SUPPLIER,
        programme_id=PROGRAMME,
        signed_date=DAY,
        expiry_date=DAY + timedelta(days=365),
        committed=cny("0.00"),
    )
    return [
        *firms,
        onboarding.EnterpriseSuspended(enterprise_id=DEALER, reason="court enforcement"),
        onboarding.EnterpriseReinstated(enterprise_id=DEALER),
        agreement,
        onboarding.LinkRecorded(link_id=LINK, supplier_id=SUPPLIER, buyer_id=ANCHOR, traded=cny("6.00"), contract="C"),
    ]


def _programme() -> list[Event]:
    return [
        onboarding.ProgrammeActivated(
            programme_id=PROGRAMME, name="Jiangnan supply", anchor_id=ANCHOR, group_head_id=ANCHOR, terms=terms()
        ),
        onboarding.MemberAdmitted(
            programme_id=PROGRAMME, enterprise_id=SUPPLIER, direction="upstream", anchor_support="0.000000"
        ),
        onboarding.ProgrammeLimitChanged(
            programme_id=PROGRAMME,
            limit=cny("900.00"),
            upstream_limit=cny("900.00"),
            downstream_limit=cny("400.00"),
            reason="annual review",
        ),
        onboarding.ProgrammeLimitIncreased(
            programme_id=PROGRAMME,
            increase_id="increase-1",
            limit=cny("100.00"),
            upstream_limit=cny("100.00"),
            downstream_limit=cny("0.00"),
            valid_from=DAY,
            valid_until=DAY,
            reason="the season",
        ),
        risk.RatingRecorded(
            enterprise_id=SUPPLIER,
            grade="A",
            cap=cny("450.00"),
            multiplier="1.000000",
            risk_spread="0.005000",
            reasons=["steady trade"],
            valid_until=DAY + timedelta(days=365),
            policy_version="officer",
        ),
        *limits(PROGRAMME, (LINE, LINE_2, LINE_3), (SUPPLIER, SECOND, DEALER), anchor_id=ANCHOR),
        *blocks(LINE_3, DEALER, PROGRAMME),
    ]


def _documents() -> list[Event]:
    def invoice(receivable_id: str, number: str, *reasons: str) -> Event:
        return receivables.ReceivableRegistered(
            receivable_id=receivable_id,
            seller_id=SUPPLIER,
            obligor_id=ANCHOR,
            number=number,
            document_type="380",
            syntax="ubl",
            issue_date=DAY,
            due_date=DAY + timedelta(days=60),
            payable=cny("200.00"),
            state="referred" if reasons else "validated",
            reasons=list(reasons),
        )

    def part(number: int, holder_id: str, start: int, end: int) -> Slice:
        return Slice(slice_id=identity(number), start_minor=start, end_minor=end, holder_id=holder_id, state="live")

    return [
        invoice(INVOICE, "INV-1"),
        receivables.ReceivableConfirmed(
            receivable_id=INVOICE,
            seller_id=SUPPLIER,
            obligor_id=ANCHOR,
            financeable=cny("200.00"),
            due_date=DAY + timedelta(days=60),
            undertaking="none",
        ),
        receivables.ReceivableDiluted(
            receivable_id=INVOICE, by=cny("10.00"), financeable=cny("190.00"), reason="credit note 7"
        ),
        receivables.ReceivableSettled(receivable_id=INVOICE),
        invoice(NOTE, "INV-2"),
        receivables.ReceivableRejected(receivable_id=NOTE, reason="not our order"),
        invoice(DOUBTFUL, "INV-3", "payee_is_not_the_seller"),
        invoice(LOOKED_AT, "INV-4", "factored_invoice"),
        receivables.ReceivableAccepted(receivable_id=LOOKED_AT, reason="the factor has released it"),
        receivables.VoucherIssued(
            root_id=ROOT,
            programme_id=PROGRAMME,
            obligor_id=ANCHOR,
            receivable_id=INVOICE,
            face=cny("100.00"),
            maturity_date=DAY + timedelta(days=60),
            slice=part(41, SUPPLIER, 0, 10_000),
        ),
        receivables.VoucherTransferred(
            root_id=ROOT,
            replaced_slice_id=identity(41),
            slices=[part(42, SUPPLIER, 0, 6_000), part(43, SECOND, 6_000, 10_000)],
            trade_reference="PO-9",
        ),
        receivables.VoucherSettled(root_id=ROOT, slice_id=identity(43)),
    ]


def held(drawdown_id: str, line_id: str, enterprise_id: str, principal: str) -> Event:
    return credit.DrawdownHeld(
        drawdown_id=drawdown_id,
        line_id=line_id,
        programme_id=PROGRAMME,
        enterprise_id=enterprise_id,
        obligor_id=ANCHOR,
        principal=cny(principal),
        held=cny(principal),
        documents=[Document(kind="receivable", document_id=INVOICE, amount=cny("190.00"))],
        purpose="raw material",
        expires_at=START + timedelta(minutes=10),
    )


def approved(drawdown_id: str, enterprise_id: str, principal: str) -> Event:
    return credit.DrawdownApproved(
        drawdown_id=drawdown_id,
        form="loan",
        programme_id=PROGRAMME,
        enterprise_id=enterprise_id,
        obligor_id=ANCHOR,
        payee_id=enterprise_id,
        payee_account="ACC-Hu",
        collection_account="COLLECT-1",
        principal=cny(principal),
        face=cny(principal),
        fee=cny("0.00"),
        rate="0.060000",
        penalty_rate="0.090000",
        day_count="ACT/360",
        interest_payer="seller",
        document_due_date=DAY + timedelta(days=60),
        maturity_date=DAY + timedelta(days=65),
        grace_days=3,
        recourse=True,
        purpose="raw material",
        policy_version="2000-01",
    )


def assigned(drawdown_id: str) -> Event:
    return receivables.DocumentsAssigned(
        drawdown_id=drawdown_id,
        documents=[],
        registry_reference="REG-0001",
        registered_at=START,
        notified_at=START,
        notice_digest="0" * 64,
    )


def _repaid_drawdown() -> list[Event]:
    return [
        held(DRAW, LINE, SUPPLIER, "100.00"),
        assigned(DRAW),
        credit.DrawdownReferred(drawdown_id=DRAW, reasons=["above_automatic_approval"]),
        approved(DRAW, SUPPLIER, "100.00"),
        settlement.LoanInstructed(loan_id=DRAW, end_to_end_id="E2E-1", paid_out=cny("100.00")),
        settlement.LoanUnknown(loan_id=DRAW, end_to_end_id="E2E-1"),
        disbursed(DRAW, "100.00", day=DAY),
        credit.DrawdownUtilised(drawdown_id=DRAW, principal=cny("100.00")),
        receivables.DocumentsFinanced(drawdown_id=DRAW),
        *overdue(DRAW, day=DAY),
        *repaid(DRAW, LINE, "40.00", "60.00", day=DAY),
        settlement.LoanCured(loan_id=DRAW, cured_date=DAY + timedelta(days=70)),
        *repaid(DRAW, LINE, "60.00", "0.00", day=DAY),
        credit.DrawdownTopUpDue(
            drawdown_id=DRAW,
            enterprise_id=SUPPLIER,
            lacking=cny("10.00"),
            goods=cny("12.50"),
            outstanding=cny("60.00"),
        ),
        credit.DrawdownTopUpEnded(drawdown_id=DRAW, enterprise_id=SUPPLIER),
        credit.DrawdownRepaid(drawdown_id=DRAW),
        settlement.LoanClosed(loan_id=DRAW, closed_date=DAY + timedelta(days=70)),
        receivables.NoticeDelivered(
            drawdown_id=DRAW,
            notice_id=identity(51),
            obligor_id=ANCHOR,
            means="registered_mail",
            delivered_at=START,
            digest="0" * 64,
            acknowledged=False,
        ),
        receivables.AssignmentSettled(drawdown_id=DRAW),
    ]


def _other_drawdowns() -> list[Event]:
    return [
        held(LATE, LINE, SUPPLIER, "50.00"),
        approved(LATE, SUPPLIER, "50.00"),
        assigned(LATE),
        receivables.DocumentsWithdrawn(drawdown_id=LATE, reason="credit note 8"),
        credit.DrawdownCancellationRequested(drawdown_id=LATE, reason="ordered twice"),
        credit.DrawdownReleased(drawdown_id=LATE, reason="disbursement_failed"),
        disbursed(LATE, "50.00", day=DAY),
        credit.DrawdownUtilised(drawdown_id=LATE, principal=cny("50.00")),
        held(REFUSED, LINE_3, DEALER, "30.00"),
        receivables.AssignmentRefused(drawdown_id=REFUSED, code="document_in_use", reason="document in use"),
        receivables.DocumentsFreed(drawdown_id=REFUSED),
        settlement.LoanInstructed(loan_id=REFUSED, end_to_end_id="E2E-2", paid_out=cny("30.00")),
        settlement.DisbursementFailed(loan_id=REFUSED, reason="account closed"),
        credit.DrawdownReleased(drawdown_id=REFUSED, reason="document_in_use"),
        held(WAITING, LINE, SUPPLIER, "70.00"),
        credit.DrawdownReferred(drawdown_id=WAITING, reasons=["above_automatic_approval"]),
        held(QUIET, LINE_2, SECOND, "20.00"),
        settlement.LoanInstructed(loan_id=QUIET, end_to_end_id="E2E-3", paid_out=cny("20.00")),
        settlement.LoanUnknown(loan_id=QUIET, end_to_end_id="E2E-3"),
    ]


def _nettings() -> list[Event]:
    """One that every party accepts, one that a debt is in the way of, one that is late, one that waits."""
    debt, done, refused, late, waiting = (identity(n) for n in range(51, 56))

    def proposed(netting_id: str) -> Event:
        return settlement.NettingProposed(
            netting_id=netting_id, cleared=cny("180.00"), parties=3, legs=3, accept_by=START + timedelta(days=3)
        )

    def accepted(netting_id: str) -> Event:
        leg = settlement.NettingLeg(receivable_id=debt, debtor_id=SUPPLIER, creditor_id=SECOND, amount=cny("60.00"))
        return settlement.NettingAccepted(netting_id=netting_id, cleared=cny("180.00"), legs=[leg])

    return [
        receivables.ReceivableAcknowledged(
            receivable_id=debt, seller_id=SECOND, obligor_id=SUPPLIER, owed=cny("60.00"), due_date=DAY
        ),
        receivables.ReceivableDisputed(receivable_id=debt, reason="not delivered"),
        receivables.ReceivableDisputeEnded(receivable_id=debt, reason="delivered after all"),
        proposed(done),
        accepted(done),
        receivables.SetOffMade(netting_id=done),
        settlement.NettingSettled(netting_id=done, cleared=cny("180.00"), posting_date=DAY),
        proposed(refused),
        accepted(refused),
        receivables.SetOffRefused(
            netting_id=refused, receivable_id=debt, code="receivable_assigned", reason="it is assigned"
        ),
        settlement.NettingEnded(netting_id=refused, code="obligation_changed", reason="a debt in it has changed"),
        proposed(waiting),
        proposed(late),
        settlement.NettingEnded(netting_id=late, code="netting_too_late", reason="not every party accepted in time"),
    ]


def story() -> list[Event]:
    """Return the events in the order of their happening."""
    return [
        settlement.BusinessDayOpened(open_date=DAY),
        *_firms(),
        *_programme(),
        *_documents(),
        *life([identity(number) for number in range(71, 77)], SUPPLIER, ANCHOR, day=DAY),
        *orders((identity(61), identity(62)), SUPPLIER, ANCHOR, receivable_id=INVOICE, day=DAY),
        *lots((identity(63), identity(64)), SUPPLIER, day=DAY),
        *_repaid_drawdown(),
        *_other_drawdowns(),
        *_nettings(),
        settlement.BusinessDayClosed(closed_date=DAY, open_date=DAY + timedelta(days=1)),
        onboarding.ProgrammeSuspended(programme_id=PROGRAMME, reason="review"),
    ]


def received(events: Sequence[Event]) -> list[Received]:
    """Return the events as a consumer sees them, numbered by aggregate."""
    sequences: dict[tuple[str, str], int] = defaultdict(int)
    told = []
    for nth, event in enumerate(events):
        aggregate = event.topic, event.subject
        sequences[aggregate] += 1
        told.append(
            Received(
                id=identity(1000 + nth),
                type=event.type,
                topic=event.topic,
                subject=event.subject,
                sequence=sequences[aggregate],
                time=START + timedelta(seconds=nth),
                source=event.topic.split(".")[1],
                traceparent=None,
                event=event,
            )
        )
    return told


def interleaved(told: Sequence[Received], *, seed: int) -> list[Received]:
    """Return the events in another order across aggregates, the same within each."""
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    queues: dict[tuple[str, str], list[Received]] = defaultdict(list)
    for each in told:
        queues[each.topic, each.subject].append(each)
    left = [key for key, queue in queues.items() for _ in queue]
    chance.shuffle(left)
    return [queues[key].pop(0) for key in left]


async def apply(database: Database, told: Sequence[Received], *, batch: int = 500) -> list[Outcome]:
    """Apply events by the inbox' own protocol, in batches."""
    outcomes = []
    for start in range(0, len(told), batch):
        arrivals = [Arrival(each, (), b"") for each in told[start : start + batch]]
        async with database.transaction() as tx:
            outcomes.append(await apply_all(tx, arrivals, handlers=HANDLERS))
    return outcomes
