"""Loans as operations work on them: locked in id order, changed in memory by the domain's rules, saved set-wise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.settlement.domain.accrual import Balance, Earned, Terms
from services.settlement.domain.instalments import Instalment, Repayment
from services.settlement.domain.loans import State
from services.settlement.operations.post_entries import Booking, post_entries
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount
from shared.values.periods import DayCount

_SAVE = """
UPDATE loan l SET state = n.state, reason = n.reason, incident = n.incident, disbursed_date = n.disbursed_date,
    closed_date = n.closed_date, accrued_through = n.accrued_through, last_receipt_date = n.last_receipt_date,
    outstanding_minor = n.outstanding, interest_minor = n.interest, interest_paid_minor = n.interest_paid,
    penalty_minor = n.penalty, penalty_paid_minor = n.penalty_paid, discount_earned_minor = n.discount_earned,
    costs_paid_minor = n.costs_paid, received_minor = n.received, next_due_date = n.next_due_date
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::date[], $7::date[], $8::date[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::date[])
    AS n(loan_id, state, reason, incident, disbursed_date, closed_date, accrued_through, last_receipt_date,
        outstanding, interest, interest_paid, penalty, penalty_paid, discount_earned, costs_paid, received,
        next_due_date)
WHERE l.loan_id = n.loan_id
"""
_SAVE_BALANCES = """
INSERT INTO loan_balance AS b (loan_id, nth, from_date, outstanding_minor)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::date[], $4::bigint[])
ON CONFLICT (loan_id, nth, from_date) DO UPDATE SET outstanding_minor = excluded.outstanding_minor
WHERE b.outstanding_minor <> excluded.outstanding_minor
"""
_SAVE_INSTALMENTS = """
UPDATE instalment i SET billed_minor = n.billed, settled_date = n.settled
FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::date[]) AS n(loan_id, nth, billed, settled)
WHERE (i.loan_id, i.nth) = (n.loan_id, n.nth)
"""


@dataclass(slots=True)
class Loan:
    """A locked loan: `row` is what never changes, the rest is what operations change."""

    row: Mapping[str, Any]
    state: State
    balances: list[Balance]
    instalments: list[Instalment]
    earned: Earned
    outstanding: int
    interest_paid: int
    penalty_paid: int
    costs_paid: int
    received: int
    reason: str | None
    incident: str | None
    disbursed_date: date | None
    closed_date: date | None
    accrued_through: date | None
    last_receipt_date: date | None
    _loaded: tuple[list[Balance], list[Instalment]] = field(default_factory=lambda: ([], []))

    @property
    def loan_id(self) -> str:
        """Return the id."""
        return str(self.row["loan_id"])

    @property
    def due_from_anchor(self) -> int:
        """Return the discount that the anchor owes because it pays the interest of a purchase."""
        return self.row["discount_minor"] if self.row["interest_payer"] == "anchor" else 0

    def terms(self) -> Terms:
        """Return what accrual needs to know; only of a disbursed loan."""
        if self.disbursed_date is None:
            message = f"the loan {self.loan_id} was not disbursed"
            raise RuntimeError(message)
        return Terms(
            form=self.row["form"],
            rate=self.row["rate"],
            penalty_rate=self.row["penalty_rate"],
            day_count=DayCount(self.row["day_count"]),
            start=self.disbursed_date,
            maturity=self.row["maturity_date"],
            grace_days=self.row["grace_days"],
            discount_minor=self.row["discount_minor"],
            earlier=tuple(each.due_date for each in self.instalments[:-1]),
        )

    @property
    def repayment(self) -> Repayment:
        """Return its instalments with what is outstanding of each; only of a disbursed loan."""
        return Repayment(self.terms(), tuple(self.instalments), tuple(self.balances), self.interest_paid)

    @repayment.setter
    def repayment(self, changed: Repayment) -> None:
        self.balances, self.instalments = list(changed.balances), list(changed.instalments)

    @property
    def next_due_date(self) -> date | None:
        """Return when its oldest instalment that is not paid is due, or was; None once all are paid."""
        return next((each.due_date for each in self.instalments if each.settled is None), None)

    @property
    def new_balances(self) -> list[Balance]:
        """Return the balances that changed since it was read."""
        return [each for each in self.balances if each not in self._loaded[0]]

    @property
    def new_instalments(self) -> list[Instalment]:
        """Return the instalments that changed since it was read."""
        return [each for each in self.instalments if each not in self._loaded[1]]

    def amount(self, minor: int) -> Amount:
        """Return minor units of the loan's currency on the wire."""
        return Amount.of(amount_minor=minor, currency=self.row["currency"])


