"""Document that an obligor without checkers here assents to a cancellation: the bank's people, by what proves it (R22).

One of the bank records the evidence, another decides; the seller who asked makes three. It answers exactly what the
seller proposed, named by its hash, as the obligor's own checker would.
"""

from __future__ import annotations

from typing import Any, ClassVar

from services.receivables.domain.assents import Assent, check_assent
from services.receivables.operations import cancel
from services.receivables.operations.locking import Row
from shared.storage.approvals import AlreadyDecided, Approval, UnknownApproval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction

KIND = "documented_assent"
_ASKED = """
SELECT a.approval_id, a.subject, a.content, a.content_hash, a.party, a.proposer, a.state, r.issue_date,
    coalesce((SELECT open_date FROM book), current_date) AS today
FROM approval a JOIN receivable r ON r.receivable_id = a.subject
WHERE a.approval_id = $1 AND a.kind = 'cancellation'
"""
_WAITING = "SELECT true FROM approval WHERE kind = $1 AND subject = $2 AND state = 'pending'"
_ANSWER = """
UPDATE approval SET state = 'approved', decided_by = $2, decided_at = clock_timestamp(), reason = $3
WHERE approval_id = $1
"""


class AssentWaits(RuntimeError):
    """An assent to this cancellation was documented before and waits for its second person."""

    code: ClassVar[str] = "assent_waits"

    def __init__(self, *, approval_id: str) -> None:
        """Keep the cancellation."""
        self.approval_id = approval_id
        super().__init__("An assent to this cancellation waits for a second person already.")


async def document_assent(tx: Transaction, *, approval_id: str, assent: Assent, actor: str) -> dict[str, Any]:
    """Propose to take a document for the obligor's assent to a cancellation that waits for it.

    UnknownApproval of anything else, AlreadyDecided, InvalidAssentDate, or AssentWaits of one that was proposed before.
    """
    asked = await _asked(tx, approval_id)
    check_assent(assent, issued=asked["issue_date"], today=asked["today"])
    if await tx.pg.fetchval(_WAITING, KIND, approval_id):
        raise AssentWaits(approval_id=approval_id)
    content = {"cancellation": asked["content"], "cancellation_hash": asked["content_hash"], **assent.wire()}
    proposal = await propose(tx, kind=KIND, subject=approval_id, content=content, proposer=actor)
    facts = {"hash": proposal.content_hash, "obligor_id": asked["party"]}
    await record(tx, [Entry(actor, "assent.proposed", asked["subject"], facts)])
    return proposal.wire()


async def take_assent(tx: Transaction, approval: Approval) -> None:
    """Cancel what the documented assent answers, as it stands now; AlreadyDecided when the obligor answered itself."""
    asked = await _asked(tx, approval.subject)
    decider = await tx.pg.fetchval("SELECT decided_by FROM approval WHERE approval_id = $1", approval.approval_id)
    await tx.pg.execute(_ANSWER, approval.subject, decider, f"documented assent {approval.approval_id}")
    await cancel.assent(
        tx,
        Approval(
            approval_id=asked["approval_id"],
            kind=cancel.KIND,
            subject=asked["subject"],
            content=asked["content"],
            content_hash=asked["content_hash"],
            party=asked["party"],
            proposer=asked["proposer"],
            state="approved",
        ),
    )
    evidence = {name: each for name, each in approval.content.items() if name != "cancellation"}
    await record(tx, [Entry(decider, "assent.documented", asked["subject"], evidence)])


async def _asked(tx: Transaction, approval_id: str) -> Row:
    """Lock and return a cancellation that waits for its obligor, before the receivable that it cancels."""
    row: Row | None = await tx.pg.fetchrow(f"{_ASKED} FOR UPDATE OF a", approval_id)
    if row is None:
        raise UnknownApproval(approval_id=approval_id)
    if row["state"] != "pending":
        raise AlreadyDecided(approval_id=approval_id, state=row["state"])
    return row
