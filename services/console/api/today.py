"""What a person of the bank sees first: what waits, what is late, what is near its limit, what happened just now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import queries
from services.console.api.cursors import moment_of
from services.console.api.languages import language_of
from services.console.api.rendering import render, summarise, words_of
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter(include_in_schema=False)
_FEW, _QUEUE = 8, 50
# Where two persons of the bank decide; the browser asks each what waits there.
_DECIDING = ("onboarding", "credit", "receivables", "settlement", "console")


@router.get("/console/today")
async def today(request: Request, database: Db, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show what waits, what is late, what is near its limit, and the last events; it comes anew by itself."""
    newest = await queries.feed_end(database)
    time, position = moment_of(None)
    rows = await queries.feed_before(database, time=time, position=position, limit=_FEW)
    return render(
        request,
        "today.html",
        queues=await queries.queues(database, limit=_QUEUE),
        most=_QUEUE,
        few=_FEW,
        open_date=await queries.open_date(database),
        events=await summarise(database, rows, reader=language_of(request)),
        newest=newest,
        subject="",
        live=True,
        keep=_FEW,
        services=_DECIDING,
    )


@router.get("/console/queues")
async def queues(request: Request, database: Db, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show what waits for a person."""
    found = await queries.queues(database, limit=_QUEUE)
    return render(request, "queues.html", queues=found, most=_QUEUE)


@router.get("/console/proposals")
async def proposals(request: Request, _: Annotated[Caller, access(*BANK)]) -> Response:
    """Show what waits for a second person, in every service; the browser asks each."""
    return render(request, "proposals.html", services=_DECIDING, words=words_of(request))
