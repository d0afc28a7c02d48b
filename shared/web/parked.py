"""The routes where parked events are seen and decided on, the same in every service that consumes (R22)."""

# Without postponed annotations: FastAPI could not see this function's own names in them.
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from shared.messaging.parked import (
    AlreadyProposed,
    NoLongerParked,
    NotNext,
    NotReplayable,
    UnknownParked,
    list_parked,
    propose_decision,
)
from shared.storage.paging import InvalidCursor, page, read_cursor
from shared.web.auth import BANK, Caller, access
from shared.web.problems import ErrorStatuses
from shared.web.serving import Db

PARKED_STATUSES: ErrorStatuses = {
    UnknownParked: 404,
    NoLongerParked: 409,
    NotReplayable: 409,
    NotNext: 409,
    AlreadyProposed: 409,
}
_LAST = 2**63 - 1  # of a bigint


class ParkedDecisionIn(BaseModel):
    """Why a parked event is replayed or discarded."""

    model_config = ConfigDict(extra="forbid")

    # PostgreSQL keeps no NUL, and no other control character belongs into a reason.
    reason: str = Field(min_length=3, max_length=1000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")


def parked_router() -> APIRouter:
    """Build the routes under `/parked`; a second person approves at `/approvals`."""
    router = APIRouter(prefix="/parked")
    proposer, reader = access("bank_maker", "bank_checker"), access(*BANK)
    number = Path(ge=1, le=_LAST)

    @router.get("")
    async def list_parked_events(
        database: Db,
        _: Annotated[Caller, reader],
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        """List events that wait, oldest first, and what each waits for."""
        async with database.reader() as tx:
            found = await list_parked(tx, after=_after(cursor), limit=limit + 1)
        return page(found, limit=limit, key=lambda each: str(each["parked_id"]))

    @router.post("/{parked_id}/replay", status_code=201)
    async def propose_replay(
        parked_id: Annotated[int, number], body: ParkedDecisionIn, database: Db, caller: Annotated[Caller, proposer]
    ) -> dict[str, Any]:
        """Propose to try an event once more."""
        proposal = await propose_decision(
            database, parked_id=parked_id, decision="replay", reason=body.reason, actor=caller.subject
        )
        return proposal.wire()

    @router.post("/{parked_id}/discard", status_code=201)
    async def propose_discard(
        parked_id: Annotated[int, number], body: ParkedDecisionIn, database: Db, caller: Annotated[Caller, proposer]
    ) -> dict[str, Any]:
        """Propose to go on without an event."""
        proposal = await propose_decision(
            database, parked_id=parked_id, decision="discard", reason=body.reason, actor=caller.subject
        )
        return proposal.wire()

    return router


def _after(cursor: str | None) -> int:
    key = read_cursor(cursor) or "0"
    if not (key.isascii() and key.isdigit() and int(key) <= _LAST):
        raise InvalidCursor
    return int(key)
