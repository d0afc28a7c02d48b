"""Routes of uploads of many: a file of rows streams in and is answered 202; progress, answers and the file itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from services.receivables import queries
from services.receivables.domain.rows import template
from services.receivables.operations.read_upload import CSV, NDJSON, UnsupportedMediaType
from services.receivables.operations.receive_uploads import receive_upload
from services.receivables.queries.upload_list import uploads as all_uploads
from services.receivables.schemas import UploadPage
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import party_of
from shared.web.serving import Db

uploads = APIRouter()
# What comes in by the way that keeps it in parts may be larger than what comes whole.
LARGEST_BYTES = 1024**3
STREAMED = {("POST", "/receivables/v1/uploads"): LARGEST_BYTES}
File = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Limit = Annotated[int, Query(ge=1, le=500)]
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]
_Sender = Annotated[Caller, access("erp", "anchor_maker", "sme", "bank_maker")]


@uploads.post("/uploads", status_code=202)
async def post_upload(request: Request, database: Db, caller: _Sender, file: File = "") -> Response:
    """Take in a file of invoices, a row each: CSV (`text/csv`) or JSON objects, one a line (`application/x-ndjson`).

    The body is the file, up to 1 GiB; a CSV's header is the template's, its encoding UTF-8 or GB18030, its cells apart
    by commas, semicolons or tabs. It is answered 202 as soon as it is kept, with where its progress stands. A file that
    is no such table is refused there as a whole; else each row is answered, by its number.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in CSV | NDJSON:
        raise UnsupportedMediaType(media_type=media_type, supported=CSV | NDJSON)
    upload_id = await receive_upload(
        database,
        pieces=request.stream(),
        media_type=media_type,
        file=file,
        party=party_of(caller),
        actor=caller.subject,
    )
    return kept(upload_id)


@uploads.get("/uploads")
async def list_uploads(
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> UploadPage:
    """List uploads of many and how far each is, newest first."""
    found = await all_uploads(database, before=read_cursor(cursor), limit=limit)
    return UploadPage.model_validate(found)


@uploads.get("/uploads/template")
async def read_template(caller: _Reader, language: Literal["en", "zh"] = "en") -> Response:
    """Return an empty CSV to fill in, its header in English or Chinese."""
    del caller
    headers = {"content-disposition": 'attachment; filename="invoices.csv"'}
    return Response(template(language), media_type="text/csv; charset=utf-8", headers=headers)


@uploads.get("/uploads/{upload_id}")
async def read_upload(upload_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read how far an upload of many documents is; a party reads what was sent for it."""
    return await queries.upload(database, upload_id=parse_id(upload_id), party=party_of(caller))


@uploads.get("/uploads/{upload_id}/items")
async def list_upload_items(
    upload_id: str, database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List what became of each document of an upload, in the archive's order; of each row, by its number from 1."""
    return await queries.upload_items(
        database, upload_id=parse_id(upload_id), after=read_cursor(cursor), limit=limit, party=party_of(caller)
    )


@uploads.get("/uploads/{upload_id}/original")
async def read_uploaded(upload_id: str, database: Db, caller: _Reader) -> Response:
    """Read the file as it was sent, by its sender or the bank; a browser saves it and opens nothing."""
    sha256, pieces = await queries.sent(database, upload_id=parse_id(upload_id), party=party_of(caller))
    headers = {"content-disposition": f'attachment; filename="{sha256}"', "etag": f'"{sha256}"'}
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


def kept(upload_id: str) -> Response:
    """Return the answer to an upload that is kept: where its progress and its answers are read."""
    where = f"/receivables/v1/uploads/{upload_id}"
    body = {"upload_id": upload_id, "state": "waiting", "progress": where, "items": f"{where}/items"}
    return JSONResponse(body, status_code=202, headers={"location": where})
