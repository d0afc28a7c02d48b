"""Risk's routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from services.risk import queries
from services.risk.operations.record_rating import record_rating
from services.risk.schemas import RatingIn
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()


@router.post("/ratings", status_code=201)
async def post_rating(
    body: RatingIn, database: Db, caller: Annotated[Caller, access("risk_officer")]
) -> dict[str, Any]:
    """Record a rating."""
    rating_id = await record_rating(database, **dict(body), actor=caller.subject)
    return {"rating_id": rating_id, **body.model_dump(mode="json")}


@router.get("/ratings/{enterprise_id}")
async def read_ratings(enterprise_id: str, database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read a firm's ratings."""
    return await queries.ratings(database, enterprise_id=parse_id(enterprise_id))
