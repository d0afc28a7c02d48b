"""Write ledger transactions set-wise; what is written is never changed (R20)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from services.settlement.domain.ledger import Entry
from shared.storage.database import Transaction
from shared.values.ids import new_id

_CHUNK = 500
_WRITE = """
WITH given AS (
    INSERT INTO ledger_transaction (transaction_id, kind, loan_id, currency, value_date, posting_date, reference)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::date[], $7::text[]))
INSERT INTO ledger_posting (transaction_id, line, account, currency, debit_minor, credit_minor)
SELECT * FROM unnest($8::text[], $9::smallint[], $10::text[], $11::text[], $12::bigint[], $13::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Booking:
    """A ledger entry with what it belongs to and its two dates."""

    entry: Entry
    currency: str
    value_date: date
    posting_date: date
    loan_id: str | None = None
    reference: str = ""


def bookings(
    entries: Iterable[Entry],
    *,
    currency: str,
    value_date: date,
    posting_date: date,
    loan_id: str | None = None,
    reference: str = "",
) -> list[Booking]:
    """Return entries of one loan and day as bookings."""
    return [Booking(entry, currency, value_date, posting_date, loan_id, reference) for entry in entries]


async def post_entries(tx: Transaction, booked: Sequence[Booking]) -> None:
    """Write bookings in their order."""
    for start in range(0, len(booked), _CHUNK):
        await _write(tx, booked[start : start + _CHUNK])


async def _write(tx: Transaction, booked: Sequence[Booking]) -> None:
    ids = [new_id() for _ in booked]
    lines = [
        (transaction_id, nth, posting.account.value, each.currency, posting.debit, posting.credit)
        for transaction_id, each in zip(ids, booked, strict=True)
        for nth, posting in enumerate(each.entry.postings, start=1)
    ]
    await tx.pg.execute(
        _WRITE,
        ids,
        [each.entry.kind.value for each in booked],
        [each.loan_id for each in booked],
        [each.currency for each in booked],
        [each.value_date for each in booked],
        [each.posting_date for each in booked],
        [each.reference for each in booked],
        *([line[column] for line in lines] for column in range(6)),
    )
