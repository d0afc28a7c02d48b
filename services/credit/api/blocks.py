"""Blocks: draws on a line or a firm stopped at once by one person, let go on by two."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.credit import queries
from services.credit.domain.blocks import Cause, Target
from services.credit.operations.block_lines import block, propose_lift
from services.credit.schemas import BlockIn, ReasonIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db

router = APIRouter()
_Bank = Annotated[Caller, access(*BANK)]


@router.post("/blocks", status_code=201)
async def post_block(
    body: BlockIn,
    database: Db,
    caller: Annotated[Caller, access("bank_maker", "bank_checker", "risk_officer")],
) -> dict[str, Any]:
    """Stop draws on lines, and on every line of firms, at once: one person is enough to stop.

    In the same commit new draws are refused, what is held is released and what is approved is stopped if settlement
    still can; what was paid out stays. Said again for the same reason and reference, it changes nothing and answers
    the blocks that stand.
    """
    targets = [Target("line", each) for each in body.line_ids]
    targets += [Target("firm", each) for each in body.enterprise_ids]
    cause = Cause(reason=body.reason, by=caller.subject, note=body.note, reference=body.reference)
    block_ids = await block(database, targets=targets, cause=cause)
    return {"items": await queries.blocks_named(database, block_ids=block_ids)}


@router.get("/blocks")
async def list_blocks(  # noqa: PLR0917 - FastAPI passes each by name
    database: Db,
    _: _Bank,
    line_id: str | None = None,
    enterprise_id: str | None = None,
    lifted: bool = False,  # noqa: FBT001, FBT002 - FastAPI passes it by name
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """List the blocks that stand: who stopped draws on what, when and why; with `lifted` those that ended too.

    Of a line they are its own and its firm's, of a firm its own and its lines'.
    """
    return await queries.blocks(
        database,
        line_id=None if line_id is None else parse_id(line_id),
        enterprise_id=None if enterprise_id is None else parse_id(enterprise_id),
        lifted=lifted,
        after=read_cursor(cursor),
        limit=limit,
    )


@router.get("/block-reasons")
async def list_block_reasons(database: Db, _: _Bank) -> dict[str, Any]:
    """List the codes of why draws may be stopped, in English and Chinese."""
    return await queries.reasons_in_force(database)


@router.post("/blocks/{block_id}/lift", status_code=201)
async def post_lift(
    block_id: str, body: ReasonIn, database: Db, caller: Annotated[Caller, access("bank_maker", "risk_officer")]
) -> dict[str, Any]:
    """Propose to lift a block; a second person decides (R22). Drawdowns that it ended stay ended."""
    proposal = await propose_lift(database, block_id=parse_id(block_id), reason=body.reason, actor=caller.subject)
    return proposal.wire()
