"""The rail: what we ask of whoever moves money, and a simulated one that confirms, refuses, is silent or late.

The simulated rail keeps its own state. An order it knows it never pays again: it only counts that it was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

from shared.storage.audit import Entry, record
from shared.storage.database import Database

Outcome = Literal["confirm", "refuse", "silence", "late"]
_LATE_AFTER_TIMEOUTS = 2

_TAKE = """
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::date[])
        WITH ORDINALITY AS g(end_to_end_id, account, currency, amount_minor, value_date, nth)),
again AS (
    UPDATE rail_payment r SET sends = r.sends + 1 FROM given g WHERE r.end_to_end_id = g.end_to_end_id
    RETURNING r.end_to_end_id),
fresh AS (
    SELECT g.*, row_number() OVER (PARTITION BY g.account ORDER BY g.nth) AS rank FROM given g
    WHERE NOT EXISTS (SELECT FROM rail_payment r WHERE r.end_to_end_id = g.end_to_end_id)),
decided AS (
    SELECT f.*, CASE WHEN b.count >= f.rank THEN b.outcome ELSE 'confirm' END AS outcome
    FROM fresh f LEFT JOIN rail_behaviour b USING (account)),
used AS (
    UPDATE rail_behaviour b SET count = greatest(0, b.count - u.many)
    FROM (SELECT account, count(*)::int AS many FROM fresh GROUP BY account) u WHERE b.account = u.account)
INSERT INTO rail_payment (end_to_end_id, account, currency, amount_minor, value_date, outcome, answers_at)
SELECT end_to_end_id, account, currency, amount_minor, value_date, outcome,
    CASE outcome WHEN 'silence' THEN NULL WHEN 'late' THEN clock_timestamp() + make_interval(secs => $6)
        ELSE clock_timestamp() END
FROM decided ORDER BY nth ON CONFLICT (end_to_end_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A payment as the rail gets it."""

    end_to_end_id: str
    account: str
    currency: str
    amount_minor: int
    value_date: date


@dataclass(frozen=True, slots=True)
class RailAnswer:
    """What the rail says of a payment."""

    end_to_end_id: str
    paid: bool
    value_date: date


class Rail(Protocol):
    """What settlement needs of a rail: take orders, each once whatever happens, and tell what became of them."""

    async def submit(self, orders: Sequence[Order]) -> None:
        """Take orders; one whose end-to-end id is known is not paid again."""

    async def answers(self, end_to_end_ids: Sequence[str]) -> list[RailAnswer]:
        """Return what is known by now of these payments."""


class SimulatedRail:
    """A rail without a bank behind it, as `rail_behaviour` tells it to be."""

    def __init__(self, database: Database, *, timeout_s: float) -> None:
        """Keep the state in this database; a late answer comes two timeouts after the order."""
        self._database = database
        self._late_s = timeout_s * _LATE_AFTER_TIMEOUTS

    async def submit(self, orders: Sequence[Order]) -> None:
        """Take orders, in a transaction of the rail's own."""
        async with self._database.transaction() as tx:
            await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended('rail', 0))")
            await tx.pg.execute(
                _TAKE,
                [order.end_to_end_id for order in orders],
                [order.account for order in orders],
                [order.currency for order in orders],
                [order.amount_minor for order in orders],
                [order.value_date for order in orders],
                self._late_s,
            )

    async def answers(self, end_to_end_ids: Sequence[str]) -> list[RailAnswer]:
        """Return the answers whose time has come."""
        async with self._database.reader() as tx:
            rows = await tx.pg.fetch(
                """SELECT end_to_end_id, outcome <> 'refuse' AS paid, value_date FROM rail_payment
                WHERE end_to_end_id = ANY($1) AND answers_at <= clock_timestamp()""",
                list(end_to_end_ids),
            )
        return [RailAnswer(row["end_to_end_id"], row["paid"], row["value_date"]) for row in rows]


async def set_behaviour(database: Database, *, account: str, outcome: Outcome, count: int, actor: str) -> None:
    """Tell the simulated rail what to do with the next payments to an account."""
    async with database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO rail_behaviour (account, outcome, count) VALUES ($1, $2, $3)
            ON CONFLICT (account) DO UPDATE SET outcome = excluded.outcome, count = excluded.count""",
            *(account, outcome, count),
        )
        await record(tx, [Entry(actor, "rail.behaviour_set", account, {"outcome": outcome, "count": count})])
