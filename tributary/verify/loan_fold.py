"""What settlement said of a loan, folded from its outbox: up to what credit has heard, and in whole."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events.settlement import LoanClosed, LoanDisbursed, LoanEvent, LoanRepaid
from shared.values.money import parse_minor
from tributary.verify.result import Result
from tributary.verify.snapshots import World

_BATCH = 1_000
_DRAWDOWNS = """
SELECT d.drawdown_id, d.state, d.exposure_minor, d.disbursed_minor, d.outstanding_minor, d.used_minor,
    coalesce(h.sequence, 0) AS heard, coalesce(r.many, 0) AS reinstatements,
    coalesce(r.principal, 0)::bigint AS reinstated, coalesce(r.exposure, 0)::bigint AS reinstated_exposure
FROM drawdown d LEFT JOIN inbox_head h ON h.topic = $1 AND h.subject = d.drawdown_id
LEFT JOIN (
    SELECT drawdown_id, count(*) AS many, sum(principal_minor) AS principal, sum(exposure_minor) AS exposure
    FROM reinstatement GROUP BY drawdown_id) r ON r.drawdown_id = d.drawdown_id
"""
_SAID = """
SELECT subject, sequence, type, time, body FROM outbox_kept WHERE topic = $1 AND subject = ANY($2)
ORDER BY subject, sequence
"""
_LOANS = """
SELECT l.loan_id, l.outstanding_minor, l.principal_minor,
    (SELECT coalesce(sum(i.principal_minor), 0)::bigint FROM instalment i WHERE i.loan_id = l.loan_id) AS planned,
    (SELECT coalesce(sum(b.outstanding_minor), 0)::bigint FROM (
        SELECT DISTINCT ON (nth) outstanding_minor FROM loan_balance WHERE loan_id = l.loan_id
        ORDER BY nth, from_date DESC) b) AS by_instalment, (
    SELECT coalesce(sum(p.debit_minor - p.credit_minor), 0)::bigint
    FROM ledger_transaction t JOIN ledger_posting p USING (transaction_id)
    WHERE t.loan_id = l.loan_id AND p.account IN ('loans_receivable', 'purchased_receivables')) AS booked
FROM loan l WHERE l.loan_id = ANY($1)
"""


@dataclass(slots=True)
class Fold:
    """A loan as some of its events tell it, in minor units."""

    disbursed: int | None = None
    left: int = 0
    repaid: int = 0
    repayments: int = 0
    closed: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Take the next event in."""
        if event["type"] == LoanDisbursed.type:
            self.disbursed = self.left = _principal(event)
        elif event["type"] == LoanRepaid.type:
            principal = _principal(event)
            self.repaid += principal
            self.repayments += 1
            self.left = max(0, self.left - principal)
            self.closed = self.closed and self.left == 0
        elif event["type"] == LoanClosed.type:
            self.closed = True


@dataclass(frozen=True, slots=True)
class Pair:
    """A drawdown as credit has it; its loan as credit has heard of it, as all of it was said, and as settlement has it.

    `waiting` is when each event was said that credit has not heard.
    """

    drawdown: Mapping[str, Any]
    heard: Fold
    said: Fold
    loan: Mapping[str, Any] | None
    waiting: tuple[datetime, ...]

    @property
    def name(self) -> str:
        """Return the id that both share."""
        return str(self.drawdown["drawdown_id"])

    def fly(self, world: World, result: Result) -> None:
        """Count what credit has not heard of this loan yet."""
        for said_at in self.waiting:
            result.fly(f"credit has not heard an event of loan {self.name}", age_s=world.age_s(said_at))


async def drawdowns_and_loans(world: World) -> AsyncIterator[Pair]:
    """Yield every drawdown of credit's snapshot with its loan."""
    batch: list[Mapping[str, Any]] = []
    async for row in world.state["credit"].pg.cursor(_DRAWDOWNS, LoanEvent.topic, prefetch=_BATCH):
        batch.append(row)
        if len(batch) == _BATCH:
            for pair in await _paired(world, batch):
                yield pair
            batch = []
    for pair in await _paired(world, batch):
        yield pair


async def _paired(world: World, batch: Sequence[Mapping[str, Any]]) -> list[Pair]:
    ids = [row["drawdown_id"] for row in batch]
    later = world.outboxes["settlement"].pg
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in await later.fetch(_SAID, LoanEvent.topic, ids):
        said[event["subject"]].append(event)
    loans = {row["loan_id"]: row for row in await later.fetch(_LOANS, ids)}
    return [_pair(row, said[row["drawdown_id"]], loans.get(row["drawdown_id"])) for row in batch]


def _pair(drawdown: Mapping[str, Any], events: Sequence[Mapping[str, Any]], loan: Mapping[str, Any] | None) -> Pair:
    heard, said, waiting = Fold(), Fold(), []
    for event in events:
        said.take(event)
        if event["sequence"] <= drawdown["heard"]:
            heard.take(event)
        else:
            waiting.append(event["time"])
    return Pair(drawdown, heard, said, loan, tuple(waiting))


def _principal(event: Mapping[str, Any]) -> int:
    principal = json.loads(event["body"])["principal"]
    return parse_minor(amount=principal["amount"], currency=principal["currency"])
