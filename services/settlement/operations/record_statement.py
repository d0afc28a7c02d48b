"""Record the entries of a bank statement: debits prove payments, credits are collected and applied (R5, R18).

An entry is known by its account and id: seen again it does nothing, in whatever statement it comes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Literal

from services.settlement.domain.business_day import check_value_date
from services.settlement.domain.ledger import payment_suspense, suspense
from services.settlement.domain.loans import Input, State
from services.settlement.domain.waterfall import Allocation
from services.settlement.operations.book import open_day
from services.settlement.operations.disburse import Happened, save_payments, take
from services.settlement.operations.loan_rows import Loan, Work, lock_loans, save
from services.settlement.operations.pay_surplus import Surplus, order_surpluses
from services.settlement.operations.post_entries import bookings
from services.settlement.operations.receive import has_room, receive, receive_rest
from services.settlement.operations.run_payments import confirm_others
from shared.events.settlement import CollectionReceived
from shared.storage.audit import Entry as AuditEntry
from shared.storage.audit import record
from shared.storage.database import Database, Transaction
from shared.storage.idempotency import Answer, IdempotencyConflict, Key, claim, complete
from shared.values.ids import new_id
from shared.values.money import Amount, InvalidAmount
from shared.values.policies import policy_on

_WITHOUT_PAUSE = 50  # entries: a long statement must not make the loop stand still
_ENTRY = """
INSERT INTO statement_entry (account, entry_id, collection_id, loan_id, outcome, direction, currency, amount_minor,
    value_date, applied_date, reference, end_to_end_id, costs_minor, penalty_minor, interest_minor, principal_minor,
    surplus_minor, excess_minor, suspense_minor, waiting_minor, suspense_id, document_id, counterparty_account,
    recorded_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19, $20, $21, $22, $23)
