"""What if: hypothetical changes in, every line before and after out; nothing is touched."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.credit import queries
from services.credit.schemas import WhatIfIn
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()


@router.post("/programmes/{programme_id}/what-if")
async def suppose_changes(
    programme_id: str, body: WhatIfIn, database: Db, _: Annotated[Caller, access(*BANK)]
) -> dict[str, Any]:
    """Compare every line of a programme before and after changes that nobody made; nothing is written.

    Drawdowns that would be frozen or trapped, liquidity gaps and expected loss are the programme's own: what the
    changes would do to other programmes of the same firms is not looked at.
    """
    changes = [each.supposed() for each in body.changes]
    return await queries.what_if(database, programme_id=parse_id(programme_id), changes=changes, limit=body.limit)


@router.get("/programmes/{programme_id}/what-if")
async def read_what_if(
    programme_id: str,
    database: Db,
    caller: Annotated[Caller, access(*BANK)],
    asked: Annotated[str, Query(max_length=8000, examples=['{"changes": []}'])],
) -> dict[str, Any]:
    """Compare like the POST, the same body in the query: it only reads, so a page's cookie is enough."""
    try:
        body = WhatIfIn.model_validate_json(asked)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
    return await suppose_changes(programme_id, body, database, caller)
