"""Temporary increases of a programme's limits: kept as they are agreed, in force on the business dates they name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from services.credit.operations.propagate_limits import propagate_limits
from shared.events.envelope import Received
from shared.events.onboarding import ProgrammeLimitIncreased
from shared.storage.database import Transaction, by_column

_KEEP = """
INSERT INTO limit_increase (increase_id, programme_id, limit_minor, upstream_minor, downstream_minor, valid_from,
    valid_until)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::date[], $7::date[])
ON CONFLICT DO NOTHING
"""
_CHANGED = """
SELECT DISTINCT programme_id FROM limit_increase
WHERE ($1 BETWEEN valid_from AND valid_until) <> ($2 BETWEEN valid_from AND valid_until)
"""


async def keep_increases(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep increases, and propagate the programmes that they concern."""
    kept = [event.event for event in events if isinstance(event.event, ProgrammeLimitIncreased)]
    rows = [
        (
            each.increase_id,
            each.programme_id,
            each.limit.minor,
            each.upstream_limit.minor,
            each.downstream_limit.minor,
            each.valid_from,
            each.valid_until,
        )
        for each in kept
    ]
    await tx.pg.execute(_KEEP, *by_column(rows, width=7))
    programme_ids = [each.programme_id for each in kept]
    await propagate_limits(tx, programme_ids=programme_ids, cause="programme.limit_increased")


async def increased_between(tx: Transaction, *, before: date, today: date) -> list[str]:
    """Return the programmes of which an increase is in force on one of two business dates and not on the other."""
    return [row["programme_id"] for row in await tx.pg.fetch(_CHANGED, before, today)]
