"""Collateral and guarantees."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.credit import queries
from services.credit.domain.covers import CoverStep
from services.credit.operations.covers import propose_cover, propose_cover_step
from services.credit.schemas import CoverIn, CoverStepIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access, own_party
from shared.web.serving import Db

router = APIRouter()
_Reader = Annotated[Caller, access(*BANK, "sme")]
_Maker = Annotated[Caller, access("bank_maker")]


@router.post("/covers", status_code=201)
async def post_cover(body: CoverIn, database: Db, caller: _Maker) -> dict[str, Any]:
    """Record collateral or a guarantee; it carries nothing until it is valued and registered by two persons."""
    cover_id = await propose_cover(
        database,
        enterprise_id=body.enterprise_id,
        provider_id=body.provider_id,
        kind=body.kind,
        asset=body.asset,
        description=body.description,
        secured=body.secured.money(),
        rank=body.rank,
        valid_until=body.valid_until,
        line_ids=body.line_ids,
        actor=caller.subject,
    )
    return await queries.cover(database, cover_id=cover_id)


@router.get("/covers")
async def list_covers(
    database: Db,
    caller: _Reader,
    enterprise_id: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """List covers; a firm sees those that secure its own loans (R23)."""
    whose = None if enterprise_id is None else parse_id(enterprise_id)
    if caller.party is not None:
        own_party(caller, whose or caller.party)
        whose = caller.party
    return await queries.covers(database, enterprise_id=whose, after=read_cursor(cursor), limit=limit)


@router.get("/covers/{cover_id}")
async def read_cover(cover_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a cover."""
    found = await queries.cover(database, cover_id=parse_id(cover_id))
    own_party(caller, found["enterprise_id"])
    return found


@router.post("/covers/{cover_id}/steps", status_code=201)
async def post_cover_step(cover_id: str, body: CoverStepIn, database: Db, caller: _Maker) -> dict[str, Any]:
    """Propose to value, register, release or enforce a cover; a second person decides (R22)."""
    proposal = await propose_cover_step(
        database,
        cover_id=parse_id(cover_id),
        step=CoverStep(body.step),
        facts=body.model_dump(mode="json", exclude={"step"}),
        actor=caller.subject,
    )
    return proposal.wire()


@router.get("/enterprises/{enterprise_id}/cover")
async def read_cover_of_firm(
    enterprise_id: str,
    database: Db,
    caller: _Reader,
    currency: Annotated[str, Query(pattern=r"^[A-Z]{3}$")] = "CNY",
) -> dict[str, Any]:
    """Read what a firm's covers carry today, which loan each yuan of them secures, and what is left for each line."""
    enterprise_id = parse_id(enterprise_id)
    own_party(caller, enterprise_id)
    return await queries.cover_of_firm(database, enterprise_id=enterprise_id, currency=currency)
