"""Receivables' routes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from services.receivables import queries
from services.receivables.api.uploads import File, kept
from services.receivables.domain.documents import EInvoice
from services.receivables.operations import (
    batches,
    cancel,
    confirm,
    confirm_orders,
    crosschecks,
    dilute,
    document_assent,
    issue_voucher,
    pledge_goods,
    review,
)
from services.receivables.operations.intake import take_all
from services.receivables.operations.once import once
from services.receivables.operations.originals import Evidence
from services.receivables.operations.read_upload import CSV, ZIP, read_invoice
from services.receivables.operations.receive_uploads import keep_upload
from services.receivables.operations.take_documents import Taken
from services.receivables.operations.take_notes import TakenNote
from services.receivables.operations.take_rows import take_rows
from services.receivables.operations.take_uploads import evidence_of
from services.receivables.schemas import (
    ConfirmationIn,
    DilutionIn,
    ReasonIn,
    ReferralDecisionIn,
    VoucherIn,
)
from shared.messaging.parked import DECISIONS
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, own_of, party_of
from shared.web.problems import Problem
from shared.web.serving import Db

router = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]
_Key = Annotated[str | None, Header()]
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]


@router.post("/documents")
async def post_document(  # noqa: PLR0917 - FastAPI passes each by name
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("erp", "anchor_maker", "sme", "bank_maker")],
    file: File = "",
    seller_id: str | None = None,
    obligor_id: str | None = None,
) -> Response:
    """Take in an invoice or credit note (UBL 2.1, CII, a Factur-X PDF, JSON), a CSV of them, or a ZIP of many.

    A credit note lowers the receivables that it cites, or waits for a person who says which.
    The body is the file itself. An e-document is judged by its grammar and its profile's rules, and every finding is
    in the answer. A ZIP is answered 202 with where its progress stands. Bank operations may say who the parties are
    where a file alone does not tell.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await request.body()
    party = party_of(caller)
    if media_type in CSV:
        items = await take_rows(database, data=data, file=file, party=party, actor=caller.subject)
        return JSONResponse({"items": items})
    if media_type in ZIP:
        upload_id = await keep_upload(
            database, data=data, media_type=media_type, file=file, party=party, actor=caller.subject
        )
        return kept(upload_id)
    read = await read_invoice(data, media_type=media_type, name=file)
    if read.invoice is None:
        raise read.error or RuntimeError(file)
    invoice = _named(read.invoice, caller, seller_id=seller_id, obligor_id=obligor_id)
    async with database.transaction() as tx:
        (answer,) = await take_all(
            tx, documents=[(file, invoice)], party=party, actor=caller.subject, evidence=[evidence_of(read)]
        )
        if isinstance(answer, Exception):
            raise answer
    return JSONResponse(_note(answer) if isinstance(answer, TakenNote) else _taken(answer), status_code=201)


@router.get("/receivables")
async def list_receivables(
    database: Db,
    caller: _Reader,
    cursor: str | None = None,
    limit: _Limit = 100,
    state: Annotated[str, Query(pattern="^[a-z]{0,20}$")] = "",
) -> dict[str, Any]:
    """List receivables; a party sees those it sells or owes."""
    return await queries.receivables(
        database, after=read_cursor(cursor), limit=limit, state=state, party=party_of(caller)
    )


@router.get("/receivables/{receivable_id}")
async def read_receivable(receivable_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a receivable."""
    return await queries.receivable(database, receivable_id=parse_id(receivable_id), party=party_of(caller))


@router.get("/receivables/{receivable_id}/original")
async def read_original(receivable_id: str, database: Db, caller: _Reader) -> Response:
    """Read the file as it was sent, by its seller, its obligor or the bank; a browser saves it and opens nothing."""
    sha256, content = await queries.original(database, receivable_id=parse_id(receivable_id), party=party_of(caller))
    headers = {"content-disposition": f'attachment; filename="{sha256}"', "etag": f'"{sha256}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post("/confirmations", status_code=201)
async def propose_confirmation(
    body: ConfirmationIn, database: Db, caller: Annotated[Caller, access("anchor_maker")]
) -> dict[str, Any]:
    """Propose to confirm receivables, by the obligor's maker."""
    proposal = await confirm.propose_confirmation(
        database,
        receivable_ids=body.receivable_ids,
        undertaking=body.undertaking,
        due_date=body.due_date,
        party=own_of(caller),
        actor=caller.subject,
    )
    return proposal.wire()


@router.post("/receivables/{receivable_id}/rejections")
async def reject(
    receivable_id: str,
    body: ReasonIn,
    database: Db,
    caller: Annotated[Caller, access("anchor_maker", "anchor_checker")],
) -> dict[str, Any]:
    """Reject a receivable, by its obligor."""
    rejected = parse_id(receivable_id)
    await review.reject_receivable(
        database, receivable_id=rejected, reason=body.reason, party=own_of(caller), actor=caller.subject
    )
    return await queries.receivable(database, receivable_id=rejected, party=party_of(caller))


@router.post("/receivables/{receivable_id}/referral-decisions")
async def decide_referral(
    receivable_id: str, body: ReferralDecisionIn, database: Db, caller: Annotated[Caller, access("bank_checker")]
) -> dict[str, Any]:
    """Decide on a document that waits for a person."""
    decided = parse_id(receivable_id)
    await review.decide_referral(
        database, receivable_id=decided, decision=body.decision, reason=body.reason, actor=caller.subject
    )
    return await queries.receivable(database, receivable_id=decided, party=None)


@router.post("/receivables/{receivable_id}/dilutions", status_code=201)
async def post_dilution(  # noqa: PLR0917 - FastAPI passes each by name
    receivable_id: str,
    body: DilutionIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("anchor_maker", "erp", "bank_maker")],
    idempotency_key: _Key = None,
) -> Response:
    """Take a credit note or set-off off a receivable."""
    diluted = parse_id(receivable_id)
    work = partial(
        dilute.dilute_receivable,
        receivable_id=diluted,
        amount=body.amount,
        reason=body.reason,
        reference=body.reference,
        party=party_of(caller),
        actor=caller.subject,
    )
    key = await command_of(
        request, caller, idempotency_key, route=f"POST /receivables/v1/receivables/{diluted}/dilutions"
    )
    return answer_of(await once(database, key=key, status=201, work=work))


