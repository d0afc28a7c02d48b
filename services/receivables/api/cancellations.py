"""Routes of cancellations that wait for their obligors, and of assents that the bank documents for these."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.receivables.domain.assents import Assent
from services.receivables.operations.document_assent import document_assent
from services.receivables.operations.once import once
from services.receivables.queries.cancellations import cancellations as waiting
from services.receivables.schemas import AssentIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.callers import answer_of, command_of
from shared.web.serving import Db

cancellations = APIRouter(prefix="/cancellations")


@cancellations.get("")
async def list_cancellations(
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """List the cancellations that wait for their obligors' assent, oldest first."""
    return await waiting(database, after=read_cursor(cursor), limit=limit)


@cancellations.post("/{approval_id}/assents", status_code=201)
async def post_assent(  # noqa: PLR0917 - FastAPI passes each by name
    approval_id: str,
    body: AssentIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("bank_maker")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Document that an obligor without checkers here assents to a cancellation; a second person of the bank decides."""
    asked = parse_id(approval_id)
    assent = Assent(body.given_date, body.signed_by, body.means, body.proof, body.proof_sha256)
    work = partial(document_assent, approval_id=asked, assent=assent, actor=caller.subject)
    route = f"POST /receivables/v1/cancellations/{asked}/assents"
    key = await command_of(request, caller, idempotency_key, route=route)
    return answer_of(await once(database, key=key, status=201, work=work))