@dataclass(slots=True)
class Work:
    """What one transaction does to loans, gathered and then written set-wise."""

    open_date: date
    booked: list[Booking] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    payments: dict[str, tuple[str, str | None]] = field(default_factory=dict)


async def lock_loans(tx: Transaction, *, loan_ids: Iterable[str]) -> dict[str, Loan]:
    """Lock loans in id order and return them with their balances."""
    names = sorted(set(loan_ids))
    rows = await tx.pg.fetch("SELECT * FROM loan WHERE loan_id = ANY($1) ORDER BY loan_id FOR UPDATE", names)
    return await with_balances(tx, rows)


async def with_balances(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> dict[str, Loan]:
    """Return rows as loans, with their instalments and balances; locked as the rows are."""
    ids = [row["loan_id"] for row in rows]
    found = await tx.pg.fetch(
        """SELECT loan_id, from_date, outstanding_minor, nth FROM loan_balance WHERE loan_id = ANY($1)
        ORDER BY loan_id, nth, from_date""",
        ids,
    )
    balances: dict[str, list[Balance]] = {}
    for each in found:
        balances.setdefault(each["loan_id"], []).append(Balance(*tuple(each)[1:]))
    found = await tx.pg.fetch(
        """SELECT loan_id, nth, due_date, principal_minor, billed_minor, settled_date FROM instalment
        WHERE loan_id = ANY($1) ORDER BY loan_id, nth""",
        ids,
    )
    instalments: dict[str, list[Instalment]] = {}
    for each in found:
        instalments.setdefault(each["loan_id"], []).append(Instalment(*tuple(each)[1:]))
    return {row["loan_id"]: _loan(row, balances.get(row["loan_id"], []), instalments[row["loan_id"]]) for row in rows}


async def save(tx: Transaction, loans: Sequence[Loan], *, work: Work) -> None:
    """Write changed loans, their balances and instalments, what was booked, and the events that say so."""
    await tx.pg.execute(
        _SAVE,
        [loan.loan_id for loan in loans],
        [loan.state.value for loan in loans],
        [loan.reason for loan in loans],
        [loan.incident for loan in loans],
        [loan.disbursed_date for loan in loans],
        [loan.closed_date for loan in loans],
        [loan.accrued_through for loan in loans],
        [loan.last_receipt_date for loan in loans],
        [loan.outstanding for loan in loans],
        [loan.earned.interest for loan in loans],
        [loan.interest_paid for loan in loans],
        [loan.earned.penalty for loan in loans],
        [loan.penalty_paid for loan in loans],
        [loan.earned.discount for loan in loans],
        [loan.costs_paid for loan in loans],
        [loan.received for loan in loans],
        [loan.next_due_date for loan in loans],
    )
    changed = [
        (loan.loan_id, each.nth, each.from_date, each.outstanding_minor) for loan in loans for each in loan.new_balances
    ]
    await tx.pg.execute(_SAVE_BALANCES, *by_column(changed, width=4))
    billed = [(loan.loan_id, each.nth, each.billed, each.settled) for loan in loans for each in loan.new_instalments]
    await tx.pg.execute(_SAVE_INSTALMENTS, *by_column(billed, width=4))
    await post_entries(tx, work.booked)
    await append(tx, work.events, source="settlement")


def _loan(row: Mapping[str, Any], balances: list[Balance], instalments: list[Instalment]) -> Loan:
    return Loan(
        row=row,
        state=State(row["state"]),
        balances=balances,
        instalments=instalments,
        earned=Earned(row["interest_minor"], row["penalty_minor"], row["discount_earned_minor"]),
        outstanding=row["outstanding_minor"],
        interest_paid=row["interest_paid_minor"],
        penalty_paid=row["penalty_paid_minor"],
        costs_paid=row["costs_paid_minor"],
        received=row["received_minor"],
        reason=row["reason"],
        incident=row["incident"],
        disbursed_date=row["disbursed_date"],
        closed_date=row["closed_date"],
        accrued_through=row["accrued_through"],
        last_receipt_date=row["last_receipt_date"],
        _loaded=(list(balances), list(instalments)),
    )
