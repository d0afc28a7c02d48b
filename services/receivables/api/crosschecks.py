"""Routes of blind checks with other banks: ask, answer with four eyes, compare, decide. For the bank's people only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from services.receivables.domain.crosscheck_file import Keys
from services.receivables.operations import crosschecks as checking
from services.receivables.operations.sightings import decide_sighting
from services.receivables.queries.crosschecks import crosscheck_file, sightings
from services.receivables.queries.crosschecks import crosschecks as crosscheck_page
from services.receivables.schemas import CrosscheckIn, SightingDecisionIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

crosschecks = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]
_Maker = Annotated[Caller, access("bank_maker")]
_Bank = Annotated[Caller, access(*BANK)]
_Partner = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_NDJSON = "application/x-ndjson"


def _keys(request: Request) -> Keys:
    settings = request.app.state.settings
    return Keys.of(
        institution=settings.institution,
        shared=settings.crosscheck_key.get_secret_value(),
        own=settings.crosscheck_secret.get_secret_value(),
    )


_Keys = Annotated[Keys, Depends(_keys)]


@crosschecks.post("/crosschecks", status_code=201)
async def ask_another_bank(body: CrosscheckIn, database: Db, caller: _Maker, keys: _Keys) -> dict[str, Any]:
    """Write a request to another bank: which of our claims of a period it has as well. It tells it none of them."""
    made = await checking.ask(
        database,
        partner=body.partner,
        issued_from=body.issued_from,
        issued_to=body.issued_to,
        keys=keys,
        actor=caller.subject,
    )
    return {"crosscheck_id": made.crosscheck_id, "points": made.points}


@crosschecks.get("/crosschecks")
async def list_crosschecks(
    database: Db, caller: _Bank, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List the checks that this bank asked for or answers."""
    del caller
    return await crosscheck_page(database, after=read_cursor(cursor), limit=limit)


@crosschecks.get("/crosschecks/{crosscheck_id}/{part}")
async def read_crosscheck_file(
    crosscheck_id: str,
    part: Literal["request", "answer"],
    database: Db,
    caller: Annotated[Caller, access("bank_maker", "bank_checker")],
) -> Response:
    """Read the file that is handed to the other bank; an answer only once a second person has released it."""
    del caller
    named = parse_id(crosscheck_id)
    data = await crosscheck_file(database, crosscheck_id=named, part=part)
    headers = {"content-disposition": f'attachment; filename="{part}-{named}.jsonl"'}
    return Response(data, media_type=_NDJSON, headers=headers)


@crosschecks.post("/crosschecks/answers", status_code=201)
async def propose_crosscheck_answer(
    request: Request, database: Db, caller: _Maker, keys: _Keys, partner: _Partner
) -> dict[str, Any]:
    """Take in another bank's request, the body, and propose to release the answer to it."""
    made, proposal = await checking.propose_answer(
        database, partner=partner, data=await request.body(), keys=keys, actor=caller.subject
    )
    return {"crosscheck_id": made.crosscheck_id, "asked": made.points, "approval": proposal.wire()}


@crosschecks.post("/crosschecks/{crosscheck_id}/comparisons", status_code=201)
async def compare_with_answer(
    crosscheck_id: str, request: Request, database: Db, caller: _Maker, keys: _Keys
) -> dict[str, Any]:
    """Compare another bank's answer, the body, with our request; what it has as well waits for a person."""
    named = parse_id(crosscheck_id)
    seen = await checking.compare(
        database, crosscheck_id=named, data=await request.body(), keys=keys, actor=caller.subject
    )
    return {"crosscheck_id": named, "seen": seen}


@crosschecks.get("/sightings")
async def list_sightings(
    database: Db,
    caller: _Bank,
    cursor: str | None = None,
    limit: _Limit = 100,
    show: Literal["waiting", "all"] = "waiting",
) -> dict[str, Any]:
    """List claims that another bank has as well: those that hold a financing back, or all."""
    del caller
    return await sightings(database, after=read_cursor(cursor), limit=limit, everything=show == "all")


@crosschecks.post("/sightings/{receivable_id}/decisions")
async def decide_on_sighting(
    receivable_id: str,
    body: SightingDecisionIn,
    database: Db,
    caller: Annotated[Caller, access("bank_checker")],
) -> dict[str, Any]:
    """Decide on a claim that another bank has as well: cleared, it can be financed; confirmed, it stays held back."""
    named = parse_id(receivable_id)
    await decide_sighting(
        database, receivable_id=named, decision=body.decision, reason=body.reason, actor=caller.subject
    )
    return {"receivable_id": named, "state": body.decision}