"""
_REFERRED = """
SELECT r.reference, r.loan_id FROM loan_reference r JOIN loan l USING (loan_id)
WHERE r.reference = ANY($1) AND l.collection_account = $2 ORDER BY l.maturity_date, l.loan_id
"""
# Refused, what was cleared waits again and what is the seller's is paid anew: either may have gone out since.
_GIVEN_UP = {("clearing", "refused"), ("surplus", "replaced")}
_PARTS = ("costs", "penalty", "interest", "principal", "surplus", "excess")


class EntryConflict(Exception):
    """An entry's id came before with another movement: nobody but a person can tell which one is true (R25)."""

    code: ClassVar[str] = "entry_conflict"

    def __init__(self, *, account: str, entry_id: str) -> None:
        """Keep the account and the id."""
        self.account = account
        self.entry_id = entry_id
        super().__init__(f"The entry {entry_id} of the account {account} was another movement before.")


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One booked movement on an account."""

    entry_id: str
    amount: Amount
    direction: Literal["credit", "debit"]
    value_date: date
    reference: str
    end_to_end_id: str | None
    counterparty_account: str | None = None

    @property
    def movement(self) -> tuple[str, str, int, date]:
        """Return what moved, which one id never means two of."""
        return self.direction, self.amount.currency, self.amount.minor, self.value_date

    def of(self, minor: int) -> Amount:
        """Return a part of what moved."""
        return Amount.of(amount_minor=minor, currency=self.amount.currency)


@dataclass(slots=True)
class _Outcome:
    """What became of an entry."""

    entry: StatementEntry
    outcome: str
    loan: Loan | None = None
    collection_id: str | None = None
    allocation: Allocation = field(default_factory=Allocation)
    counted: date | None = None
    in_suspense: int = 0
    suspense_id: str | None = None
    document_id: str | None = None


@dataclass(slots=True)
class _Statement:
    """A statement being recorded: the loans and payments it names, locked."""

    account: str
    work: Work
    order: Sequence[str]
    loans: dict[str, Loan]
    referred: Mapping[str, Sequence[str]]
    payments: Mapping[str, Mapping[str, Any]]
    proven: set[str]
    owed: frozenset[str]
    went_out: list[tuple[Mapping[str, Any], date]] = field(default_factory=list)
    surpluses_due: list[Surplus] = field(default_factory=list)


async def record_statement(
    database: Database, *, account: str, entries: Sequence[StatementEntry], key: Key, actor: str
) -> Answer:
    """Record entries in the order of their value dates; one that cannot be is refused with the whole statement."""
    _check_amounts(entries)
    async with database.transaction() as tx:
        known = (await claim(tx, keys=[key])).known.get(key.name)
        if isinstance(known, IdempotencyConflict):
            raise known
        if known is not None:
            return known
        open_date = await open_day(tx)
        for entry in entries:
            check_value_date(value_date=entry.value_date, open_date=open_date)
        fresh = await _unseen(tx, account, entries)
        statement = await _load(tx, account, fresh, open_date)
        outcomes = []
        for nth, entry in enumerate(sorted(fresh, key=_turn), start=1):
            outcomes.append(_take(entry, statement))
            if nth % _WITHOUT_PAUSE == 0:
                await asyncio.sleep(0)
        await _write(tx, statement, outcomes, actor)
        answer = Answer(201, json.dumps({"entries": _wire(entries, outcomes)}))
        await complete(tx, answers=[(key, answer)])
    return answer


def _check_amounts(entries: Sequence[StatementEntry]) -> None:
    for entry in entries:
        if entry.amount.minor <= 0:
            raise InvalidAmount(amount=entry.amount.amount, reason="is not above zero")


async def _unseen(tx: Transaction, account: str, entries: Sequence[StatementEntry]) -> list[StatementEntry]:
    """Return the entries never seen on the account, each once; one statement of an account at a time.

    EntryConflict when an id was another movement before, here or in an earlier statement.
    """
    await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended('statement/' || $1, 0))", account)
    rows = await tx.pg.fetch(
        """SELECT entry_id, direction, currency, amount_minor, value_date FROM statement_entry
        WHERE account = $1 AND entry_id = ANY($2)""",
        *(account, [entry.entry_id for entry in entries]),
    )
    seen = {row["entry_id"]: tuple(row)[1:] for row in rows}
    fresh: dict[str, StatementEntry] = {}
    for entry in entries:
        before = seen.setdefault(entry.entry_id, entry.movement)
        if before != entry.movement:
            raise EntryConflict(account=account, entry_id=entry.entry_id)
        fresh.setdefault(entry.entry_id, entry)
    known = {row["entry_id"] for row in rows}
    return [entry for entry_id, entry in fresh.items() if entry_id not in known]


async def _load(tx: Transaction, account: str, entries: Sequence[StatementEntry], open_date: date) -> _Statement:
    words = {word for entry in entries for word in _words(entry.reference)}
    referred: dict[str, list[str]] = {}
    for row in await tx.pg.fetch(_REFERRED, list(words), account):
        referred.setdefault(row["reference"], []).append(row["loan_id"])
    named = [entry.end_to_end_id for entry in entries if entry.end_to_end_id]
    rows = await tx.pg.fetch("SELECT loan_id FROM payment WHERE end_to_end_id = ANY($1)", named)
    loan_ids = {row["loan_id"] for row in rows if row["loan_id"]} | {
        loan_id for found in referred.values() for loan_id in found
    }
    loans = await lock_loans(tx, loan_ids=loan_ids)
    payments = await tx.pg.fetch(
        "SELECT * FROM payment WHERE end_to_end_id = ANY($1) ORDER BY end_to_end_id FOR UPDATE", named
    )
    # Asked once the payments are locked: a statement recorded meanwhile is seen.
    proofs = await tx.pg.fetch(
        "SELECT end_to_end_id FROM statement_entry WHERE end_to_end_id = ANY($1) AND outcome IN ('disbursed', 'paid')",
        named,
    )
    proven = {row["end_to_end_id"] for row in proofs}
    order = policy_on("settlement", on=open_date).values["waterfall"]
    by_id = {row["end_to_end_id"]: row for row in payments}
    debts = await tx.pg.fetch("SELECT receivable_id FROM obligation WHERE receivable_id = ANY($1)", list(words))
    owed = frozenset(row["receivable_id"] for row in debts)
    return _Statement(account, Work(open_date), order, loans, referred, by_id, proven, owed)


def _turn(entry: StatementEntry) -> tuple[date, bool]:
    """Return when an entry's turn comes: by value date, and of one day what proves payments before what repays them."""
    return entry.value_date, entry.direction == "credit"


def _words(reference: str) -> list[str]:
    return [reference.strip(), *reference.split()]


def _take(entry: StatementEntry, statement: _Statement) -> _Outcome:
    return _prove(entry, statement) if entry.direction == "debit" else _collect(entry, statement)


def _prove(entry: StatementEntry, statement: _Statement) -> _Outcome:
    """A debit under an end-to-end id of ours proves that the payment went out, whatever was believed before.

    It proves that once: another debit under the id is money that went out twice, and waits for a person.
    """
    end_to_end_id = entry.end_to_end_id or ""
    payment = statement.payments.get(end_to_end_id)
    expected = payment and (payment["currency"], payment["amount_minor"])
    if payment is None or end_to_end_id in statement.proven or expected != (entry.amount.currency, entry.amount.minor):
        return _unexplained(entry, statement)
    if (payment["purpose"], payment["state"]) in _GIVEN_UP:
        return _unexplained(entry, statement)
    statement.proven.add(end_to_end_id)
    loan = statement.loans.get(payment["loan_id"])
    if loan is None or payment["purpose"] == "surplus":
        if payment["state"] != "confirmed":
            statement.went_out.append((payment, entry.value_date))
        return _Outcome(entry, "paid", loan)
    take(loan, Happened(Input.PROVEN, entry.value_date), work=statement.work)
    return _Outcome(entry, "disbursed", loan)


