"""Take a receivable back, by its seller: freely before the obligor confirmed it, with its assent after (DOMAIN §2).

The number stays guarded (R8): what was invoiced under it once is never another claim.
"""

from __future__ import annotations

from services.receivables.domain.receivables import AlreadyApplied, Executed, State, advance_cancelled, told
from services.receivables.operations.invoice_orders import lock_cited, reopen_order
from services.receivables.operations.locking import Row, lock_receivable
from services.receivables.operations.lowering import SOURCE
from services.receivables.operations.match_orders import match_again
from shared.events.receivables import ReceivableCancelled
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Money
from shared.web.auth import ForeignParty

KIND = "cancellation"
_PENDING = "SELECT approval_id FROM approval WHERE kind = $1 AND subject = $2 AND state = 'pending'"


async def cancel_receivable(
    database: Database, *, receivable_id: str, reason: str, party: str, actor: str
) -> str | None:
    """Cancel what nobody confirmed yet and return None; else propose it to the obligor and return the proposal's id.

    UnknownReceivable, ForeignParty, or NotPossible of what is assigned, financed, vouchered or paid in part.
    """
    async with database.transaction() as tx:
        await lock_cited(tx, [receivable_id])
        row = await lock_receivable(tx, receivable_id=receivable_id)
        if row["seller_id"] != party:
            raise ForeignParty
        _step(row)
        if row["state"] != State.CONFIRMED:
            await _cancel(tx, row, reason=reason, actor=actor)
            return None
        waiting = await tx.pg.fetchval(_PENDING, KIND, receivable_id)
        if waiting is not None:
            return str(waiting)
        content = {
            "receivable_id": receivable_id,
            "seller_id": row["seller_id"],
            "number": row["number"],
            "open": Money(row["financeable_minor"], row["currency"]).wire(),
            "reason": reason,
        }
        # The obligor's person decides: the two sides are the four eyes.
        proposal = await propose(
            tx, kind=KIND, subject=receivable_id, content=content, proposer=actor, party=row["obligor_id"]
        )
        await record(tx, [Entry(actor, "cancellation.proposed", receivable_id, {"hash": proposal.content_hash})])
        return proposal.approval_id


async def assent(tx: Transaction, approval: Approval) -> None:
    """Cancel what its obligor assents to, as it stands now; NotPossible when it was assigned meanwhile."""
    receivable_id = approval.content["receivable_id"]
    await lock_cited(tx, [receivable_id])
    row = await lock_receivable(tx, receivable_id=receivable_id)
    await _cancel(tx, {**row, "state": told(row["state"])}, reason=approval.content["reason"], actor=approval.proposer)


async def _cancel(tx: Transaction, row: Row, *, reason: str, actor: str) -> None:
    step, receivable_id = _step(row), row["receivable_id"]
    if not isinstance(step, Executed):
        return
    await tx.pg.execute("UPDATE receivable SET state = $2 WHERE receivable_id = $1", receivable_id, step.state.value)
    await match_again(tx, receivable_ids=[receivable_id])
    await reopen_order(tx, receivable_id=receivable_id)
    await append(tx, [ReceivableCancelled(receivable_id=receivable_id, reason=reason)], source=SOURCE)
    await record(tx, [Entry(actor, "receivable.cancelled", receivable_id, {"reason": reason})])


def _step(row: Row) -> Executed[State] | AlreadyApplied:
    return advance_cancelled(
        document_id=row["receivable_id"], state=row["state"], vouchered=row["vouchered"], paid_minor=row["paid_minor"]
    )
