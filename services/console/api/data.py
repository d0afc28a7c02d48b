"""The JSON beneath the pages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from services.console import queries
from services.console.api.cursors import Position, Subject, line_key, line_of
from services.console.api.languages import language_of
from services.console.api.rendering import summarise
from services.console.schemas import event_out, line_out, programme_out, total_out
from shared.storage.paging import page
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter(prefix="/console/v1")
_Limit = Annotated[int, Query(ge=1, le=500)]
_MOST_PROGRAMMES = 500


@router.get("/events")
async def list_events(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    after: Position = 0,
    subject: Subject = "",
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List events after a position of the feed, oldest first; `next` is the position to go on from, if more is there.

    Who wants to follow asks again with the last item's position.
    """
    rows = await queries.feed_after(database, position=after, subject=subject, limit=limit + 1)
    told = await summarise(database, rows[:limit], reader=language_of(request))
    items = [event_out(row, summary=summary) for row, summary in told]
    return {"items": items, "next": items[-1]["position"] if len(rows) > limit else None}


@router.get("/exposure")
async def read_exposure(
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    programme_id: str | None = None,
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """Read the exposure: totals a currency, programmes, and lines, paged; of one programme or of all."""
    chosen = parse_id(programme_id) if programme_id else ""
    after_programme, place, line_id = line_of(cursor)
    if chosen:
        found = await queries.programme(database, programme_id=chosen)
        programmes = [found] if found else []
        rows = await queries.lines(database, programme_id=chosen, place=place, line_id=line_id, limit=limit + 1)
    else:
        programmes = await queries.programmes(database, after="", limit=_MOST_PROGRAMMES)
        rows = await queries.all_lines(
            database, programme_id=after_programme, place=place, line_id=line_id, limit=limit + 1
        )
    lines = page(rows, limit=limit, key=line_key)
    return {
        "open_date": await queries.open_date(database),
        "totals": [total_out(row) for row in await queries.totals(database)],
        "programmes": [programme_out(row) for row in programmes],
        "items": [line_out(row) for row in lines["items"]],
        "next": lines["next"],
    }
