"""Lower what is open of receivables: credit notes, set-offs told by hand, payments (R6, R7); set-wise, locked once.

What falls is what can be financed, never a loan. Documents assigned but not yet paid for are withdrawn (DOMAIN §5);
what nothing is open of is settled, unless a loan stands on it: then the loan's end settles it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date

from services.receivables.domain.payments import Payee
from services.receivables.domain.receivables import Executed, Happened, Step, advance, advance_assignment
from services.receivables.operations.locking import Row, UnknownReceivable, lock_receivables
from services.receivables.operations.register import Fallen, amend
from shared.events.envelope import Event
from shared.events.receivables import DocumentsWithdrawn, ReceivableDiluted, ReceivablePaid, ReceivableSettled
from shared.messaging.outbox import append
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount, Money

SOURCE = "receivables"

# The assignments are locked before their documents, as everywhere.
_ASSIGNMENTS = """
SELECT a.drawdown_id, a.state FROM assignment a JOIN receivable r USING (drawdown_id)
WHERE r.receivable_id = ANY($1) ORDER BY a.drawdown_id FOR UPDATE OF a
"""
_NOTED = "SELECT receivable_id, reference FROM dilution WHERE receivable_id = ANY($1)"
_LOWER = """
UPDATE receivable r SET financeable_minor = d.open, paid_minor = d.paid, state = d.state
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS d(receivable_id, open, paid, state)
WHERE r.receivable_id = d.receivable_id
"""
_WITHDRAW = """
UPDATE assignment a SET state = 'withdrawn', reason = d.reason FROM unnest($1::text[], $2::text[])
    AS d(drawdown_id, reason) WHERE a.drawdown_id = d.drawdown_id
