"""Routes by which an obligor decides on many receivables at once: confirmed by two persons, rejected by one."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from services.receivables.domain.documents import FIRST_YEAR, LAST_YEAR
from services.receivables.operations import batches as deciding
from services.receivables.operations.choose import Filter, read_list
from services.receivables.queries import batches as reading
from services.receivables.schemas import ChoiceIn, ConfirmationBatchIn, RejectionBatchIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import own_of, party_of
from shared.web.serving import Db

batches = APIRouter()
_Maker = Annotated[Caller, access("anchor_maker")]
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]
_Day = Annotated[date | None, Query(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))]


@batches.post("/confirmation-batches", status_code=201)
async def propose_batch(body: ConfirmationBatchIn, database: Db, caller: _Maker) -> dict[str, Any]:
    """Propose to confirm up to 10,000 receivables, by a filter or by their ids: listed one by one, with their sum.

    A second person approves exactly that list. What cannot be confirmed, now or then, says why in its place.
    """
    party = own_of(caller)
    batch_id = await deciding.propose_batch(
        database,
        asked=_asked(body),
        undertaking=body.undertaking,
        due_date=body.due_date,
        party=party,
        actor=caller.subject,
    )
    return await reading.batch(database, batch_id=batch_id, party=party)


@batches.post("/confirmation-lists", status_code=201)
async def propose_list(
    request: Request,
    database: Db,
    caller: _Maker,
    undertaking: Literal["none", "irrevocable"],
    due_date: _Day = None,
) -> dict[str, Any]:
    """Propose to confirm the receivables of a CSV list with the header seller_id,number; the body is the list."""
    party = own_of(caller)
    batch_id = await deciding.propose_batch(
        database,
        asked=read_list(await request.body()),
        undertaking=undertaking,
        due_date=due_date,
        party=party,
        actor=caller.subject,
    )
    return await reading.batch(database, batch_id=batch_id, party=party)


@batches.post("/rejection-batches", status_code=201)
async def reject_batch(
    body: RejectionBatchIn, database: Db, caller: Annotated[Caller, access("anchor_maker", "anchor_checker")]
) -> dict[str, Any]:
    """Reject up to 10,000 receivables that are not confirmed, by a filter or by their ids, with a code and in words."""
    party = own_of(caller)
    batch_id = await deciding.reject_batch(
        database, asked=_asked(body), code=body.code, reason=body.reason, party=party, actor=caller.subject
    )
    return await reading.batch(database, batch_id=batch_id, party=party)


@batches.get("/decision-batches/{batch_id}")
async def read_batch(batch_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read what was decided together: its sums, and how many came to what."""
    return await reading.batch(database, batch_id=parse_id(batch_id), party=party_of(caller))


@batches.get("/decision-batches/{batch_id}/items")
async def list_batch_items(  # noqa: PLR0917 - FastAPI passes each by name
    batch_id: str,
    database: Db,
    caller: _Reader,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    outcome: Literal["", "proposed", "confirmed", "rejected", "left", "refused"] = "",
) -> dict[str, Any]:
    """List what became of each receivable, in the order of the list."""
    return await reading.batch_items(
        database,
        batch_id=parse_id(batch_id),
        after=read_cursor(cursor),
        limit=limit,
        outcome=outcome,
        party=party_of(caller),
    )


def _asked(body: ChoiceIn) -> Filter | list[str]:
    if body.filter is not None:
        chosen = body.filter
        return Filter(chosen.seller_id, chosen.due_from, chosen.due_until, chosen.each_up_to)
    return [str(each) for each in body.receivable_ids or ()]
