"""Decide referred drawdowns by two persons (R22)."""

from __future__ import annotations

from typing import Literal

from services.credit.domain.drawdowns import AlreadyApplied, Input, NotPossible, State
from services.credit.operations.advance_drawdowns import save_with_ends
from services.credit.operations.approve_drawdowns import approval_of, review
from services.credit.operations.drawdown_rows import UnknownDrawdown, lock_drawdowns
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

KIND = "drawdown.decision"


async def propose_decision(
    database: Database, *, drawdown_id: str, decision: Literal["approve", "decline"], reason: str, actor: str
) -> Approval:
    """Propose what becomes of a referred drawdown; a second person decides."""
    async with database.transaction() as tx:
        row = await tx.pg.fetchrow("SELECT state, reason FROM drawdown WHERE drawdown_id = $1", drawdown_id)
        if row is None:
            raise UnknownDrawdown(drawdown_id=drawdown_id)
        if row["state"] != State.REFERRED:
            raise NotPossible(drawdown_id=drawdown_id, state=row["state"], asked="be decided")
        content = {"decision": decision, "reason": reason, "referred_for": row["reason"]}
        proposal = await propose(tx, kind=KIND, subject=drawdown_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "decision.proposed", drawdown_id, content)])
    return proposal


async def carry_out(tx: Transaction, approval: Approval) -> None:
    """Carry out an approved decision; freezes, documents and what they still carry are looked at again."""
    locked = await lock_drawdowns(tx, drawdown_ids=[approval.subject])
    drawdown = locked.find(approval.subject)
    before = drawdown.state
    approving = approval.content["decision"] == "approve"
    happened = Input.APPROVE if approving else Input.DECLINE
    done = locked.advance(drawdown, happened, reason=approval.content["reason"])
    if isinstance(done, AlreadyApplied):
        raise NotPossible(drawdown_id=drawdown.drawdown_id, state=before, asked="be decided")
    if approving:
        (found,) = await review(tx, locked, [drawdown])
        found.check()
        locked.events.append(approval_of(found))
    await save_with_ends(tx, locked, cause="drawdown.decided")
