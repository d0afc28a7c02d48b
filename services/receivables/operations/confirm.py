"""Confirm receivables (确权): the obligor's maker proposes, its checker decides; all of the batch or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from services.receivables.domain.documents import check_due_date
from services.receivables.domain.financeable import financeable_minor
from services.receivables.domain.receivables import AlreadyApplied, NotPossible, Step, advance, told
from services.receivables.operations.invoice_orders import invoice_orders, lock_cited
from services.receivables.operations.locking import Row, UnknownReceivable, lock_receivables
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import ReceivableConfirmed
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Amount
from shared.web.auth import ForeignParty

KIND = "confirmation"
Undertaking = Literal["none", "irrevocable"]

_CONFIRM = """
UPDATE receivable r SET state = 'confirmed', undertaking = $2, due_date = coalesce($3, r.due_date),
    financeable_minor = d.financeable
FROM unnest($1::text[], $4::bigint[]) AS d(receivable_id, financeable) WHERE r.receivable_id = d.receivable_id
"""


async def propose_confirmation(
    database: Database,
    *,
    receivable_ids: Sequence[str],
    undertaking: Undertaking,
    due_date: date | None,
    party: str,
    actor: str,
) -> Approval:
    """Propose to confirm what the party owes; UnknownReceivable, ForeignParty or NotPossible when one cannot be."""
    wanted = sorted(set(receivable_ids))
    content: dict[str, Any] = {
        "receivable_ids": wanted,
        "undertaking": undertaking,
        "due_date": due_date.isoformat() if due_date else None,
    }
    async with database.transaction() as tx:
        for row in await _confirmable(tx, receivable_ids=wanted, party=party):
            check_due_date(due_date=due_date, issue_date=row["issue_date"])
        proposal = await propose(tx, kind=KIND, subject=party, content=content, proposer=actor, party=party)
        await record(tx, [Entry(actor, "confirmation.proposed", party, {"hash": proposal.content_hash})])
    return proposal


async def confirm(tx: Transaction, approval: Approval) -> None:
    """Confirm exactly what was proposed, as it stands now."""
    content = approval.content
    due_date = date.fromisoformat(content["due_date"]) if content["due_date"] else None
    cited = await lock_cited(tx, content["receivable_ids"])
    rows = await _confirmable(tx, receivable_ids=content["receivable_ids"], party=approval.subject)
    await confirm_rows(tx, rows, undertaking=content["undertaking"], due_date=due_date, cited=cited)


async def confirm_rows(
    tx: Transaction, rows: Sequence[Row], *, undertaking: Undertaking, due_date: date | None, cited: Mapping[str, Row]
) -> None:
    """Confirm locked receivables, which stand in the place of the orders that they cite from now on."""
    amounts = {row["receivable_id"]: _financeable(row) for row in rows}
    await tx.pg.execute(_CONFIRM, list(amounts), undertaking, due_date, list(amounts.values()))
    events = [
        ReceivableConfirmed(
            receivable_id=row["receivable_id"],
            seller_id=row["seller_id"],
            obligor_id=row["obligor_id"],
            financeable=Amount.of(amount_minor=amounts[row["receivable_id"]], currency=row["currency"]),
            due_date=due_date or row["due_date"],
            undertaking=undertaking,
        )
        for row in rows
    ]
    await append(tx, events, source=SOURCE)
    await invoice_orders(tx, cited=cited, confirmed=list(amounts.items()))


def _financeable(row: Row) -> int:
    """Return what can be financed: the obligor confirms the whole payable, less what was taken off it since (R7)."""
    payable = row["payable_minor"]
    taken_off = payable - row["financeable_minor"]
    return financeable_minor(payable_minor=payable, confirmed_minor=payable, deductions_minor=taken_off)


async def _confirmable(tx: Transaction, *, receivable_ids: Sequence[str], party: str) -> list[Row]:
    """Lock and return the receivables that a confirmation changes; refuse the batch when one cannot be."""
    found = await lock_receivables(tx, receivable_ids)
    rows = []
    for receivable_id in receivable_ids:
        row = found.get(receivable_id)
        if row is None:
            raise UnknownReceivable(receivable_id=receivable_id)
        if row["obligor_id"] != party:
            raise ForeignParty
        if row["disputed"]:
            raise NotPossible(document_id=receivable_id, state="disputed", asked=str(Step.CONFIRM))
        state = told(row["state"])
        if isinstance(advance(document_id=receivable_id, state=state, asked=Step.CONFIRM), AlreadyApplied):
            # An undertaking is not changed in passing: what is confirmed says so.
            raise NotPossible(document_id=receivable_id, state=state, asked=str(Step.CONFIRM))
        rows.append(row)
    return rows
