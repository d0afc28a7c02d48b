"""Clear what waits in suspense, by two persons: to a loan, to a receivable's owner, back to the payer, against a debit.

The rail pays what goes out. Until it has left, it is ordered and waits for nobody else; refused, it waits again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, ClassVar

from services.settlement.domain import clearing
from services.settlement.domain.clearing import Debt, Waiting, Way
from services.settlement.domain.ledger import Entry as LedgerEntry
from services.settlement.domain.ledger import cleared_against, cleared_out
from services.settlement.domain.loans import State
from services.settlement.domain.waterfall import Allocation
from services.settlement.operations.book import SOURCE, open_day
from services.settlement.operations.find_out import UnknownLoan
from services.settlement.operations.loan_rows import Loan, Work, lock_loans, save
from services.settlement.operations.pay_surplus import Surplus, order_surpluses
from services.settlement.operations.post_entries import bookings, post_entries
from services.settlement.operations.receive import receive, receive_rest
from shared.events.settlement import CollectionCleared
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Amount, CurrencyMismatch
from shared.values.policies import policy_on

KIND = "suspense.clearing"
_ENTRIES = "SELECT * FROM statement_entry WHERE suspense_id = ANY($1) ORDER BY suspense_id FOR UPDATE"
# After the loans and the payments, as everywhere.
_OF_PAYMENTS = """
SELECT s.* FROM statement_entry s WHERE s.suspense_id IN (
    SELECT c.suspense_id FROM clearing c WHERE c.end_to_end_id = ANY($1)) ORDER BY s.suspense_id FOR UPDATE
"""
_DEBT = """
SELECT o.receivable_id, o.creditor_id, o.open_minor, o.ended, o.vouchered,
    EXISTS (SELECT FROM obligation_use u WHERE u.receivable_id = o.receivable_id),
    coalesce((SELECT p.amount_minor FROM debt_paid p WHERE (p.collection_id, p.receivable_id) = ($1, $2)), 0),
    (SELECT coalesce(sum(c.amount_minor), 0)::bigint FROM clearing c
        WHERE c.suspense_id = $1 AND c.receivable_id = $2 AND c.state <> 'refused')
FROM obligation o WHERE o.receivable_id = $2 AND o.currency = $3
"""
_CLEARED = """
INSERT INTO clearing (clearing_id, suspense_id, way, amount_minor, loan_id, receivable_id, against, end_to_end_id,
    state, reason, proposed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_ORDER = """
INSERT INTO payment (end_to_end_id, purpose, account, currency, amount_minor, value_date)
VALUES ($1, 'clearing', $2, $3, $4, $5)
"""
_TAKE = "UPDATE statement_entry SET waiting_minor = waiting_minor - $2 WHERE suspense_id = $1"
_LEFT = """
UPDATE clearing SET state = 'done' WHERE end_to_end_id = ANY($1) AND state = 'ordered'
RETURNING clearing_id, suspense_id, way, amount_minor, receivable_id, end_to_end_id
"""
_REFUSED = """
WITH refused AS (
    UPDATE clearing SET state = 'refused' WHERE end_to_end_id = ANY($1) AND state = 'ordered'
    RETURNING suspense_id, amount_minor)
UPDATE statement_entry s SET waiting_minor = s.waiting_minor + r.minor
FROM (SELECT suspense_id, sum(amount_minor)::bigint AS minor FROM refused GROUP BY suspense_id) r
WHERE s.suspense_id = r.suspense_id
"""
_PASSED = """
SELECT coalesce(sum(amount_minor), 0)::bigint FROM clearing
WHERE suspense_id = $1 AND way = $2 AND state = 'done' AND ($3::text IS NULL OR coalesce(loan_id, receivable_id) = $3)
"""


class UnknownSuspense(LookupError):
    """Nothing came into suspense under this id."""

    code: ClassVar[str] = "unknown_suspense"

    def __init__(self, *, suspense_id: str) -> None:
        """Keep the id asked for."""
        self.suspense_id = suspense_id
        super().__init__(f"Nothing waits under {suspense_id}.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person proposes; what goes out to `account`, back or to the owner of `receivable_id`."""

    way: Way
    minor: int
    reason: str
    loan_id: str | None = None
    receivable_id: str | None = None
    account: str | None = None
    against: str | None = None


@dataclass(slots=True)
class _Clearing:
    """A clearing as it is checked or done: the loan and the entries locked, the debts as they stand."""

    asked: Asked
    entry: Mapping[str, Any]
    waiting: Waiting
    debt: Debt | None
    loan: Loan | None
    against: Mapping[str, Any] | None
    account: str | None = None

    @property
    def counted(self) -> str | None:
        """Return the receivable of which this passes on what it took, or what it is to take."""
        if self.asked.way == "owner":
            return self.asked.receivable_id
        named = self.waiting.named
        return named.receivable_id if self.asked.way == "loan" and named and named.kept else None


async def propose_clearing(
    database: Database, *, suspense_id: str, asked: Asked, amount: Amount | None, actor: str
) -> Approval:
    """Propose what becomes of what waits, all of it unless an amount says less; UnknownSuspense, or why not."""
    async with database.transaction() as tx:
        await open_day(tx)
        entry = await tx.pg.fetchrow("SELECT * FROM statement_entry WHERE suspense_id = $1", suspense_id)
        if entry is None:
            raise UnknownSuspense(suspense_id=suspense_id)
        if amount is not None and amount.currency != entry["currency"]:
            raise CurrencyMismatch(expected=entry["currency"], found=amount.currency)
        content = asdict(asked) | {"minor": entry["waiting_minor"] if amount is None else amount.minor}
        await _checked(tx, suspense_id, Asked(**content))
        proposal = await propose(tx, kind=KIND, subject=suspense_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "clearing.proposed", suspense_id, content)])
    return proposal


