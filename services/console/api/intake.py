"""The pages of intake: documents and credit notes, what waits of them for a person, uploads and how far they are.

What the rules found and how far an upload is, the browser asks receivables; a decision it signs (decision 0039).
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import queries
from services.console.api.rendering import render, words_of
from shared.storage.paging import page, read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.problems import Problem
from shared.web.serving import Db

router = APIRouter(include_in_schema=False)
_ROWS = 100
_State = Literal["", "referred", "validated", "confirmed", "rejected"]
_NoteState = Literal["", "referred", "applied", "rejected"]


@router.get("/console/documents")
async def documents(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    state: _State = "",
    cursor: str | None = None,
) -> Response:
    """Show documents, newest first: all, or those in a state."""
    rows = await queries.documents(database, before=read_cursor(cursor), state=state, limit=_ROWS + 1)
    shown = page(rows, limit=_ROWS, key=lambda row: str(row["receivable_id"]))
    return render(request, "documents.html", documents=shown["items"], following=shown["next"], chosen=state)


@router.get("/console/documents/{receivable_id}")
async def document(receivable_id: str, request: Request, database: Db, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show a document: why it waits and the decision, how it stands to its order, what the rules found."""
    found = await queries.document(database, receivable_id=parse_id(receivable_id))
    if found is None:
        raise Problem(status=404, code="not_found", detail="There is no such document.")
    return render(request, "document.html", document=found, words=words_of(request))


@router.get("/console/credit-notes")
async def credit_notes(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    state: _NoteState = "",
    cursor: str | None = None,
) -> Response:
    """Show credit notes, newest first: all, or those in a state."""
    rows = await queries.credit_notes(database, before=read_cursor(cursor), state=state, limit=_ROWS + 1)
    shown = page(rows, limit=_ROWS, key=lambda row: str(row["credit_note_id"]))
    return render(request, "credit_notes.html", notes=shown["items"], following=shown["next"], chosen=state)


@router.get("/console/credit-notes/{credit_note_id}")
async def credit_note(
    credit_note_id: str, request: Request, database: Db, _: Annotated[Caller, access(*BANK)]
) -> Response:
    """Show a credit note: what it lowers, or why it waits, what it may mean, and the decision."""
    found = await queries.credit_note(database, credit_note_id=parse_id(credit_note_id))
    if found is None:
        raise Problem(status=404, code="not_found", detail="There is no such credit note.")
    return render(request, "credit_note.html", note=found, words=words_of(request))


@router.get("/console/uploads")
async def uploads(request: Request, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show uploads and how far each is; the browser asks receivables."""
    return render(request, "uploads.html", words=words_of(request))


@router.get("/console/uploads/{upload_id}")
async def upload(upload_id: str, request: Request, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show an upload and what became of each document in it; the browser asks receivables."""
    return render(request, "upload.html", upload_id=parse_id(upload_id), words=words_of(request))
