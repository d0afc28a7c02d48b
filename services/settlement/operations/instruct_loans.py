"""Instruct the payment of approved drawdowns, or refuse with a reason: then credit releases what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from services.settlement.domain.business_day import BookNotOpen, payment_value_date
from services.settlement.domain.instalments import InvalidPlan, check_plan
from services.settlement.domain.payouts import AlreadyMatured, NothingToPay, Payout, payout
from services.settlement.operations.book import SOURCE, open_day
from shared.events.credit import DrawdownApproved
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseEvent, ProgrammeEvent
from shared.events.settlement import DisbursementFailed, LoanInstructed
from shared.messaging.applying import NotYet
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount
from shared.values.periods import DayCount
from shared.values.rates import parse_rate

_LOAN = """
INSERT INTO loan (loan_id, programme_id, enterprise_id, obligor_id, payee_id, form, currency, principal_minor,
    face_minor, fee_minor, discount_minor, paid_out_minor, holdback_minor, rate, penalty_rate,
    day_count, interest_payer, recourse, document_due_date, maturity_date, grace_days, collection_account,
    seller_account, end_to_end_id, state, reason, plan, early_repayment, next_due_date)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::int[], $15::int[],
    $16::text[], $17::text[], $18::boolean[], $19::date[], $20::date[], $21::int[], $22::text[],
    $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::date[])
"""
_INSTALMENT = """
INSERT INTO instalment (loan_id, nth, due_date, principal_minor)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::date[], $4::bigint[])
"""
_PAYMENT = """
INSERT INTO payment (end_to_end_id, loan_id, purpose, account, currency, amount_minor, value_date)
SELECT end_to_end_id, loan_id, 'disbursement', account, currency, amount_minor, value_date
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::date[])
    AS p(end_to_end_id, loan_id, account, currency, amount_minor, value_date)
