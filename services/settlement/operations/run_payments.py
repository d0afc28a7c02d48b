"""Send what is due, hear what the rail says, and notice its silence.

A payment is marked as sent before the rail gets it, so a stop can never overtake it; what was marked and then lost in
a crash is submitted again under the same end-to-end id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.settlement.domain.ledger import surplus_payment
from services.settlement.domain.loans import Input
from services.settlement.operations.book import open_day
from services.settlement.operations.clear_suspense import confirm_clearings, refuse_clearings
from services.settlement.operations.disburse import Happened, save_payments, take
from services.settlement.operations.loan_rows import Work, lock_loans, save
from services.settlement.operations.post_entries import bookings, post_entries
from services.settlement.operations.rail import Order, Rail, RailAnswer
from shared.runtime.failpoints import reached
from shared.storage.database import Database, Transaction

_BATCH = 500
_ANSWERS = 100  # in one transaction: the loop must not stand still
_ANY_OPEN = "SELECT true FROM payment WHERE state IN ('due', 'sent', 'unknown', 'given_up') LIMIT 1"
_UNANSWERED = "SELECT end_to_end_id FROM payment WHERE state IN ('sent', 'unknown', 'given_up')"
_SEND = """
UPDATE payment SET state = 'sent', sent_at = clock_timestamp() WHERE end_to_end_id IN (
    SELECT end_to_end_id FROM payment WHERE state = 'due' ORDER BY end_to_end_id LIMIT $1 FOR UPDATE SKIP LOCKED)
"""
_UNSUBMITTED = """
SELECT end_to_end_id, account, currency, amount_minor, value_date FROM payment
WHERE state IN ('sent', 'unknown') AND submitted_at IS NULL ORDER BY end_to_end_id LIMIT $1
"""
# A row that is locked just now is submitted once more: the rail knows its end-to-end id.
_SUBMITTED = """
UPDATE payment SET submitted_at = clock_timestamp() WHERE end_to_end_id IN (
    SELECT end_to_end_id FROM payment WHERE end_to_end_id = ANY($1) ORDER BY 1 FOR UPDATE SKIP LOCKED)
"""
_SILENT = """
SELECT end_to_end_id FROM payment
WHERE state = 'sent' AND submitted_at < clock_timestamp() - make_interval(secs => $1) ORDER BY end_to_end_id LIMIT $2
"""


async def run_payments(database: Database, rail: Rail, *, timeout_s: float) -> None:
    """Do one round; a round with nothing to do is one read."""
    async with database.reader() as tx:
        if not await tx.pg.fetchval(_ANY_OPEN):
            return
    async with database.transaction() as tx:
        await tx.pg.execute(_SEND, _BATCH)
    await _submit(database, rail)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_UNANSWERED)
    answers = await rail.answers([row["end_to_end_id"] for row in rows])
    for start in range(0, len(answers), _ANSWERS):
        async with database.transaction() as tx:
            await _hear(tx, answers[start : start + _ANSWERS])
    async with database.transaction() as tx:
        silent = await tx.pg.fetch(_SILENT, timeout_s, _BATCH)
        if silent:
            await _notice_silence(tx, [row["end_to_end_id"] for row in silent])


async def _submit(database: Database, rail: Rail) -> None:
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_UNSUBMITTED, _BATCH)
    if not rows:
        return
    await rail.submit([Order(*row) for row in rows])
    reached("rail.submitted")
    async with database.transaction() as tx:
        await tx.pg.execute(
            _SUBMITTED,
            [row["end_to_end_id"] for row in rows],
        )


async def _hear(tx: Transaction, answers: Sequence[RailAnswer]) -> None:
    """Apply answers; one that was heard before, or overtaken by evidence, does nothing."""
    open_date = await open_day(tx)
    said = {answer.end_to_end_id: answer for answer in answers}
    inputs = {}
    for row in await _disbursements(tx, list(said)):
        answer = said[row["end_to_end_id"]]
        paid = Happened(Input.CONFIRMED, answer.value_date)
        refused = Happened(Input.REFUSED, answer.value_date, "refused_by_the_rail")
        inputs[row["loan_id"]] = paid if answer.paid else refused
    await _take_all(tx, inputs, open_date=open_date)
    others = await _others(tx, list(said))
    went_out = [(row, said[row["end_to_end_id"]].value_date) for row in others if said[row["end_to_end_id"]].paid]
    await confirm_others(tx, went_out, open_date=open_date)
    came_back = [row for row in others if not said[row["end_to_end_id"]].paid]
    await _mark(tx, [row["end_to_end_id"] for row in came_back], state="refused")
    await refuse_clearings(tx, [row["end_to_end_id"] for row in came_back if row["purpose"] == "clearing"])


async def _notice_silence(tx: Transaction, end_to_end_ids: Sequence[str]) -> None:
    open_date = await open_day(tx)
    waiting = await _disbursements(tx, end_to_end_ids)
    silent = {row["loan_id"]: Happened(Input.SILENT, row["value_date"]) for row in waiting}
    await _take_all(tx, silent, open_date=open_date)
    others = await _others(tx, end_to_end_ids)
    await _mark(tx, [row["end_to_end_id"] for row in others if row["state"] == "sent"], state="unknown")


async def _take_all(tx: Transaction, inputs: Mapping[str, Happened], *, open_date: date) -> None:
    if not inputs:
        return
    loans = await lock_loans(tx, loan_ids=inputs)
    work = Work(open_date)
    moved = [loan for loan in loans.values() if take(loan, inputs[loan.loan_id], work=work)]
    await save(tx, moved, work=work)
    await save_payments(tx, work)


async def confirm_others(tx: Transaction, paid: Sequence[tuple[Mapping[str, Any], date]], *, open_date: date) -> None:
    """Book surpluses and cleared money that went out, each with the value date it went out on."""
    booked = []
    for row, value_date in paid:
        if row["purpose"] != "surplus":
            continue
        booked += bookings(
            [surplus_payment(row["amount_minor"])],
            currency=row["currency"],
            value_date=value_date,
            posting_date=open_date,
            loan_id=row["loan_id"],
            reference=row["end_to_end_id"],
        )
    await post_entries(tx, booked)
    await _mark(tx, [row["end_to_end_id"] for row, _ in paid], state="confirmed")
    await confirm_clearings(tx, paid, open_date=open_date)


async def _disbursements(tx: Transaction, end_to_end_ids: Sequence[str]) -> list[Any]:
    """Return disbursement payments; their loans, locked next, decide what an answer still does."""
    rows: list[Any] = await tx.pg.fetch(
        "SELECT * FROM payment WHERE end_to_end_id = ANY($1) AND purpose = 'disbursement'", list(end_to_end_ids)
    )
    return rows


async def _others(tx: Transaction, end_to_end_ids: Sequence[str]) -> list[Any]:
    """Lock the payments of surpluses and of cleared money that still wait; always after loans."""
    rows: list[Any] = await tx.pg.fetch(
        """SELECT * FROM payment WHERE end_to_end_id = ANY($1) AND purpose <> 'disbursement'
            AND state IN ('sent', 'unknown') ORDER BY end_to_end_id FOR UPDATE""",
        list(end_to_end_ids),
    )
    return rows


async def _mark(tx: Transaction, end_to_end_ids: Sequence[str], *, state: str) -> None:
    await tx.pg.execute(
        """UPDATE payment SET state = $2, answered_at = CASE WHEN $2 = 'unknown' THEN NULL ELSE clock_timestamp() END
        WHERE end_to_end_id = ANY($1)""",
        *(list(end_to_end_ids), state),
    )