"""
_NOTE = """
INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor, credit_note_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
"""
_PAID = """
INSERT INTO payment (receivable_id, reference, amount_minor, payee, paid_date, drawdown_id, actor)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::date[], $6::text[], $7::text[])
"""


# A document is assigned between two statements once: its assignment is seen at the next look.
_ATTEMPTS = 3


class _AssignedMeanwhile(Exception):
    """A receivable was assigned after the assignments were locked."""


@dataclass(slots=True)
class Locked:
    """A locked receivable and what becomes of it."""

    row: Row
    open_minor: int
    paid_minor: int
    state: str
    noted: set[str]
    assignment: Row | None

    def take(self, *, by_minor: int) -> None:
        """Take so much off what is open; what is free and owes nothing any more is settled."""
        self.open_minor -= by_minor
        if self.open_minor == 0 and self.state in {"validated", "confirmed"} and not self.row["vouchered"]:
            step = advance(document_id=self.row["receivable_id"], state=self.state, asked=Step.SETTLE)
            if isinstance(step, Executed):
                self.state = step.state.value


@dataclass(slots=True)
class Lowering:
    """The receivables that a transaction lowers, and what it will say of them."""

    locked: dict[str, Locked]
    said: list[Event] = field(default_factory=list)
    _notes: list[tuple[str, str, int, str, str, str | None]] = field(default_factory=list)
    _payments: list[tuple[str, str, int, str, date, str | None, str]] = field(default_factory=list)
    _withdrawn: dict[str, str] = field(default_factory=dict)
    _fallen: list[Fallen] = field(default_factory=list)

    def of(self, receivable_id: str) -> Locked:
        """Return one of them; UnknownReceivable when there is none."""
        if receivable_id not in self.locked:
            raise UnknownReceivable(receivable_id=receivable_id)
        return self.locked[receivable_id]

    def note(
        self,
        receivable_id: str,
        *,
        by: Money,
        reference: str,
        reason: str,
        actor: str,
        credit_note_id: str | None = None,
    ) -> None:
        """Take a note off a receivable, under its reference; NotPossible when its state does not allow it."""
        found = self.of(receivable_id)
        advance(document_id=receivable_id, state=found.state, asked=Step.DILUTE)
        found.take(by_minor=by.amount_minor)
        found.noted.add(reference)
        self._notes.append((receivable_id, reference, by.amount_minor, reason, actor, credit_note_id))
        left = Amount.of(amount_minor=found.open_minor, currency=by.currency)
        taken = Amount(**by.wire())
        self.said.append(ReceivableDiluted(receivable_id=receivable_id, by=taken, financeable=left, reason=reason))
        drawdown_id = found.row["drawdown_id"]
        if drawdown_id is not None:
            self._fallen.append(Fallen(drawdown_id, receivable_id, by.amount_minor, found.open_minor, reason))
        self.withdraw(receivable_id, reason=f"diluted: {reason}")

    def pay(
        self,
        receivable_id: str,
        *,
        by: Money,
        reference: str,
        payee: Payee,
        paid_date: date,
        actor: str,
        drawdown_id: str | None = None,
        collection_id: str | None = None,
    ) -> None:
        """Take a payment off what is open; with a `drawdown_id` it went through that loan's waterfall.

        A `collection_id` names the receipt of which it took so much without a loan.
        """
        found = self.of(receivable_id)
        found.paid_minor += by.amount_minor
        found.take(by_minor=by.amount_minor)
        self._payments.append((receivable_id, reference, by.amount_minor, payee, paid_date, drawdown_id, actor))
        self.said.append(
            ReceivablePaid(
                receivable_id=receivable_id,
                by=Amount(**by.wire()),
                paid=Amount.of(amount_minor=found.paid_minor, currency=by.currency),
                financeable=Amount.of(amount_minor=found.open_minor, currency=by.currency),
                payee=payee,
                paid_date=paid_date,
                drawdown_id=drawdown_id,
                collection_id=collection_id,
            )
        )

    def withdraw(self, receivable_id: str, *, reason: str) -> None:
        """Withdraw what is assigned and not yet paid for; what is free or financed stays where it is."""
        assignment = self.of(receivable_id).assignment
        if assignment is None or assignment["drawdown_id"] in self._withdrawn:
            return
        if isinstance(advance_assignment(assignment["state"], Happened.WITHDRAWN), Executed):
            self._withdrawn[assignment["drawdown_id"]] = reason
            self.said.append(DocumentsWithdrawn(drawdown_id=assignment["drawdown_id"], reason=reason))

    async def write(self, tx: Transaction) -> None:
        """Write all of it, and say it."""
        changed = [
            (key, each.open_minor, each.paid_minor, each.state)
            for key, each in self.locked.items()
            if (each.open_minor, each.paid_minor) != (each.row["financeable_minor"], each.row["paid_minor"])
        ]
        await tx.pg.execute(_LOWER, *by_column(changed, width=4))
        await tx.pg.execute(_WITHDRAW, *by_column(self._withdrawn.items(), width=2))
        await tx.pg.execute(_NOTE, *by_column(self._notes, width=6))
        await tx.pg.execute(_PAID, *by_column(self._payments, width=7))
        await amend(tx, self._fallen)
        ended = [ReceivableSettled(receivable_id=key) for key, each in self.locked.items() if _is_settled(each)]
        await append(tx, [*self.said, *ended], source=SOURCE)


async def lock_to_lower(tx: Transaction, receivable_ids: Collection[str]) -> Lowering:
    """Lock receivables, and before them the assignments over them, each in the order of their ids."""
    wanted = sorted(set(receivable_ids))
    for nth in range(_ATTEMPTS):
        with contextlib.suppress(_AssignedMeanwhile):
            async with tx.savepoint():
                assignments = {row["drawdown_id"]: row for row in await tx.pg.fetch(_ASSIGNMENTS, wanted)}
                rows = await lock_receivables(tx, wanted)
                bound = {row["drawdown_id"] for row in rows.values() if row["drawdown_id"] is not None}
                if not bound <= assignments.keys() and nth + 1 < _ATTEMPTS:
                    # What the savepoint locked is let go: the new assignment is to be locked before its documents.
                    raise _AssignedMeanwhile
            break
    noted: dict[str, set[str]] = defaultdict(set)
    for row in await tx.pg.fetch(_NOTED, list(rows)):
        noted[row["receivable_id"]].add(row["reference"])
    return Lowering(
        {
            key: Locked(
                row,
                row["financeable_minor"],
                row["paid_minor"],
                row["state"],
                noted[key],
                assignments.get(row["drawdown_id"]),
            )
            for key, row in rows.items()
        }
    )


def _is_settled(each: Locked) -> bool:
    return each.state == "settled" and each.row["state"] != "settled"
