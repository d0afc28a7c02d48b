"""Routes of credit notes: they come in as documents do; here they are read, and decided where they wait."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.receivables.operations.decide_notes import decide_note
from services.receivables.operations.once import once
from services.receivables.queries import credit_notes as reading
from services.receivables.schemas import NoteDecisionIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, party_of
from shared.web.serving import Db

credit_notes = APIRouter(prefix="/credit-notes")
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]


@credit_notes.get("")
async def list_credit_notes(
    database: Db,
    caller: _Reader,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    state: Annotated[str, Query(pattern="^[a-z]{0,20}$")] = "",
) -> dict[str, Any]:
    """List credit notes; a party sees those on what it sells or owes."""
    return await reading.credit_notes(
        database, after=read_cursor(cursor), limit=limit, state=state, party=party_of(caller)
    )


@credit_notes.get("/{credit_note_id}")
async def read_credit_note(credit_note_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a credit note: what it cites, the receivables that it lowers, or why a person must say.

    The bank also reads what a note that waits may mean, and what is in the way of each.
    """
    return await reading.credit_note(database, credit_note_id=parse_id(credit_note_id), party=party_of(caller))


@credit_notes.get("/{credit_note_id}/original")
async def read_note_original(credit_note_id: str, database: Db, caller: _Reader) -> Response:
    """Read the file as it was sent, by its seller, its obligor or the bank; a browser saves it and opens nothing."""
    sha256, content = await reading.original(database, credit_note_id=parse_id(credit_note_id), party=party_of(caller))
    headers = {"content-disposition": f'attachment; filename="{sha256}"', "etag": f'"{sha256}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


@credit_notes.post("/{credit_note_id}/decisions", status_code=201)
async def decide_credit_note(  # noqa: PLR0917 - FastAPI passes each by name
    credit_note_id: str,
    body: NoteDecisionIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("bank_checker")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Say which receivables a waiting note lowers and by how much, or reject it."""
    decided = parse_id(credit_note_id)
    work = partial(
        decide_note,
        credit_note_id=decided,
        lowers=[(each.receivable_id, each.by) for each in body.parts],
        reason=body.reason,
        actor=caller.subject,
    )
    route = f"POST /receivables/v1/credit-notes/{decided}/decisions"
    key = await command_of(request, caller, idempotency_key, route=route)
    return answer_of(await once(database, key=key, status=201, work=work))
