"""Limits of pairs: what the bank finances of one seller's claims on one obligor."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.credit import queries
from services.credit.operations.pair_limits import propose_pair_limit
from services.credit.schemas import PairLimitIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()


@router.post("/pair-limits", status_code=201)
async def post_pair_limit(
    body: PairLimitIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose what is financed at most of one seller's claims on one obligor; a second person decides (R22).

    In distributor finance the anchor sells and the distributor owes. What is open between the two counts from the
    decision on; a limit below it is set all the same (R12).
    """
    proposal = await propose_pair_limit(
        database,
        seller_id=body.seller_id,
        obligor_id=body.obligor_id,
        limit=body.limit.money(),
        reason=body.reason,
        actor=caller.subject,
    )
    return proposal.wire()


@router.get("/pair-limits")
async def list_pair_limits(
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    enterprise_id: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """List the pairs that have a limit, all or those of one firm, with what is held and used of each."""
    whose = None if enterprise_id is None else parse_id(enterprise_id)
    return await queries.pair_limits(database, enterprise_id=whose, after=read_cursor(cursor), limit=limit)
