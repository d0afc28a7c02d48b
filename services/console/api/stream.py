"""The live feed: new rows as server-sent events, woken by commits of this process and looking by itself for others'."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Request
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from services.console import queries
from services.console.api.cursors import Position, Subject, position_of
from services.console.api.languages import Language, language_of
from services.console.api.rendering import environment, summarise
from shared.messaging.outbox import forget_waker, waker_of
from shared.storage.database import Database
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()
_LOOK_EVERY_S = 1.0
# A stream ends now and then; the browser comes back by itself with its last id, and its token is checked anew.
_LIFETIME_S = 300.0
_AT_ONCE = 100
_PING_S, _SEND_TIMEOUT_S, _GRACE_S = 15, 5, 2


@router.get("/console/stream", include_in_schema=False)
async def stream(
    request: Request,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    after: Position = 0,
    subject: Subject = "",
) -> EventSourceResponse:
    """Send the rows of the feed after a position, as they come."""
    position = position_of(request.headers.get("last-event-id", ""), otherwise=after)
    closing = anyio.Event()
    rows = _rows(database, position=position, subject=subject, reader=language_of(request), closing=closing)
    return EventSourceResponse(
        rows,
        ping=_PING_S,
        send_timeout=_SEND_TIMEOUT_S,
        shutdown_event=closing,
        shutdown_grace_period=_GRACE_S,
    )


async def _rows(
    database: Database, *, position: int, subject: str, reader: Language, closing: anyio.Event
) -> AsyncIterator[ServerSentEvent]:
    template = environment(reader.code).get_template("row.html")
    waker = waker_of(database.url)
    ends_at = asyncio.get_running_loop().time() + _LIFETIME_S
    try:
        while not closing.is_set() and asyncio.get_running_loop().time() < ends_at:
            waker.clear()
            found = await queries.feed_after(database, position=position, subject=subject, limit=_AT_ONCE)
            for row, summary in await summarise(database, found, reader=reader):
                position = row["position"]
                yield ServerSentEvent(template.render(row=row, summary=summary, fresh=True), id=str(position))
            if not found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await _either(waker, closing)
    finally:
        forget_waker(database.url, waker)


async def _either(waker: asyncio.Event, closing: anyio.Event) -> None:
    waiting = [asyncio.ensure_future(waker.wait()), asyncio.ensure_future(closing.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
