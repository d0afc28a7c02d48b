"""The assignment register: notices and the proof that they reached the obligor; the export for a movables registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from services.receivables.domain.notices import Delivery
from services.receivables.domain.register_form import csv_lines, form, json_lines
from services.receivables.operations.deliver_notices import acknowledge_notice, record_delivery
from services.receivables.operations.register import begin_export
from services.receivables.queries import register as reading
from services.receivables.queries.register import View
from services.receivables.schemas import AcknowledgementIn, NoticeDeliveryIn
from shared.storage.database import Database
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import own_of, party_of
from shared.web.serving import Db

register = APIRouter()
_MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8; header=present"}
_MOST = 2**63 - 1  # of a bigint


@register.get("/assignments/{drawdown_id}")
async def read_assignment(
    drawdown_id: str, database: Db, caller: Annotated[Caller, access(*BANK, "sme", "erp")]
) -> dict[str, Any]:
    """Read the assignment of documents to a drawdown: its filing and the proof of its notices."""
    return await reading.assignment(database, drawdown_id=parse_id(drawdown_id), party=party_of(caller))


@register.get("/notices")
async def list_notices(
    database: Db,
    caller: Annotated[Caller, access(*BANK, *PARTIES)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    show: Literal["all", "undelivered"] = "all",
) -> dict[str, Any]:
    """List the notices of assignment, or those that nothing proves to have arrived; an obligor reads its own."""
    return await reading.notices(
        database,
        after=read_cursor(cursor),
        limit=limit,
        undelivered=show == "undelivered",
        party=party_of(caller),
    )


@register.post("/notices/{notice_id}/deliveries", status_code=201)
async def post_delivery(
    notice_id: str, body: NoticeDeliveryIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Record how and when a notice reached its obligor, with what proves it; the first delivery stands.

    From that moment only payment to the collection account discharges the obligor.
    """
    notice = parse_id(notice_id)
    delivery = Delivery(body.means, body.delivered_at, body.digest, body.proof, body.proof_sha256)
    await record_delivery(database, notice_id=notice, delivery=delivery, actor=caller.subject)
    return await reading.notice(database, notice_id=notice)


@register.post("/notices/{notice_id}/acknowledgements", status_code=201)
async def post_acknowledgement(
    notice_id: str,
    body: AcknowledgementIn,
    database: Db,
    caller: Annotated[Caller, access(*PARTIES)],
) -> dict[str, Any]:
    """Acknowledge a notice, by the obligor: the digest names the text that it read."""
    notice = parse_id(notice_id)
    await acknowledge_notice(database, notice_id=notice, digest=body.digest, party=own_of(caller), actor=caller.subject)
    return await reading.notice(database, notice_id=notice)


@register.get("/register")
async def export_register(  # noqa: PLR0917 - FastAPI passes each by name
    request: Request,
    database: Db,
    caller: Annotated[Caller, access(*BANK)],
    view: View = "changes",
    since: Annotated[int, Query(ge=0, le=_MOST)] = 0,
    file: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl",
) -> Response:
    """Export the register of assignments in the form that a movables registry takes, streamed in its own order.

    `changes` are the registrations, amendments and discharges after the position `since`; `standing` what nothing has
    discharged, as it was stated last. `x-register-position` is how far the export goes: the next one starts there.
    Who exported what is in the audit log.
    """
    newest = await begin_export(database, view=view, since=since, file=file, actor=caller.subject)
    assignee = request.app.state.settings.institution
    lines = _lines(database, view=view, since=since, newest=newest, file=file, assignee=assignee)
    headers = {
        "x-register-position": str(newest),
        "content-disposition": f'attachment; filename="register-{view}-{since}-{newest}.{file}"',
    }
    return StreamingResponse(lines, media_type=_MEDIA[file], headers=headers)


async def _lines(
    database: Database, *, view: View, since: int, newest: int, file: Literal["jsonl", "csv"], assignee: str
) -> AsyncIterator[bytes]:
    if file == "csv":
        yield csv_lines([], header=True)
    async for rows in reading.register_pages(database, view=view, since=since, newest=newest):
        forms = [form(row, assignee=assignee) for row in rows]
        yield json_lines(forms) if file == "jsonl" else csv_lines(forms, header=False)