async def clear_suspense(tx: Transaction, approval: Approval) -> None:
    """Do what two persons said; the same refusals as when it was proposed, by what is so now."""
    work = Work(await open_day(tx))
    found = await _checked(tx, approval.subject, Asked(**approval.content))
    clearing_id, minor, end_to_end_id = new_id(), found.asked.minor, None
    if found.loan is not None:
        minor = await _repay(tx, found, found.loan, work)
    elif found.account is not None:
        end_to_end_id = new_id().replace("-", "")
        order = (end_to_end_id, found.account, found.entry["currency"], minor, work.open_date)
        await tx.pg.execute(_ORDER, *order)
    elif found.against is not None:
        await _book(tx, cleared_against(minor), found.entry, work.open_date, clearing_id)
        await tx.pg.execute(_TAKE, found.against["suspense_id"], minor)
    await tx.pg.execute(_TAKE, approval.subject, minor)
    await tx.pg.execute(
        _CLEARED,
        *(clearing_id, approval.subject, found.asked.way, minor, found.asked.loan_id, found.counted),
        *(found.asked.against, end_to_end_id, "ordered" if end_to_end_id else "done", found.asked.reason),
        approval.proposer,
    )
    if end_to_end_id is None:
        said = {"clearing_id": clearing_id, "way": found.asked.way, "amount_minor": minor}
        ids = {"loan_id": found.asked.loan_id, "receivable_id": found.counted}
        await _say(tx, approval.subject, {**said, **ids})


async def confirm_clearings(
    tx: Transaction, paid: Sequence[tuple[Mapping[str, Any], date]], *, open_date: date
) -> None:
    """Book what has left, each with the value date it went out on, and say so."""
    dates = {row["end_to_end_id"]: value_date for row, value_date in paid if row["purpose"] == "clearing"}
    if not dates:
        return
    entries = {row["suspense_id"]: row for row in await tx.pg.fetch(_OF_PAYMENTS, list(dates))}
    for row in await tx.pg.fetch(_LEFT, list(dates)):
        entry = entries[row["suspense_id"]]
        left_on = dates[row["end_to_end_id"]]
        await _book(tx, cleared_out(row["amount_minor"]), entry, open_date, row["end_to_end_id"], value_date=left_on)
        await _say(tx, row["suspense_id"], {**row, "loan_id": None})


async def refuse_clearings(tx: Transaction, end_to_end_ids: Sequence[str]) -> None:
    """Let what the rail refused wait again, for another decision."""
    if not end_to_end_ids:
        return
    await tx.pg.fetch(_OF_PAYMENTS, list(end_to_end_ids))
    await tx.pg.execute(_REFUSED, list(end_to_end_ids))


async def _checked(tx: Transaction, suspense_id: str, asked: Asked) -> _Clearing:
    loans = await lock_loans(tx, loan_ids=[asked.loan_id] if asked.loan_id else [])
    rows = {row["suspense_id"]: row for row in await tx.pg.fetch(_ENTRIES, [suspense_id, asked.against])}
    if suspense_id not in rows:
        raise UnknownSuspense(suspense_id=suspense_id)
    entry = rows[suspense_id]
    # On a loan its documents took what the loan did, and what waits is what it left.
    named = await _debt(tx, entry, entry["document_id"]) if entry["loan_id"] is None else None
    waits, received, direction, currency = (
        entry[name] for name in ("waiting_minor", "amount_minor", "direction", "currency")
    )
    waiting = Waiting(waits, received, direction, currency, entry["counterparty_account"], named)
    waiting.check(asked.way, minor=asked.minor)
    debt = await _debt(tx, entry, asked.receivable_id) if asked.way == "owner" else None
    found = _Clearing(asked, entry, waiting, debt, loans.get(asked.loan_id or ""), rows.get(asked.against or ""))
    await _check_way(tx, found)
    return found


