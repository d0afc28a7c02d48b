"""Receivables' routes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from services.receivables import queries
from services.receivables.domain.documents import EInvoice
from services.receivables.operations import confirm, confirm_orders, dilute, issue_voucher, review, transfer
from services.receivables.operations.once import once
from services.receivables.operations.read_upload import CSV, ZIP, read_invoice
from services.receivables.operations.take_documents import Taken, take_documents
from services.receivables.operations.take_rows import take_rows
from services.receivables.operations.take_uploads import evidence_of, keep_upload
from services.receivables.schemas import (
    ConfirmationIn,
    DilutionIn,
    ReasonIn,
    ReferralDecisionIn,
    TransferIn,
    VoucherIn,
)
from shared.messaging.parked import DECISIONS
from shared.storage.database import Database
from shared.storage.idempotency import Answer, Key
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, Caller, access
from shared.web.problems import Problem
from shared.web.serving import Db

router = APIRouter()
_PARTIES = ("anchor_maker", "anchor_checker", "sme", "erp")
_Limit = Annotated[int, Query(ge=1, le=500)]
_Key = Annotated[str | None, Header()]
_File = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Reader = Annotated[Caller, access(*BANK, *_PARTIES)]


@router.post("/documents")
async def post_document(  # noqa: PLR0917 - FastAPI passes each by name
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("erp", "anchor_maker", "sme", "bank_maker")],
    file: _File = "",
    seller_id: str | None = None,
    obligor_id: str | None = None,
) -> Response:
    """Take in an invoice (UBL 2.1, CII, a Factur-X PDF, JSON), a CSV of invoices, or a ZIP of many.

    The body is the file itself. An e-document is judged by its grammar and its profile's rules, and every finding is
    in the answer. A ZIP is answered 202 with where its progress stands. Bank operations may say who the parties are
    where a file alone does not tell.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await request.body()
    party = _party(caller)
    if media_type in CSV:
        items = await take_rows(database, data=data, file=file, party=party, actor=caller.subject)
        return JSONResponse({"items": items})
    if media_type in ZIP:
        return await _kept(database, data, media_type=media_type, file=file, party=party, actor=caller.subject)
    read = await read_invoice(data, media_type=media_type, name=file)
    if read.invoice is None:
        raise read.error or RuntimeError(file)
    invoice = _named(read.invoice, caller, seller_id=seller_id, obligor_id=obligor_id)
    answers = await take_documents(
        database, documents=[(file, invoice)], party=party, actor=caller.subject, evidence=[evidence_of(read)]
    )
    answer = answers[0]
    if isinstance(answer, Exception):
        raise answer
    return JSONResponse(_taken(answer), status_code=201)


@router.get("/uploads/{upload_id}")
async def read_upload(upload_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read how far an upload of many documents is; a party reads what was sent for it."""
    return await queries.upload(database, upload_id=parse_id(upload_id), party=_party(caller))


@router.get("/uploads/{upload_id}/items")
async def list_upload_items(
    upload_id: str, database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List what became of each document of an upload, in the archive's order."""
    return await queries.upload_items(
        database, upload_id=parse_id(upload_id), after=read_cursor(cursor), limit=limit, party=_party(caller)
    )


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
        database, after=read_cursor(cursor), limit=limit, state=state, party=_party(caller)
    )


