"""Loans, receipts and the ledger as settlement's API reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.settlement.domain.accrual import days_past_due
from services.settlement.domain.business_day import BookNotOpen
from services.settlement.domain.instalments import Line, schedule
from services.settlement.domain.ledger import Account
from services.settlement.domain.staging import stage
from services.settlement.operations.clear_suspense import UnknownSuspense
from services.settlement.operations.find_out import UnknownLoan
from services.settlement.operations.loan_rows import Loan, with_balances
from shared.storage.database import Database, Transaction
from shared.storage.paging import page
from shared.values.money import Amount
from shared.values.rates import rate_text

_PARTS = ("costs", "penalty", "interest", "principal", "surplus", "excess")
_INCOME = {
    Account.INTEREST: "interest",
    Account.DISCOUNT: "discount",
    Account.PENALTY: "penalty",
    Account.FEES: "fees",
    Account.EXCESS: "excess",
}


async def current_day(database: Database) -> date:
    """Return the open day; BookNotOpen when there is none."""
    async with database.reader() as tx:
        found = await _open_date(tx)
    if found is None:
        raise BookNotOpen
    return found


async def loan(database: Database, *, loan_id: str) -> dict[str, Any]:
    """Return one loan with its schedule and its payments, the surplus' too: where each stands; UnknownLoan."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM loan WHERE loan_id = $1", loan_id)
        if row is None:
            raise UnknownLoan(loan_id=loan_id)
        payments = await tx.pg.fetch("SELECT * FROM payment WHERE loan_id = $1 ORDER BY end_to_end_id", loan_id)
        on = await _open_date(tx)
        found = (await with_balances(tx, [row]))[loan_id]
    return {**_loan(row, on), "schedule": _schedule(found, on), "payments": [_payment(each) for each in payments]}


async def loans(database: Database, *, party: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of loans, a party's own when one asks (R23)."""
    async with database.snapshot() as tx:
        rows = await tx.pg.fetch(
            """SELECT * FROM loan WHERE loan_id > $1 AND ($2::text IS NULL OR enterprise_id = $2)
            ORDER BY loan_id LIMIT $3""",
            *(after, party, limit + 1),
        )
        on = await _open_date(tx)
    return page([_loan(row, on) for row in rows], limit=limit, key=lambda item: str(item["loan_id"]))


async def collections(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of receipts and how each was applied."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT * FROM statement_entry WHERE collection_id IS NOT NULL AND collection_id > $1
            ORDER BY collection_id LIMIT $2""",
            *(after, limit + 1),
        )
    return page([_collection(row) for row in rows], limit=limit, key=lambda item: str(item["collection_id"]))


async def suspense(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of what waits in suspense for a person: the entry it came with, and how much of it waits."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT * FROM statement_entry WHERE waiting_minor > 0 AND suspense_id > $1
            ORDER BY suspense_id LIMIT $2""",
            *(after, limit + 1),
        )
    return page([_suspense(row) for row in rows], limit=limit, key=lambda item: str(item["suspense_id"]))


async def suspended(database: Database, *, suspense_id: str) -> dict[str, Any]:
    """Return what came into suspense and what became of it; UnknownSuspense."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM statement_entry WHERE suspense_id = $1", suspense_id)
        if row is None:
            raise UnknownSuspense(suspense_id=suspense_id)
        cleared = await tx.pg.fetch(
            "SELECT * FROM clearing WHERE suspense_id = $1 OR against = $1 ORDER BY clearing_id", suspense_id
        )
    plain = (
        *("clearing_id", "suspense_id", "way", "loan_id", "receivable_id", "against", "end_to_end_id", "state"),
        *("reason", "proposed_by", "cleared_at"),
    )
    clearings = [
        {
            **{name: each[name] for name in plain},
            "amount": Amount.of(amount_minor=each["amount_minor"], currency=row["currency"]).model_dump(),
        }
        for each in cleared
    ]
    return {**_suspense(row), "clearings": clearings}


async def accounts(database: Database) -> dict[str, Any]:
    """Return every account of the ledger with its balance, on the side on which it grows."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT a.account, a.side, p.currency, sum(p.debit_minor)::bigint AS debit,
                sum(p.credit_minor)::bigint AS credit
            FROM ledger_posting p JOIN ledger_account a USING (account)
            GROUP BY a.account, a.side, p.currency ORDER BY a.account, p.currency"""
        )
    return {"items": [_account(row) for row in rows], "next": None}


async def transactions(database: Database, *, loan_id: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of ledger transactions with their postings, in the order they were posted."""
    async with database.snapshot() as tx:
        rows = await tx.pg.fetch(
            """SELECT * FROM ledger_transaction WHERE transaction_id > $1 AND ($2::text IS NULL OR loan_id = $2)
            ORDER BY transaction_id LIMIT $3""",
            *(after, loan_id, limit + 1),
        )
        postings = await tx.pg.fetch(
            "SELECT * FROM ledger_posting WHERE transaction_id = ANY($1) ORDER BY transaction_id, line",
            [row["transaction_id"] for row in rows],
        )
    sides: dict[str, list[dict[str, Any]]] = {}
    for each in postings:
        amounts = {side: _money(each, f"{side}_minor") for side in ("debit", "credit")}
        sides.setdefault(each["transaction_id"], []).append({"account": each["account"], **amounts})
    items = [{**dict(row), "postings": sides.get(row["transaction_id"], [])} for row in rows]
    return page(items, limit=limit, key=lambda item: str(item["transaction_id"]))


async def income(database: Database) -> dict[str, Any]:
    """Return what the bank earned, per currency and kind."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT currency, account, sum(credit_minor - debit_minor)::bigint AS earned FROM ledger_posting
            WHERE account = ANY($1) GROUP BY currency, account ORDER BY currency""",
            [account.value for account in _INCOME],
        )
    earned: dict[str, dict[str, int]] = {}
    for row in rows:
        earned.setdefault(row["currency"], {})[_INCOME[Account(row["account"])]] = row["earned"]
    items = [
        {
            "currency": currency,
            **{
                name: Amount.of(amount_minor=found.get(name, 0), currency=currency).model_dump()
                for name in _INCOME.values()
            },
        }
        for currency, found in earned.items()
    ]
    return {"items": items, "next": None}


