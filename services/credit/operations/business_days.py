"""Keep the open business date; propagate where a date that has passed changes who may draw."""

from __future__ import annotations

from collections.abc import Sequence

from services.credit.operations.limit_increases import increased_between
from services.credit.operations.product_quotas import changed_between
from services.credit.operations.propagate_limits import propagate_limits
from services.credit.operations.sanction_covers import sanction_between
from shared.events.envelope import Received
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened
from shared.storage.database import Transaction

# A line changes when its rating or agreement is in force on one of the two dates and not on the other.
_CHANGED = """
SELECT DISTINCT l.programme_id FROM line l JOIN programme p USING (programme_id)
LEFT JOIN rating r ON (r.enterprise_id, r.currency) = (l.enterprise_id, p.currency)
LEFT JOIN agreement a ON (a.programme_id, a.enterprise_id) = (l.programme_id, l.enterprise_id)
WHERE (r.valid_until < $1) <> (r.valid_until < $2) OR (a.expiry_date < $1) <> (a.expiry_date < $2)
"""


async def keep_business_date(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep the open business date of the last event."""
    dates = [
        event.event.open_date for event in events if isinstance(event.event, BusinessDayOpened | BusinessDayClosed)
    ]
    before = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    await tx.pg.execute(
        "INSERT INTO book (open_date) VALUES ($1) ON CONFLICT (one) DO UPDATE SET open_date = excluded.open_date",
        dates[-1],
    )
    await tx.pg.execute(
        """INSERT INTO day_history (since, open_date) VALUES (statement_timestamp(), $1)
        ON CONFLICT (since) DO UPDATE SET open_date = excluded.open_date""",
        dates[-1],
    )
    rows = await tx.pg.fetch(_CHANGED, before, dates[-1])
    changed = {row["programme_id"] for row in rows}
    changed.update(await increased_between(tx, before=before, today=dates[-1]))
    changed.update(await changed_between(tx, before=before, today=dates[-1]))
    await propagate_limits(tx, programme_ids=sorted(changed), cause=events[-1].type.removesuffix(".v1"))
    await sanction_between(tx, before=before, today=dates[-1])