async def _check_way(tx: Transaction, found: _Clearing) -> None:
    asked, waiting = found.asked, found.waiting
    match asked.way:
        case "loan":
            await _check_loan(tx, found)
        case "owner":
            owner = clearing.check_owner(found.debt, minor=asked.minor)
            found.account = await tx.pg.fetchval("SELECT account FROM enterprise WHERE enterprise_id = $1", owner)
            if found.account is None:
                message = "The account of the receivable's owner is not known."
                raise clearing.NotItsOwners(message)
        case "payer":
            found.account = clearing.return_account(waiting, account=asked.account)
        case "debit":
            clearing.check_against(_waiting(found.against), waiting, minor=asked.minor)


async def _check_loan(tx: Transaction, found: _Clearing) -> None:
    loan, asked, named = found.loan, found.asked, found.waiting.named
    if loan is None:
        raise UnknownLoan(loan_id=asked.loan_id or "")
    if loan.row["currency"] != found.waiting.currency:
        raise CurrencyMismatch(expected=found.waiting.currency, found=loan.row["currency"])
    referred = "SELECT true FROM loan_reference WHERE (reference, loan_id) = ($1, $2)"
    is_of_loan = named is not None and bool(await tx.pg.fetchval(referred, named.receivable_id, loan.loan_id))
    clearing.check_loan(found.waiting, minor=asked.minor, borrower_id=loan.row["enterprise_id"], is_of_loan=is_of_loan)
    if loan.state not in {State.DISBURSED, State.CLOSED}:
        raise clearing.TakesNothing


async def _repay(tx: Transaction, found: _Clearing, loan: Loan, work: Work) -> int:
    """Let a loan take what it can by its waterfall, from the date the money came; return how much it took."""
    facts: dict[str, Any] = {
        "receipt_minor": found.asked.minor,
        "value_date": found.entry["value_date"],
        "collection_id": found.entry["collection_id"],
        "work": work,
        "waited": True,
    }
    allocation: Allocation
    if loan.state is State.DISBURSED:
        order = policy_on("settlement", on=work.open_date).values["waterfall"]
        allocation, _ = receive(loan, **facts, order=order)
    else:
        allocation, _ = receive_rest(loan, **facts)
    took = allocation.total - allocation.suspense
    if not took:
        raise clearing.TakesNothing
    await save(tx, [loan], work=work)
    if allocation.surplus:
        row = loan.row
        due = Surplus(loan.loan_id, row["seller_account"], row["currency"], allocation.surplus, work.open_date)
        await order_surpluses(tx, [due])
    return took


async def _say(tx: Transaction, suspense_id: str, done: Mapping[str, Any]) -> None:
    (entry,) = await tx.pg.fetch("SELECT * FROM statement_entry WHERE suspense_id = $1", suspense_id)

    def amount(minor: int) -> Amount:
        return Amount.of(amount_minor=minor, currency=entry["currency"])

    way, loan_id = done["way"], done["loan_id"]
    owed = done["receivable_id"] if way == "owner" else None
    passed = await tx.pg.fetchval(_PASSED, suspense_id, way, loan_id or owed)
    if loan_id is not None and loan_id == entry["loan_id"]:
        # What the loan took when the receipt came is of the same receipt.
        passed += entry["amount_minor"] - entry["suspense_minor"]
    event = CollectionCleared(
        collection_id=entry["collection_id"],
        clearing_id=done["clearing_id"],
        way=way,
        amount=amount(done["amount_minor"]),
        passed=amount(passed),
        unmatched=amount(entry["waiting_minor"] + await _under_way(tx, suspense_id)),
        value_date=entry["value_date"],
        loan_id=loan_id,
        document_id=owed,
    )
    await append(tx, [event], source=SOURCE)


async def _under_way(tx: Transaction, suspense_id: str) -> int:
    found: int = await tx.pg.fetchval(
        """SELECT coalesce(sum(amount_minor), 0)::bigint FROM clearing
        WHERE suspense_id = $1 AND state = 'ordered'""",
        suspense_id,
    )
    return found


async def _book(
    tx: Transaction,
    entry: LedgerEntry,
    of: Mapping[str, Any],
    open_date: date,
    reference: str,
    *,
    value_date: date | None = None,
) -> None:
    booked = bookings(
        [entry],
        currency=of["currency"],
        value_date=value_date or open_date,
        posting_date=open_date,
        reference=reference,
    )
    await post_entries(tx, booked)


async def _debt(tx: Transaction, entry: Mapping[str, Any], receivable_id: str | None) -> Debt | None:
    if receivable_id is None:
        return None
    row = await tx.pg.fetchrow(_DEBT, entry["suspense_id"], receivable_id, entry["currency"])
    return None if row is None else Debt(*row)


def _waiting(entry: Mapping[str, Any] | None) -> Waiting | None:
    if entry is None:
        return None
    return Waiting(entry["waiting_minor"], entry["amount_minor"], entry["direction"], entry["currency"])
