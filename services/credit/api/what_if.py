"""What if: hypothetical changes in, every line before and after out; nothing is touched."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from services.credit import queries
from services.credit.queries import Asked, Wish
from services.credit.schemas import WhatIfIn, WhatIfOfAllIn
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()
B = TypeVar("B", bound=BaseModel)
_JSON, _NDJSON = "application/json", "application/x-ndjson"
_Asked = Annotated[str, Query(max_length=8000, examples=['{"changes": []}'])]


@router.post("/programmes/{programme_id}/what-if")
async def suppose_changes(
    programme_id: str, body: WhatIfIn, database: Db, _: Annotated[Caller, access(*BANK)]
) -> Response:
    """Compare every line of a programme before and after changes that nobody made; nothing is written.

    Drawdowns that would be frozen or trapped, liquidity gaps and expected loss are the programme's own; `/what-if`
    looks at all programmes that the changes concern.
    """
    asked = Asked(body.supposed(), [parse_id(programme_id)])
    return Response(await queries.what_if(database, asked, Wish("one", body.limit)), media_type=_JSON)


@router.get("/programmes/{programme_id}/what-if")
async def read_what_if(
    programme_id: str, database: Db, caller: Annotated[Caller, access(*BANK)], asked: _Asked
) -> Response:
    """Compare like the POST, the same body in the query: it only reads, so a page's cookie is enough."""
    return await suppose_changes(programme_id, _parsed(WhatIfIn, asked), database, caller)


@router.post("/what-if")
async def suppose_everywhere(
    body: WhatIfOfAllIn,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Compare the lines of all programmes that changes concern, before and after, in one snapshot; nothing is written.

    A firm concerns the programmes whose anchor it is or whose group it heads, those in which it has a line, and, when
    it fails or its trade changes, those to whose anchor its trade leads. A limit, a member and a tier are a
    programme's own: say whose. With `Accept: application/x-ndjson` every row comes on a line of its own, none left
    off; more than 50,000 lines or 500 programmes are refused (what_if_too_large), and there is an answer within
    30 seconds or none (what_if_too_slow).
    """
    asked = Asked(body.supposed(), body.programme_ids)
    if _NDJSON in accept:
        return Response(await queries.what_if(database, asked, Wish("lines", body.limit)), media_type=_NDJSON)
    return Response(await queries.what_if(database, asked, Wish("all", body.limit)), media_type=_JSON)


@router.get("/what-if")
async def read_what_if_everywhere(
    database: Db, caller: Annotated[Caller, access(*BANK)], asked: _Asked, accept: Annotated[str, Header()] = ""
) -> Response:
    """Compare like the POST, the same body in the query: it only reads, so a page's cookie is enough."""
    return await suppose_everywhere(_parsed(WhatIfOfAllIn, asked), database, caller, accept)


def _parsed(kind: type[B], asked: str) -> B:
    try:
        return kind.model_validate_json(asked)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