"""
_REFERENCE = "INSERT INTO loan_reference (reference, loan_id) SELECT * FROM unnest($1::text[], $2::text[])"
_PROJECTED = """
SELECT a.drawdown_id, p.cut_off, p.zone, e.account, coalesce(d.document_ids, '{}') AS document_ids
FROM unnest($1::text[], $2::text[], $3::text[]) AS a(drawdown_id, programme_id, enterprise_id)
LEFT JOIN programme p ON p.programme_id = a.programme_id
LEFT JOIN enterprise e ON e.enterprise_id = a.enterprise_id
LEFT JOIN drawdown d ON d.drawdown_id = a.drawdown_id
"""


@dataclass(frozen=True, slots=True)
class _Instruction:
    """An approved drawdown with what becomes of it."""

    said: DrawdownApproved
    known: Mapping[str, Any]
    end_to_end_id: str
    instalments: Sequence[tuple[date, int]]
    value_date: date | None
    terms: Payout
    reason: str | None


async def instruct_loans(tx: Transaction, events: Sequence[Received]) -> None:
    """Instruct each approved drawdown once; NotYet until its programme and its seller are known."""
    approved = [event.event for event in events if isinstance(event.event, DrawdownApproved)]
    try:
        open_date = await open_day(tx)
    except BookNotOpen:
        # Nothing can be booked before the book opens, and no money waits in between: the drawdown is refused.
        open_date = None
    known = await _known(tx, approved)
    now = await database_now(tx)
    made = [_instruct(said, known[said.drawdown_id], open_date, now) for said in approved]
    await tx.pg.execute(_LOAN, *by_column([_loan_row(each) for each in made], width=29))
    parts = [(each.said.drawdown_id, *part) for each in made for part in _parts(each)]
    await tx.pg.execute(_INSTALMENT, *by_column(parts, width=4))
    going = [_payment_row(each) for each in made if each.reason is None]
    await tx.pg.execute(_PAYMENT, *by_column(going, width=6))
    references = [
        (reference, each.said.drawdown_id)
        for each in made
        for reference in {each.said.drawdown_id, *each.known["document_ids"]}
    ]
    await tx.pg.execute(_REFERENCE, *by_column(references, width=2))
    await append(tx, [_event(each) for each in made], source=SOURCE)


async def _known(tx: Transaction, approved: Sequence[DrawdownApproved]) -> dict[str, Mapping[str, Any]]:
    # Invoices may be taking the place of an order at this moment: see operations/conversions.py.
    names = sorted(said.drawdown_id for said in approved)
    await tx.pg.execute("SELECT FROM drawdown WHERE drawdown_id = ANY($1) ORDER BY drawdown_id FOR SHARE", names)
    rows = await tx.pg.fetch(
        _PROJECTED,
        [said.drawdown_id for said in approved],
        [said.programme_id for said in approved],
        [said.enterprise_id for said in approved],
    )
    known = {row["drawdown_id"]: row for row in rows}
    for said in approved:
        if known[said.drawdown_id]["zone"] is None:
            raise NotYet(topic=ProgrammeEvent.topic, subject=said.programme_id)
        if known[said.drawdown_id]["account"] is None:
            raise NotYet(topic=EnterpriseEvent.topic, subject=said.enterprise_id)
    return known


def _instruct(said: DrawdownApproved, known: Mapping[str, Any], open_date: date | None, now: datetime) -> _Instruction:
    # Of the drawdown alone: a restored book that instructs it again asks the rail for the payment that it knows.
    end_to_end_id = said.drawdown_id.replace("-", "")
    instalments = [(said.maturity_date, said.principal.minor)]
    terms, reason = Payout(0, 0, 0), None
    if open_date is None:
        return _Instruction(said, known, end_to_end_id, instalments, None, terms, BookNotOpen.code)
    value_date = payment_value_date(instant=now, zone=known["zone"], cut_off=known["cut_off"], open_date=open_date)
    try:
        if said.plan is not None:
            planned = [(each.due_date, each.principal.minor) for each in said.plan.instalments]
            check_plan(planned, principal_minor=said.principal.minor, maturity=said.maturity_date)
            instalments = planned
        terms = payout(
            form=said.form,
            principal_minor=said.principal.minor,
            face_minor=said.face.minor,
            fee_minor=said.fee.minor,
            rate=parse_rate(said.rate),
            day_count=DayCount(said.day_count),
            interest_payer=said.interest_payer,
            value_date=value_date,
            maturity_date=said.maturity_date,
            first_due_date=instalments[0][0],
        )
    except (InvalidPlan, AlreadyMatured, NothingToPay) as refusal:
        reason = refusal.code
    return _Instruction(said, known, end_to_end_id, instalments, value_date, terms, reason)


def _parts(each: _Instruction) -> list[tuple[int, date, int]]:
    return [(nth, due, minor) for nth, (due, minor) in enumerate(each.instalments, start=1)]


def _loan_row(each: _Instruction) -> tuple[Any, ...]:
    said, terms = each.said, each.terms
    return (
        said.drawdown_id,
        said.programme_id,
        said.enterprise_id,
        said.obligor_id,
        said.payee_id,
        said.form,
        said.principal.currency,
        said.principal.minor,
        said.face.minor,
        said.fee.minor,
        terms.discount_minor,
        terms.paid_out_minor,
        terms.holdback_minor,
        parse_rate(said.rate),
        parse_rate(said.penalty_rate),
        DayCount(said.day_count).value,
        said.interest_payer,
        said.recourse,
        said.document_due_date,
        said.maturity_date,
        said.grace_days,
        said.collection_account,
        each.known["account"],
        each.end_to_end_id,
        "failed" if each.reason else "instructed",
        each.reason,
        said.plan.kind if said.plan else "bullet",
        said.plan.early_repayment if said.plan else "shorten",
        each.instalments[0][0],
    )


def _payment_row(each: _Instruction) -> tuple[Any, ...]:
    said = each.said
    return (
        each.end_to_end_id,
        said.drawdown_id,
        said.payee_account,
        said.principal.currency,
        each.terms.paid_out_minor,
        each.value_date,
    )


def _event(each: _Instruction) -> Event:
    if each.reason:
        return DisbursementFailed(loan_id=each.said.drawdown_id, reason=each.reason)
    paid_out = Amount.of(amount_minor=each.terms.paid_out_minor, currency=each.said.principal.currency)
    return LoanInstructed(loan_id=each.said.drawdown_id, end_to_end_id=each.end_to_end_id, paid_out=paid_out)
