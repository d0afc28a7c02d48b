"""Order the payment of a surplus to the seller (R17); the rail takes it from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from shared.storage.database import Transaction
from shared.values.ids import new_id


@dataclass(frozen=True, slots=True)
class Surplus:
    """What is due to a seller, and where it goes."""

    loan_id: str
    account: str
    currency: str
    amount_minor: int
    value_date: date


async def order_surpluses(tx: Transaction, surpluses: Sequence[Surplus]) -> None:
    """Write the instructions, each under an end-to-end id of its own."""
    await tx.pg.executemany(
        """INSERT INTO payment (end_to_end_id, loan_id, purpose, account, currency, amount_minor, value_date)
        VALUES ($1, $2, 'surplus', $3, $4, $5, $6)""",
        [
            (new_id().replace("-", ""), each.loan_id, each.account, each.currency, each.amount_minor, each.value_date)
            for each in surpluses
        ],
    )
