"""What was paid on a receivable, and how it stands to the bank flow that paid it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.receivables.domain.payments import match_payments
from services.receivables.operations.locking import UnknownReceivable
from shared.storage.database import Database, Transaction
from shared.values.money import Money
from shared.web.auth import ForeignParty

_RECEIVABLE = """
SELECT receivable_id, seller_id, obligor_id, currency, due_date, paid_minor, financeable_minor AS open_minor,
    coalesce((SELECT open_date FROM book), current_date) AS today
FROM receivable WHERE receivable_id = $1
"""
_PAYMENTS = """
SELECT reference, amount_minor, payee, paid_date, drawdown_id FROM payment WHERE receivable_id = $1
ORDER BY paid_date, reference
"""


async def payments(database: Database, *, receivable_id: str, party: str | None) -> dict[str, Any]:
    """Return a receivable's payments with what they come to; UnknownReceivable or ForeignParty otherwise."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(_RECEIVABLE, receivable_id)
        if row is None:
            raise UnknownReceivable(receivable_id=receivable_id)
        if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
            raise ForeignParty
        return {"receivable_id": receivable_id, **await payment_facts(tx, row)}


async def payment_facts(tx: Transaction, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a receivable stands to what was paid: status and reasons, each payment, the sum, what is open."""
    rows = await tx.pg.fetch(_PAYMENTS, row["receivable_id"])
    found = match_payments(
        open_minor=row["open_minor"],
        due_date=row["due_date"],
        paid_dates=[each["paid_date"] for each in rows],
        today=row["today"],
    )
    currency = row["currency"]
    return {
        "status": found.status,
        "reasons": list(found.reasons),
        "paid": Money(row["paid_minor"], currency).wire(),
        "open": Money(row["open_minor"], currency).wire(),
        "payments": [
            {
                "reference": each["reference"],
                "amount": Money(each["amount_minor"], currency).wire(),
                "payee": each["payee"],
                "paid_date": each["paid_date"],
            }
            for each in rows
        ],
    }
