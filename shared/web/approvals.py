"""The routes by which a second person decides, the same in every service (R22)."""

# Without postponed annotations: FastAPI could not see this function's own names in them.
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from shared.storage.approvals import Effects, approve_proposal, decline_proposal, pending
from shared.storage.paging import page, read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access
from shared.web.serving import Db


class DeclineIn(BaseModel):
    """Why a proposal is declined."""

    model_config = ConfigDict(extra="forbid")

    # PostgreSQL keeps no NUL, and no other control character belongs into a reason.
    reason: str = Field(min_length=3, max_length=1000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")


def approvals_router(*, deciders: tuple[str, ...], approved: Effects, declined: Effects | None = None) -> APIRouter:
    """Build the routes under `/approvals`: who may decide, and what approving and declining each kind does.

    A decider that speaks for an enterprise decides on that enterprise's proposals only.
    """
    router = APIRouter(prefix="/approvals")
    decider, reader = access(*deciders), access(*BANK, *deciders)
    undone = declined or {}

    @router.get("")
    async def list_approvals(
        database: Db,
        caller: Annotated[Caller, reader],
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        """List what waits for a second person."""
        async with database.reader() as tx:
            whose = None if caller.is_bank else caller.party or ""
            waiting = await pending(tx, after=read_cursor(cursor), limit=limit + 1, party=whose)
        return page([each.wire() for each in waiting], limit=limit, key=lambda each: str(each["approval_id"]))

    @router.post("/{approval_id}/approve")
    async def approve(approval_id: str, database: Db, caller: Annotated[Caller, decider]) -> dict[str, Any]:
        """Approve what another person proposed."""
        done = await approve_proposal(
            database,
            approval_id=parse_id(approval_id),
            actor=caller.subject,
            party=caller.party,
            effects=approved,
        )
        return done.wire()

    @router.post("/{approval_id}/decline")
    async def decline(
        approval_id: str, body: DeclineIn, database: Db, caller: Annotated[Caller, decider]
    ) -> dict[str, Any]:
        """Decline what another person proposed."""
        done = await decline_proposal(
            database,
            approval_id=parse_id(approval_id),
            actor=caller.subject,
            party=caller.party,
            reason=body.reason,
            effects=undone,
        )
        return done.wire()

    return router
