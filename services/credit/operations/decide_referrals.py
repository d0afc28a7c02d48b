"""Decide referred drawdowns by two persons (R22)."""

from __future__ import annotations

from typing import Literal

from services.credit.domain.drawdowns import AlreadyApplied, Input, NotPossible, State
from services.credit.domain.eligibility import NotDrawable, NotEligible
from services.credit.operations.advance_drawdowns import save_with_ends
from services.credit.operations.approve_drawdowns import approval_of, review
from services.credit.operations.drawdown_rows import UnknownDrawdown, lock_drawdowns
from shared.storage.approvals import Approval, approve, decline, propose
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


async def approve_proposal(database: Database, *, approval_id: str, actor: str) -> Approval:
    """Approve a proposed decision and carry it out; freezes and documents are looked at again."""
    async with database.transaction() as tx:
        approved = await approve(tx, approval_id=approval_id, approver=actor)
        await _carry_out(tx, approved)
        facts = {"hash": approved.content_hash, "proposer": approved.proposer, **approved.content}
        await record(tx, [Entry(actor, "decision.approved", approved.subject, facts)])
    return approved


async def decline_proposal(database: Database, *, approval_id: str, reason: str, actor: str) -> Approval:
    """Decline a proposed decision: the drawdown stays in the queue."""
    async with database.transaction() as tx:
        declined = await decline(tx, approval_id=approval_id, approver=actor, reason=reason)
        facts = {"hash": declined.content_hash, "reason": reason}
        await record(tx, [Entry(actor, "decision.declined", declined.subject, facts)])
    return declined


async def _carry_out(tx: Transaction, approval: Approval) -> None:
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
        if found.freezes:
            raise NotDrawable(reasons=found.freezes)
        if found.lost_documents:
            raise NotEligible(document_id=found.lost_documents[0], reason="withdrawn")
        locked.events.append(approval_of(found))
    await save_with_ends(tx, locked, cause="drawdown.decided")
