"""Routes of what happens to a receivable between its parties: payments, cancellation."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from services.receivables.operations.cancel import cancel_receivable
from services.receivables.operations.once import once
from services.receivables.operations.pay import pay_seller
from services.receivables.queries import payments as reading
from services.receivables.queries import receivable
from services.receivables.schemas import PaymentIn, ReasonIn
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, own_of, party_of
from shared.web.serving import Db

life = APIRouter(prefix="/receivables/{receivable_id}")
_Key = Annotated[str | None, Header()]


@life.post("/payments", status_code=201)
async def post_payment(  # noqa: PLR0917 - FastAPI passes each by name
    receivable_id: str,
    body: PaymentIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("sme", "erp", "anchor_maker", "bank_maker")],
    idempotency_key: _Key = None,
) -> Response:
    """Say that the obligor paid the seller, by either of them or by the bank.

    Once notice of an assignment has reached the obligor, such a payment discharges nothing: only the bank may record
    one that was made before.
    """
    paid = parse_id(receivable_id)
    work = partial(
        pay_seller,
        receivable_id=paid,
        amount=body.amount,
        paid_date=body.paid_date,
        reference=body.reference,
        party=party_of(caller),
        actor=caller.subject,
    )
    key = await command_of(request, caller, idempotency_key, route=f"POST /receivables/v1/receivables/{paid}/payments")
    return answer_of(await once(database, key=key, status=201, work=work))


@life.post("/cancellations")
async def post_cancellation(
    receivable_id: str,
    body: ReasonIn,
    database: Db,
    caller: Annotated[Caller, access("sme", "erp", "anchor_maker")],
) -> dict[str, Any]:
    """Take a receivable back, by its seller; what the obligor has confirmed waits for its assent, as an approval."""
    cancelled, party = parse_id(receivable_id), own_of(caller)
    waits = await cancel_receivable(
        database, receivable_id=cancelled, reason=body.reason, party=party, actor=caller.subject
    )
    return {**await receivable(database, receivable_id=cancelled, party=party), "approval_id": waits}


@life.get("/payments")
async def list_payments(
    receivable_id: str, database: Db, caller: Annotated[Caller, access(*BANK, *PARTIES)]
) -> dict[str, Any]:
    """List what was paid on a receivable, and how that stands to what was to be paid."""
    return await reading.payments(database, receivable_id=parse_id(receivable_id), party=party_of(caller))