def _unexplained(entry: StatementEntry, statement: _Statement) -> _Outcome:
    suspense_id, work = new_id(), statement.work
    work.booked += bookings(
        [payment_suspense(entry.amount.minor)],
        currency=entry.amount.currency,
        value_date=entry.value_date,
        posting_date=work.open_date,
        reference=suspense_id,
    )
    return _Outcome(entry, "unmatched", in_suspense=entry.amount.minor, suspense_id=suspense_id)


def _collect(entry: StatementEntry, statement: _Statement) -> _Outcome:
    """A credit is applied to the open loan its reference names, or waits in suspense for a person."""
    collection_id, work, minor = new_id(), statement.work, entry.amount.minor
    loan = _loan_named(entry, statement)
    if loan is None:
        outcome = _Outcome(entry, "unmatched", None, collection_id, in_suspense=minor, suspense_id=collection_id)
        work.booked += bookings(
            [suspense(minor)],
            currency=entry.amount.currency,
            value_date=entry.value_date,
            posting_date=work.open_date,
            reference=collection_id,
        )
    else:
        facts: dict[str, Any] = {"receipt_minor": minor, "value_date": entry.value_date, "collection_id": collection_id}
        if loan.state is State.DISBURSED:
            allocation, counted = receive(loan, **facts, order=statement.order, work=work)
        else:
            allocation, counted = receive_rest(loan, **facts, work=work)
        outcome = _Outcome(entry, "collected", loan, collection_id, allocation, counted)
        if allocation.suspense:
            outcome.in_suspense, outcome.suspense_id = allocation.suspense, collection_id
        if allocation.surplus:
            account, currency = loan.row["seller_account"], loan.row["currency"]
            surplus = Surplus(loan.loan_id, account, currency, allocation.surplus, work.open_date)
            statement.surpluses_due.append(surplus)
    outcome.document_id = _document_named(entry, statement, loan)
    work.events.append(
        CollectionReceived(
            collection_id=collection_id,
            account=statement.account,
            received=entry.amount,
            applied=entry.of(minor - outcome.in_suspense),
            unmatched=entry.of(outcome.in_suspense),
            value_date=entry.value_date,
            reference=entry.reference,
            loan_id=None if loan is None else loan.loan_id,
            document_id=outcome.document_id,
        )
    )
    return outcome


def _document_named(entry: StatementEntry, statement: _Statement, loan: Loan | None) -> str | None:
    """Return the receivable that a credit names: one of its loan's documents, or one that is known to be owed."""
    for word in _words(entry.reference):
        if loan is not None and word != loan.loan_id and loan.loan_id in statement.referred.get(word, ()):
            return word
        if loan is None and word in statement.owed:
            return word
    return None


def _loan_named(entry: StatementEntry, statement: _Statement) -> Loan | None:
    """Return the open loan that a credit names; or a closed one, while the face leaves room for it."""
    named = [
        statement.loans[loan_id]
        for word in _words(entry.reference)
        for loan_id in statement.referred.get(word, ())
        if statement.loans[loan_id].row["currency"] == entry.amount.currency
    ]
    is_open = (loan for loan in named if loan.state is State.DISBURSED)
    with_room = (loan for loan in named if loan.state is State.CLOSED and has_room(loan))
    return next(is_open, None) or next(with_room, None)


async def _write(tx: Transaction, statement: _Statement, outcomes: Sequence[_Outcome], actor: str) -> None:
    await save(tx, list(statement.loans.values()), work=statement.work)
    await save_payments(tx, statement.work)
    await confirm_others(tx, statement.went_out, open_date=statement.work.open_date)
    await order_surpluses(tx, statement.surpluses_due)
    await tx.pg.executemany(_ENTRY, [(statement.account, *_row(each), actor) for each in outcomes])
    facts = {"entries": [each.entry.entry_id for each in outcomes]}
    await record(tx, [AuditEntry(actor, "statement.recorded", statement.account, facts)])


def _row(each: _Outcome) -> tuple[Any, ...]:
    entry = each.entry
    return (
        entry.entry_id,
        each.collection_id,
        each.loan.loan_id if each.loan else None,
        each.outcome,
        entry.direction,
        entry.amount.currency,
        entry.amount.minor,
        entry.value_date,
        each.counted or entry.value_date,
        entry.reference,
        entry.end_to_end_id,
        *(getattr(each.allocation, part) for part in _PARTS),
        each.in_suspense,
        each.suspense_id,
        each.document_id,
        entry.counterparty_account,
    )


def _wire(entries: Sequence[StatementEntry], outcomes: Sequence[_Outcome]) -> list[dict[str, Any]]:
    """Return each entry's outcome in the statement's order; what was not fresh is a duplicate."""
    found = {id(each.entry): each for each in outcomes}
    shown = []
    for entry in entries:
        each = found.get(id(entry))
        item: dict[str, Any] = {"entry_id": entry.entry_id, "outcome": each.outcome if each else "duplicate"}
        if each and each.loan:
            item["loan_id"] = each.loan.loan_id
        if each and each.outcome == "collected":
            item["collection_id"] = each.collection_id
            item |= {part: entry.of(getattr(each.allocation, part)).model_dump() for part in _PARTS}
        shown.append(item)
    return shown
