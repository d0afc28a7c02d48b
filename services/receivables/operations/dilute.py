"""Dilute a receivable: a credit note or set-off lowers what can be financed, never the loan (R6)."""

from __future__ import annotations

from typing import Any, ClassVar

from services.receivables.domain.financeable import dilute
from services.receivables.domain.receivables import Step, advance
from services.receivables.operations.lowering import lock_to_lower
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty


class DuplicateDilution(ValueError):
    """The credit note was taken off this receivable before."""

    code: ClassVar[str] = "duplicate_dilution"

    def __init__(self, *, receivable_id: str, reference: str) -> None:
        """Keep the receivable and the note's reference."""
        self.receivable_id = receivable_id
        self.reference = reference
        super().__init__(f"The note {reference!r} was taken off this receivable before.")


async def dilute_receivable(
    tx: Transaction,
    *,
    receivable_id: str,
    amount: Amount,
    reason: str,
    reference: str,
    party: str | None,
    actor: str,
) -> dict[str, Any]:
    """Take a note off a receivable; documents assigned but not yet paid for are withdrawn (DOMAIN §5)."""
    lowering = await lock_to_lower(tx, [receivable_id])
    found, by = lowering.of(receivable_id), amount.money()
    row = found.row
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    advance(document_id=receivable_id, state=row["state"], asked=Step.DILUTE)
    left = dilute(
        receivable_id=receivable_id,
        financeable=Money(row["financeable_minor"], row["currency"]),
        by=by,
        undertaking=row["undertaking"],
        vouchered=row["vouchered"],
    )
    if reference in found.noted:
        raise DuplicateDilution(receivable_id=receivable_id, reference=reference)
    lowering.note(receivable_id, by=by, reference=reference, reason=reason, actor=actor)
    await lowering.write(tx)
    await record(tx, [Entry(actor, "receivable.diluted", receivable_id, {"by": by.wire(), "reference": reference})])
    return {"receivable_id": receivable_id, "by": by.wire(), "financeable": left.wire(), "reference": reference}
