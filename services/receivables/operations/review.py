"""Reject a receivable, or decide one that waits for a person (R8)."""

from __future__ import annotations

from typing import Literal

import asyncpg

from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.receivables import AlreadyApplied, Step, advance, advance_rejected, told
from services.receivables.operations.agree import count_agreed
from services.receivables.operations.invoice_orders import lock_cited
from services.receivables.operations.locking import Row, lock_receivable
from services.receivables.operations.match_orders import match_again
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import ReceivableAccepted, ReceivableRejected
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.web.auth import ForeignParty

_HOLDER = """
SELECT o.receivable_id, o.number, o.issue_year, o.syntax FROM receivable o JOIN receivable r
    ON (o.seller_id, o.number_key, o.issue_year) = (r.seller_id, r.number_key, r.issue_year)
WHERE r.receivable_id = $1 AND o.guards AND o.state <> 'rejected' AND o.receivable_id <> r.receivable_id
"""


async def reject_receivable(database: Database, *, receivable_id: str, reason: str, party: str, actor: str) -> None:
    """Reject by the obligor, before it confirmed; ForeignParty, UnknownReceivable or NotPossible otherwise."""
    async with database.transaction() as tx:
        await lock_cited(tx, [receivable_id])
        row = await lock_receivable(tx, receivable_id=receivable_id)
        if row["obligor_id"] != party:
            raise ForeignParty
        await _reject(tx, {**row, "state": told(row["state"])}, reason=reason, actor=actor)


async def decide_referral(
    database: Database, *, receivable_id: str, decision: Literal["accept", "reject"], reason: str, actor: str
) -> None:
    """Accept or reject what waits for a person; DuplicateDocument while another claim of the number stands."""
    async with database.transaction() as tx:
        await lock_cited(tx, [receivable_id])
        row = await lock_receivable(tx, receivable_id=receivable_id)
        if decision == "reject":
            await _reject(tx, row, reason=reason, actor=actor)
            return
        step = advance(document_id=receivable_id, state=row["state"], asked=Step.ACCEPT)
        if isinstance(step, AlreadyApplied):
            return
        try:
            async with tx.savepoint():
                await tx.pg.execute(
                    "UPDATE receivable SET state = $2, guards = true WHERE receivable_id = $1",
                    *(receivable_id, step.state.value),
                )
        except asyncpg.UniqueViolationError as error:
            holder = await tx.pg.fetchrow(_HOLDER, receivable_id) or row
            known = {name: holder[name] for name in ("receivable_id", "number", "issue_year", "syntax")}
            raise DuplicateDocument(**known) from error
        await append(tx, [ReceivableAccepted(receivable_id=receivable_id, reason=reason)], source=SOURCE)
        await count_agreed(tx, {**row, "state": step.state})
        await record(tx, [Entry(actor, "referral.accepted", receivable_id, {"reason": reason})])


async def _reject(tx: Transaction, row: Row, *, reason: str, actor: str) -> None:
    receivable_id = row["receivable_id"]
    step = advance_rejected(
        document_id=receivable_id, state=row["state"], paid_minor=row["paid_minor"], acknowledged=row["acknowledged"]
    )
    if isinstance(step, AlreadyApplied):
        return
    await tx.pg.execute("UPDATE receivable SET state = 'rejected' WHERE receivable_id = $1", receivable_id)
    await match_again(tx, receivable_ids=[receivable_id])
    await append(tx, [ReceivableRejected(receivable_id=receivable_id, reason=reason)], source=SOURCE)
    await record(tx, [Entry(actor, "receivable.rejected", receivable_id, {"reason": reason})])
