"""Decide what another person of the same enterprise proposed (R22)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from services.receivables.operations import confirm, issue_voucher
from shared.storage.approvals import Approval, approve, decline
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

_EFFECTS: Mapping[str, Callable[[Transaction, Approval], Awaitable[None]]] = {
    confirm.KIND: confirm.confirm,
    issue_voucher.KIND: issue_voucher.issue,
}


async def approve_proposal(database: Database, *, approval_id: str, party: str | None, actor: str) -> Approval:
    """Approve a proposal and do what it says, in one transaction."""
    async with database.transaction() as tx:
        approved = await approve(tx, approval_id=approval_id, approver=actor, party=party)
        await _EFFECTS[approved.kind](tx, approved)
        facts = {"kind": approved.kind, "hash": approved.content_hash, "proposer": approved.proposer}
        await record(tx, [Entry(actor, "proposal.approved", approved.subject, facts)])
    return approved


async def decline_proposal(
    database: Database, *, approval_id: str, reason: str, party: str | None, actor: str
) -> Approval:
    """Decline a proposal with a reason."""
    async with database.transaction() as tx:
        declined = await decline(tx, approval_id=approval_id, approver=actor, reason=reason, party=party)
        facts = {"kind": declined.kind, "hash": declined.content_hash, "reason": reason}
        await record(tx, [Entry(actor, "proposal.declined", declined.subject, facts)])
    return declined
