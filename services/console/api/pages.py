"""The pages: sign in, the feed, exposure, drawdowns, loans, what if, explanations."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from services.console import queries
from services.console.api.cursors import Subject, line_key, line_of, moment_of
from services.console.api.languages import language_of
from services.console.api.rendering import render, summarise, words_of
from services.console.domain.loans import position
from shared.storage.paging import page, read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, COOKIE, Caller, access, public
from shared.web.problems import Problem
from shared.web.serving import Db

router = APIRouter(include_in_schema=False)
SIGN_IN, FIRST = "/console/", "/console/today"
# Where a sign-in may lead to, as onboarding bounds it: a page of ours and nothing else.
PAGE = re.compile(r"/console/[A-Za-z0-9/?&=%._~-]{1,500}")
_ROWS, _LINES_EACH, _PROGRAMMES, _MOST = 100, 25, 50, 500
_UNAUTHORISED = 401
Handler = Callable[[Request, Exception], Awaitable[Response]]


@router.get("/console", dependencies=[public()])
@router.get(SIGN_IN, dependencies=[public()])
async def sign_in(request: Request) -> Response:
    """Show the sign-in form, which leads back to where the reader wanted to go."""
    wanted = request.query_params.get("next", "")
    return render(request, "sign_in.html", following=wanted if PAGE.fullmatch(wanted) else FIRST)


@router.post("/console/sign-out", dependencies=[public()])
async def sign_out() -> Response:
    """Forget the reader's token: it needs none, for it gives nothing away."""
    response = RedirectResponse(SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/console/feed")
async def feed(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    cursor: str | None = None,
    subject: Subject = "",
) -> Response:
    """Show the last events, or those before a moment, or those of one subject."""
    # Read first: what commits between the two statements comes by the stream, so nothing is missed.
    newest = await queries.feed_end(database)
    time, position = moment_of(cursor)
    rows = await queries.feed_before(database, time=time, position=position, subject=subject, limit=_ROWS + 1)
    shown = page(rows, limit=_ROWS, key=lambda row: f"{row['time'].isoformat()}/{row['position']}")
    told = await summarise(database, shown["items"], reader=language_of(request))
    return render(
        request,
        "feed.html",
        events=told,
        following=shown["next"],
        newest=newest,
        subject=subject,
        live=not cursor,
    )


@router.get("/console/exposure")
async def exposure(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    programme: str | None = None,
    cursor: str | None = None,
) -> Response:
    """Show programmes with their first lines, or all lines of one programme."""
    following, lines = None, []
    if programme:
        chosen = parse_id(programme)
        found = await queries.programme(database, programme_id=chosen)
        programmes = [found] if found else []
        place, line_id = line_of(cursor)[1:]
        rows = await queries.lines(database, programme_id=chosen, place=place, line_id=line_id, limit=_ROWS + 1)
        shown = page(rows, limit=_ROWS, key=line_key)
        lines, following = shown["items"], shown["next"]
    else:
        rows = await queries.programmes(database, after=read_cursor(cursor), limit=_PROGRAMMES + 1)
        shown = page(rows, limit=_PROGRAMMES, key=lambda row: str(row["programme_id"]))
        programmes, following = shown["items"], shown["next"]
        ids = [row["programme_id"] for row in programmes]
        lines = await queries.first_lines(database, programme_ids=ids, limit=_LINES_EACH)
    by_programme = {key: list(group) for key, group in groupby(lines, key=lambda row: row["programme_id"])}
    return render(
        request,
        "exposure.html",
        totals=await queries.totals(database),
        open_date=await queries.open_date(database),
        programmes=programmes,
        lines=by_programme,
        chosen=programme,
        following=following,
    )


@router.get("/console/drawdowns")
async def drawdowns(
    request: Request, database: Db, _: Annotated[Caller, access(*BANK)], cursor: str | None = None
) -> Response:
    """Show drawdowns with their loans, newest first."""
    rows = await queries.drawdowns(database, before=read_cursor(cursor), limit=_ROWS + 1)
    shown = page(rows, limit=_ROWS, key=lambda row: str(row["drawdown_id"]))
    return render(request, "drawdowns.html", drawdowns=shown["items"], following=shown["next"])


@router.get("/console/loans/{loan_id}")
async def loan(loan_id: str, request: Request, database: Db, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show a loan: its instalments, what is due of it, paid and overdue, and what was agreed."""
    found = await queries.loan(database, loan_id=parse_id(loan_id), receipts=_ROWS)
    if found is None:
        raise Problem(status=404, code="not_found", detail="There is no such loan.")
    row, receipts = found
    open_date = await queries.open_date(database)
    where = position(row["standing"], on=open_date) if row["standing"] else None
    return render(request, "loan.html", loan=row, where=where, receipts=receipts, open_date=open_date)


@router.get("/console/receipts/{collection_id}")
async def receipt(collection_id: str, request: Request, database: Db, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show a receipt, and the form by which a maker proposes what becomes of what waits of it."""
    found = await queries.receipt(database, collection_id=parse_id(collection_id))
    if found is None:
        raise Problem(status=404, code="not_found", detail="There is no such receipt.")
    return render(request, "receipt.html", receipt=found)


@router.get("/console/what-if")
async def what_if(
    request: Request, database: Db, _: Annotated[Caller, access(*BANK)], programme: str | None = None
) -> Response:
    """Show what may be supposed of a programme; the browser asks credit what it would do."""
    programmes = await queries.programmes(database, after="", limit=_MOST)
    chosen = parse_id(programme) if programme else next((row["programme_id"] for row in programmes), None)
    firms = await queries.firms_of(database, programme_id=chosen, limit=_MOST) if chosen else []
    return render(
        request,
        "what_if.html",
        programmes=programmes,
        chosen=chosen,
        currency=next((row["currency"] for row in programmes if row["programme_id"] == chosen), None),
        firms=[(row["enterprise_id"], row["name"] or row["enterprise_id"]) for row in firms],
        names={row["enterprise_id"]: row["name"] or row["enterprise_id"] for row in firms},
        words=words_of(request),
    )


@router.get("/console/explanation")
async def explanation(request: Request, _: Annotated[Caller, access(*BANK)], line: str) -> Response:
    """Show where a line's explanation is asked for; the browser asks credit."""
    return render(request, "explanation.html", line=parse_id(line), words=words_of(request))


def _sign_in_for(request: Request) -> str:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{SIGN_IN}?{urlencode({'next': wanted})}" if PAGE.fullmatch(wanted) else SIGN_IN


def install_pages(app: FastAPI) -> None:
    """Show a person a page where a program gets a problem document; without a token, the sign-in form."""

    def as_page(handler: Handler) -> Handler:
        async def answer(request: Request, error: Exception) -> Response:
            response = await handler(request, error)
            accepts = request.headers.get("accept", "")
            if "text/html" not in accepts or request.url.path.startswith("/console/v1"):
                return response
            if response.status_code == _UNAUTHORISED:
                return RedirectResponse(_sign_in_for(request), status_code=303, headers={"cache-control": "no-store"})
            problem = json.loads(bytes(response.body))
            return render(request, "problem.html", status=response.status_code, problem=problem)

        return answer

    handlers: dict[Any, Any] = dict(app.exception_handlers)
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, as_page(handler))