@router.get("/receivables/{receivable_id}")
async def read_receivable(receivable_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a receivable."""
    return await queries.receivable(database, receivable_id=parse_id(receivable_id), party=_party(caller))


@router.get("/receivables/{receivable_id}/original")
async def read_original(receivable_id: str, database: Db, caller: _Reader) -> Response:
    """Read the file as it was sent, by its seller, its obligor or the bank; a browser saves it and opens nothing."""
    sha256, content = await queries.original(database, receivable_id=parse_id(receivable_id), party=_party(caller))
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
        party=_own(caller),
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
        database, receivable_id=rejected, reason=body.reason, party=_own(caller), actor=caller.subject
    )
    return await queries.receivable(database, receivable_id=rejected, party=_party(caller))


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
        party=_party(caller),
        actor=caller.subject,
    )
    key = await _command(
        request, caller, idempotency_key, route=f"POST /receivables/v1/receivables/{diluted}/dilutions"
    )
    return _answer(await once(database, key=key, status=201, work=work))


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
        party=_own(caller),
        actor=caller.subject,
    )
    key = await _command(request, caller, idempotency_key, route="POST /receivables/v1/vouchers")
    return _answer(await once(database, key=key, status=201, work=work))


@router.get("/vouchers")
async def list_vouchers(
    database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List vouchers with their slices; a holder sees its own slices."""
    return await queries.vouchers(database, after=read_cursor(cursor), limit=limit, party=_party(caller))


@router.get("/vouchers/{root_id}")
async def read_voucher(root_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a voucher with its slices."""
    return await queries.voucher(database, root_id=parse_id(root_id), party=_party(caller))


@router.post("/vouchers/{root_id}/transfers", status_code=201)
async def offer_transfer(  # noqa: PLR0917 - FastAPI passes each by name
    root_id: str,
    body: TransferIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("sme")],
    idempotency_key: _Key = None,
) -> Response:
    """Offer a part of a slice to another firm, by its holder."""
    root = parse_id(root_id)
    work = partial(
        transfer.offer_transfer,
        root_id=root,
        slice_id=body.slice_id,
        amount=body.amount,
        transferee_id=body.transferee_id,
        trade_reference=body.trade_reference,
        party=_own(caller),
        actor=caller.subject,
    )
    key = await _command(request, caller, idempotency_key, route=f"POST /receivables/v1/vouchers/{root}/transfers")
    return _answer(await once(database, key=key, status=201, work=work))


@router.post("/vouchers/{root_id}/transfers/{transfer_id}/{answer}")
async def answer_transfer(  # noqa: PLR0917 - FastAPI passes each by name
    root_id: str,
    transfer_id: str,
    answer: Literal["accept", "decline"],
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("sme")],
    idempotency_key: _Key = None,
) -> Response:
    """Accept an offered part, by the transferee; or decline it, by either side."""
    root, offered = parse_id(root_id), parse_id(transfer_id)
    operation = transfer.accept_transfer if answer == "accept" else transfer.decline_transfer
    work = partial(operation, root_id=root, transfer_id=offered, party=_own(caller), actor=caller.subject)
    route = f"POST /receivables/v1/vouchers/{root}/transfers/{offered}/{answer}"
    key = await _command(request, caller, idempotency_key, route=route)
    return _answer(await once(database, key=key, status=200, work=work))


@router.get("/transfers")
async def list_transfers(
    database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List transfers of slices; a party sees those it offered or was offered."""
    return await queries.transfers(database, after=read_cursor(cursor), limit=limit, party=_party(caller))


@router.get("/assignments/{drawdown_id}")
async def read_assignment(
    drawdown_id: str, database: Db, caller: Annotated[Caller, access(*BANK, "sme", "erp")]
) -> dict[str, Any]:
    """Read the assignment of documents to a drawdown: its filing and the proof of its notices."""
    return await queries.assignment(database, drawdown_id=parse_id(drawdown_id), party=_party(caller))


@router.get("/notices")
async def list_notices(database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100) -> dict[str, Any]:
    """List the notices of assignment; an obligor reads its own."""
    return await queries.notices(database, after=read_cursor(cursor), limit=limit, party=_party(caller))


router.include_router(
    approvals_router(
        # The bank's people decide on what the bank proposed, parked events; never on an anchor's proposals.
        deciders=("anchor_checker", "bank_maker", "bank_checker"),
        approved={
            confirm.KIND: confirm.confirm,
            confirm_orders.KIND: confirm_orders.confirm_orders,
            issue_voucher.KIND: issue_voucher.issue,
            **DECISIONS,
        },
    )
)


def _party(caller: Caller) -> str | None:
    """Return the enterprise to which a caller is bound, None for the bank's people; Problem for anybody else."""
    return None if caller.is_bank else _own(caller)


def _own(caller: Caller) -> str:
    """Return the enterprise for which a caller speaks; Problem when it speaks for none."""
    if caller.party is None:
        raise Problem(status=403, code="forbidden", detail="This is done for an enterprise; the token names none.")
    return caller.party


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
        "syntax": taken.syntax,
        "profile": taken.profile,
        "original_sha256": taken.evidence.sha256,
        "rules": list(taken.evidence.judgement.packs),
        "findings": taken.evidence.judgement.wire(),
    }


async def _kept(
    database: Database, data: bytes, *, media_type: str, file: str, party: str | None, actor: str
) -> Response:
    upload_id = await keep_upload(database, data=data, media_type=media_type, file=file, party=party, actor=actor)
    where = f"/receivables/v1/uploads/{upload_id}"
    body = {"upload_id": upload_id, "state": "waiting", "progress": where, "items": f"{where}/items"}
    return JSONResponse(body, status_code=202, headers={"location": where})


async def _command(request: Request, caller: Caller, key: str | None, *, route: str) -> Key:
    return Key.of(client=caller.client_id, route=route, key=key, body=await request.body())


def _answer(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, media_type="application/json")
