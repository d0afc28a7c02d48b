"""How much of an anchor's credit reaches the firms around it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from services.credit import queries
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()


@router.get("/programmes/{programme_id}/pass-through")
async def read_pass_through(programme_id: str, database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read what the open drawdowns of a programme cost against what their firms would pay alone, tier by tier."""
    return await queries.pass_through(database, programme_id=parse_id(programme_id))