async def _open_date(tx: Transaction) -> date | None:
    found: date | None = await tx.pg.fetchval("SELECT open_date FROM book")
    return found


def _payment(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("end_to_end_id", "purpose", "state", "reason", "value_date")}
    return {**shown, "amount": _money(row, "amount_minor")}


def _loan(row: Mapping[str, Any], on: date | None) -> dict[str, Any]:
    is_open = row["state"] == "disbursed"
    oldest = row["next_due_date"]
    overdue = days_past_due(due_date=oldest, on=on) if is_open and on and oldest else 0
    due_from_anchor = row["discount_minor"] if row["interest_payer"] == "anchor" and row["disbursed_date"] else 0
    interest_due = row["interest_minor"] + due_from_anchor - row["interest_paid_minor"]
    plain = (
        *("loan_id", "enterprise_id", "obligor_id", "payee_id", "programme_id", "form", "currency", "day_count"),
        *("state", "reason", "incident", "end_to_end_id", "disbursed_date", "closed_date", "maturity_date"),
        *("grace_days", "recourse", "collection_account", "instructed_at", "plan", "early_repayment"),
    )
    amounts = {
        "principal": row["principal_minor"],
        "face": row["face_minor"],
        "fee": row["fee_minor"],
        "discount": row["discount_minor"],
        "paid_out": row["paid_out_minor"],
        "outstanding": row["outstanding_minor"],
        "interest_accrued": row["interest_minor"] + row["discount_earned_minor"],
        "interest_due": interest_due,
        "penalty_accrued": row["penalty_minor"],
        "penalty_due": row["penalty_minor"] - row["penalty_paid_minor"],
        "costs_due": row["costs_minor"] - row["costs_paid_minor"],
    }
    wire = {
        name: Amount.of(amount_minor=minor, currency=row["currency"]).model_dump() for name, minor in amounts.items()
    }
    return {
        **{name: row[name] for name in plain},
        **wire,
        "rate": rate_text(row["rate"]),
        "penalty_rate": rate_text(row["penalty_rate"]),
        "days_past_due": overdue,
        "stage": stage(days_past_due=overdue),
        "next_due_date": oldest if is_open else None,
    }


def _schedule(found: Loan, on: date | None) -> list[dict[str, Any]]:
    """Return each instalment of a loan that was paid out, and what the plan says of any other."""
    if found.disbursed_date is None or on is None:
        return [
            {
                "nth": each.nth,
                "due_date": each.due_date,
                "principal": found.amount(each.principal).model_dump(),
                "state": "planned",
            }
            for each in found.instalments
        ]
    return [_line(found, each) for each in schedule(found.repayment, on=on)]


def _line(found: Loan, line: Line) -> dict[str, Any]:
    part = line.instalment
    amounts = {
        "principal": part.principal,
        "interest": line.interest,
        "total": part.principal + line.interest,
        "principal_paid": line.principal_paid,
        "interest_paid": line.interest_paid,
        "open": part.principal + line.interest - line.principal_paid - line.interest_paid,
    }
    return {
        "nth": part.nth,
        "due_date": part.due_date,
        **{name: found.amount(minor).model_dump() for name, minor in amounts.items()},
        "state": line.state,
        "settled_date": part.settled,
    }


def _collection(row: Mapping[str, Any]) -> dict[str, Any]:
    received = _money(row, "amount_minor")
    applied = Amount.of(amount_minor=row["amount_minor"] - row["suspense_minor"], currency=row["currency"])
    return {
        **{name: row[name] for name in ("collection_id", "account", "entry_id", "loan_id", "value_date")},
        **{name: row[name] for name in ("applied_date", "reference", "outcome", "recorded_at")},
        "received": received,
        "applied": applied.model_dump(),
        "unmatched": _money(row, "suspense_minor"),
        **{part: _money(row, f"{part}_minor") for part in _PARTS},
    }


def _suspense(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = (
        *("suspense_id", "account", "entry_id", "direction", "outcome", "loan_id", "value_date", "reference"),
        *("end_to_end_id", "document_id", "counterparty_account", "recorded_by", "recorded_at"),
    )
    return {
        **{name: row[name] for name in plain},
        "moved": _money(row, "amount_minor"),
        "in_suspense": _money(row, "suspense_minor"),
        "waiting": _money(row, "waiting_minor"),
    }


def _account(row: Mapping[str, Any]) -> dict[str, Any]:
    debit, credit = row["debit"], row["credit"]
    balance = debit - credit if row["side"] == "debit" else credit - debit
    amounts = {"debit": debit, "credit": credit, "balance": balance}
    return {
        "account": row["account"],
        "currency": row["currency"],
        "side": row["side"],
        **{
            name: Amount.of(amount_minor=minor, currency=row["currency"]).model_dump()
            for name, minor in amounts.items()
        },
    }


def _money(row: Mapping[str, Any], column: str) -> dict[str, str]:
    return Amount.of(amount_minor=row[column], currency=row["currency"]).model_dump()
