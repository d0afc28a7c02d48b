"""What a line offers, and what a drawdown may be for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from services.credit import queries
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access, own_party
from shared.web.serving import Db

router = APIRouter()


@router.get("/lines/{line_id}/products")
async def list_line_products(
    line_id: str, database: Db, caller: Annotated[Caller, access(*BANK, "sme")]
) -> dict[str, Any]:
    """List what a line offers: for which documents, in which form, up to what, for how long, paid to whom."""
    found = await queries.line_products(database, line_id=parse_id(line_id))
    own_party(caller, found["enterprise_id"])
    return found


@router.get("/purposes")
async def list_purposes(database: Db, _: Annotated[Caller, access(*BANK, "sme")]) -> dict[str, Any]:
    """List the codes of what a drawdown may be for, in English and Chinese."""
    return await queries.purposes(database)
