"""Confirm or reject many receivables at once (确权): proposed as a list, decided as a whole, answered one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from services.receivables.domain.batches import (
    Named,
    NothingChosen,
    RejectionCode,
    Standing,
    digest_of,
    totals_of,
    why_not,
)
from services.receivables.domain.documents import check_due_date
from services.receivables.domain.receivables import Step
from services.receivables.operations.choose import Choice, Filter, choose, standing_of
from services.receivables.operations.confirm import Undertaking, confirm_rows
from services.receivables.operations.invoice_orders import lock_cited
from services.receivables.operations.locking import Row, lock_receivables
from services.receivables.operations.match_orders import match_again
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import ReceivableRejected
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.ids import new_id
from shared.values.money import Money

KIND = "confirmation_batch"
_BATCH = """
INSERT INTO decision_batch (batch_id, kind, party, state, undertaking, due_date, many, totals, digest, code, reason,
    actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_ITEMS = """
INSERT INTO decision_item (batch_id, nth, asked, receivable_id, currency, amount_minor, outcome, code)
SELECT $1, nth, asked, receivable_id, currency, amount, outcome, code
FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
    AS d(nth, asked, receivable_id, currency, amount, outcome, code)
"""
_PROPOSED = """
SELECT receivable_id, currency, amount_minor FROM decision_item WHERE batch_id = $1 AND outcome = 'proposed'
ORDER BY receivable_id
"""
_DECIDED = """
UPDATE decision_item i SET outcome = d.outcome, code = d.code
FROM unnest($2::text[], $3::text[], $4::text[]) AS d(receivable_id, outcome, code)
WHERE i.batch_id = $1 AND i.receivable_id = d.receivable_id AND i.outcome = 'proposed'
"""
Asked = Filter | Sequence[str] | Sequence[Named]


async def propose_batch(
    database: Database, *, asked: Asked, undertaking: Undertaking, due_date: date | None, party: str, actor: str
) -> str:
    """Propose to confirm what is asked for, listed one by one with its sum; return the batch's id.

    NothingChosen when none of it can be confirmed, BatchTooLarge, InvalidDueDate. What cannot be says why in its place.
    """
    async with database.transaction() as tx:
        choices = await choose(tx, asked, party=party)
        reasons = [why_not(each.standing, step=Step.CONFIRM) for each in choices]
        rows = [each.row for each, reason in zip(choices, reasons, strict=True) if reason is None and each.row]
        if not rows:
            raise NothingChosen
        for row in rows:
            check_due_date(due_date=due_date, issue_date=row["issue_date"])
        chosen, batch_id = [standing_of(row) for row in rows], new_id()
        totals = [each.wire() for each in totals_of(each.open for each in chosen)]
        content = {
            "batch_id": batch_id,
            "many": len(chosen),
            "totals": totals,
            "undertaking": undertaking,
            "due_date": due_date.isoformat() if due_date else None,
            "digest": digest_of(chosen),
        }
        await tx.pg.execute(
            _BATCH,
            *(batch_id, "confirmation", party, "proposed", undertaking, due_date, len(chosen)),
            *(json.dumps(totals), content["digest"], None, None, actor),
        )
        outcomes = [("proposed", None) if reason is None else ("refused", reason) for reason in reasons]
        await _keep(tx, batch_id, choices, outcomes)
        proposal = await propose(tx, kind=KIND, subject=batch_id, content=content, proposer=actor, party=party)
        await tx.pg.execute(
            "UPDATE decision_batch SET approval_id = $2 WHERE batch_id = $1", batch_id, proposal.approval_id
        )
        await record(tx, [Entry(actor, "confirmation.proposed", batch_id, {"hash": proposal.content_hash})])
    return batch_id


async def confirm_batch(tx: Transaction, approval: Approval) -> None:
    """Confirm what was proposed and still stands as it was; the rest is left, each with its reason."""
    content = approval.content
    batch_id = content["batch_id"]
    proposed = await tx.pg.fetch(_PROPOSED, batch_id)
    ids = [row["receivable_id"] for row in proposed]
    cited = await lock_cited(tx, ids)
    locked = await lock_receivables(tx, ids)
    reasons = {
        row["receivable_id"]: why_not(
            _standing(locked, row["receivable_id"]),
            step=Step.CONFIRM,
            chosen=Money(row["amount_minor"], row["currency"]),
        )
        for row in proposed
    }
    rows = [locked[key] for key, reason in reasons.items() if reason is None]
    due_date = date.fromisoformat(content["due_date"]) if content["due_date"] else None
    await confirm_rows(tx, rows, undertaking=content["undertaking"], due_date=due_date, cited=cited)
    outcomes = [(key, "confirmed" if reason is None else "left", reason) for key, reason in reasons.items()]
    await tx.pg.execute(_DECIDED, batch_id, *by_column(outcomes, width=3))
    await tx.pg.execute("UPDATE decision_batch SET state = 'done' WHERE batch_id = $1", batch_id)


async def decline_batch(tx: Transaction, approval: Approval) -> None:
    """Note that the second person declined: nothing of it is confirmed."""
    await tx.pg.execute(
        "UPDATE decision_batch SET state = 'declined' WHERE batch_id = $1", approval.content["batch_id"]
    )


async def reject_batch(
    database: Database, *, asked: Asked, code: RejectionCode, reason: str, party: str, actor: str
) -> str:
    """Reject what is asked for, before it is confirmed; return the batch's id. NothingChosen or BatchTooLarge."""
    async with database.transaction() as tx:
        choices = await choose(tx, asked, party=party)
        ids = [each.row["receivable_id"] for each in choices if each.row is not None]
        await lock_cited(tx, ids)
        locked = await lock_receivables(tx, ids)
        reasons = [
            why_not(_standing(locked, each.row["receivable_id"]) if each.row else None, step=Step.REJECT)
            for each in choices
        ]
        rejected = [each.row for each, why in zip(choices, reasons, strict=True) if why is None and each.row]
        if not rejected:
            raise NothingChosen
        keys, batch_id = [row["receivable_id"] for row in rejected], new_id()
        chosen = [standing_of(locked[key]) for key in keys]
        totals = [each.wire() for each in totals_of(each.open for each in chosen)]
        await tx.pg.execute("UPDATE receivable SET state = 'rejected' WHERE receivable_id = ANY($1)", keys)
        await match_again(tx, receivable_ids=keys)
        await tx.pg.execute(
            _BATCH,
            *(batch_id, "rejection", party, "done", None, None, len(keys)),
            *(json.dumps(totals), digest_of(chosen), code, reason, actor),
        )
        await _keep(tx, batch_id, choices, [("rejected", None) if why is None else ("refused", why) for why in reasons])
        await append(
            tx, [ReceivableRejected(receivable_id=key, reason=reason, code=code) for key in keys], source=SOURCE
        )
        facts = {"batch_id": batch_id, "code": code, "reason": reason}
        await record(tx, [Entry(actor, "receivable.rejected", key, facts) for key in keys])
    return batch_id


async def _keep(
    tx: Transaction, batch_id: str, choices: Sequence[Choice], outcomes: Sequence[tuple[str, str | None]]
) -> None:
    rows: list[tuple[Any, ...]] = []
    for nth, (each, (outcome, code)) in enumerate(zip(choices, outcomes, strict=True), start=1):
        row = each.row or {}
        found = (row.get("receivable_id"), row.get("currency"), row.get("financeable_minor"))
        rows.append((nth, each.asked, *found, outcome, code))
    await tx.pg.execute(_ITEMS, batch_id, *by_column(rows, width=7))


def _standing(locked: dict[str, Row], receivable_id: str) -> Standing | None:
    row = locked.get(receivable_id)
    return None if row is None else standing_of(row)