@router.post("/vouchers", status_code=201)
async def propose_voucher(
    body: VoucherIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("anchor_maker")],
    idempotency_key: _Key = None,
) -> Response:
    """Propose to issue a voucher over a confirmed payable."""
    work = partial(
        issue_voucher.propose_voucher,
        programme_id=body.programme_id,
        receivable_id=body.receivable_id,
        party=own_of(caller),
        actor=caller.subject,
    )
    key = await command_of(request, caller, idempotency_key, route="POST /receivables/v1/vouchers")
    return answer_of(await once(database, key=key, status=201, work=work))


@router.get("/vouchers")
async def list_vouchers(
    database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List vouchers with their slices; a holder sees its own slices."""
    return await queries.vouchers(database, after=read_cursor(cursor), limit=limit, party=party_of(caller))


@router.get("/vouchers/{root_id}")
async def read_voucher(root_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a voucher with its slices."""
    return await queries.voucher(database, root_id=parse_id(root_id), party=party_of(caller))


router.include_router(
    approvals_router(
        # The bank's people decide on what the bank proposed, parked events; never on an anchor's proposals.
        deciders=("anchor_checker", "bank_maker", "bank_checker"),
        approved={
            batches.KIND: batches.confirm_batch,
            cancel.KIND: cancel.assent,
            confirm.KIND: confirm.confirm,
            confirm_orders.KIND: confirm_orders.confirm_orders,
            document_assent.KIND: document_assent.take_assent,
            issue_voucher.KIND: issue_voucher.issue,
            pledge_goods.PLEDGE: pledge_goods.agree_pledge,
            pledge_goods.RELEASE: pledge_goods.give_back,
            crosschecks.KIND: crosschecks.release_answer,
            **DECISIONS,
        },
        declined={batches.KIND: batches.decline_batch, crosschecks.KIND: crosschecks.decline_answer},
    )
)


def _named(invoice: EInvoice, caller: Caller, *, seller_id: str | None, obligor_id: str | None) -> EInvoice:
    if seller_id is None and obligor_id is None:
        return invoice
    if not caller.is_bank:
        detail = "Only bank operations may say who the parties of a document are."
        raise Problem(status=403, code="forbidden", detail=detail)
    seller, buyer = invoice.seller, invoice.buyer
    if seller_id is not None:
        seller = replace(seller, enterprise_id=parse_id(seller_id))
    if obligor_id is not None:
        buyer = replace(buyer, enterprise_id=parse_id(obligor_id))
    return replace(invoice, seller=seller, buyer=buyer)


def _note(taken: TakenNote) -> dict[str, Any]:
    note, invoice = taken.note, taken.invoice
    return {
        "file": taken.file,
        "credit_note_id": taken.credit_note_id,
        "state": taken.state,
        "reasons": list(taken.reasons),
        "parts": [{"receivable_id": each.receivable_id, "by": each.by.wire()} for each in taken.parts],
        "seller_id": note.seller_id,
        "obligor_id": note.obligor_id,
        "number": note.number,
        "document_type": invoice.document_type,
        "amount": note.amount.wire(),
        "issue_date": invoice.issue_date.isoformat(),
        **_judged(invoice.syntax, invoice.profile, taken.evidence),
    }


def _taken(taken: Taken) -> dict[str, Any]:
    return {
        "file": taken.file,
        "receivable_id": taken.receivable_id,
        "state": taken.state,
        "reasons": list(taken.reasons),
        "seller_id": taken.seller_id,
        "obligor_id": taken.obligor_id,
        "number": taken.number,
        "document_type": taken.document_type,
        "payable": taken.payable.wire(),
        "issue_date": taken.issue_date.isoformat(),
        "due_date": taken.due_date.isoformat(),
        **_judged(taken.syntax, taken.profile, taken.evidence),
    }


def _judged(syntax: str, profile: str, evidence: Evidence) -> dict[str, Any]:
    return {
        "syntax": syntax,
        "profile": profile,
        "original_sha256": evidence.sha256,
        "rules": list(evidence.judgement.packs),
        "findings": evidence.judgement.wire(),
    }
