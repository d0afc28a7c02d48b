"""Routes of debts between two firms: registered by either, acknowledged by both, disputed by who owes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from services.receivables import queries
from services.receivables.operations import agree
from services.receivables.schemas import DisputeIn, ObligationIn
from shared.values.ids import parse_id
from shared.web.auth import Caller, access
from shared.web.callers import own_of
from shared.web.serving import Db

obligations = APIRouter()
_Owner = Annotated[Caller, access("sme", "anchor_maker", "anchor_checker")]


@obligations.post("/obligations", status_code=201)
async def register_obligation(
    body: ObligationIn, database: Db, caller: Annotated[Caller, access("sme", "anchor_maker", "erp")]
) -> dict[str, Any]:
    """Register a debt, by its debtor or its creditor; it counts when the other one acknowledges it too.

    Said again in the same words, it is the same debt.
    """
    stated = agree.Obligation(**{**body.model_dump(exclude={"amount"}), "amount": body.amount.money()})
    party = own_of(caller)
    receivable_id = await agree.register_obligation(database, stated=stated, party=party, actor=caller.subject)
    return await queries.receivable(database, receivable_id=receivable_id, party=party)


@obligations.post("/receivables/{receivable_id}/acknowledgements")
async def acknowledge(receivable_id: str, database: Db, caller: _Owner) -> dict[str, Any]:
    """Say that a debt exists, as its seller or its obligor: what both acknowledge can be netted, never financed."""
    said, party = parse_id(receivable_id), own_of(caller)
    await agree.acknowledge(database, receivable_id=said, party=party, actor=caller.subject)
    return await queries.receivable(database, receivable_id=said, party=party)


@obligations.put("/receivables/{receivable_id}/dispute")
async def put_dispute(receivable_id: str, body: DisputeIn, database: Db, caller: _Owner) -> dict[str, Any]:
    """Dispute a debt, or take that back; by its obligor."""
    said, party = parse_id(receivable_id), own_of(caller)
    say = agree.dispute if body.disputed else agree.end_dispute
    await say(database, receivable_id=said, reason=body.reason, party=party, actor=caller.subject)
    return await queries.receivable(database, receivable_id=said, party=party)
