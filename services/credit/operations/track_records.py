"""Keep since when each firm draws from the bank and how often it repaid: both price its next drawdown (DOMAIN §4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from services.credit.domain.pricing import step_at
from services.credit.operations.nodes import renew_version
from services.credit.operations.price_policies import price_policy
from shared.storage.database import Transaction, by_column

# A firm's record prices its lines in every programme, so all of their nodes carry the news, and are locked for it.
_NODES = """
SELECT DISTINCT 'programme/' || l.programme_id AS node_id
FROM drawdown w JOIN line l USING (enterprise_id) LEFT JOIN track_record t USING (enterprise_id)
WHERE w.drawdown_id = ANY($1) AND {whose}
"""
_NEWCOMERS, _REOPENED, _BORROWERS = (
    _NODES.format(whose=whose) for whose in ("t.enterprise_id IS NULL", "w.state = 'repaid'", "true")
)
_DRAWN = """
INSERT INTO track_record (enterprise_id, first_drawn_date)
SELECT enterprise_id, min(on_date) FROM unnest($1::text[], $2::date[]) AS d(enterprise_id, on_date)
GROUP BY enterprise_id ORDER BY enterprise_id ON CONFLICT DO NOTHING RETURNING enterprise_id
"""
# A late event of an earlier date counts at once; a reversal too.
_COUNT = """
UPDATE track_record t SET repaid = t.repaid + n.many,
    last_repaid_date = greatest(t.last_repaid_date, n.on_date),
    repaid_that_day = CASE WHEN n.on_date > t.last_repaid_date OR t.last_repaid_date IS NULL THEN greatest(0, n.many)
        WHEN n.on_date = t.last_repaid_date THEN greatest(0, t.repaid_that_day + n.many) ELSE t.repaid_that_day END
FROM unnest($1::text[], $2::date[], $3::int[]) AS n(enterprise_id, on_date, many)
WHERE t.enterprise_id = n.enterprise_id RETURNING t.enterprise_id, t.repaid
"""
_PROGRAMMES = """
SELECT l.enterprise_id, l.programme_id, p.terms ->> 'pricing_policy' AS policy,
    coalesce((SELECT open_date FROM book), current_date) AS today
FROM line l JOIN programme p USING (programme_id) WHERE l.enterprise_id = ANY($1)
"""


async def newcomers_nodes(tx: Transaction, *, drawdown_ids: Collection[str]) -> list[str]:
    """Return the programme nodes that hear of it when whoever drew these never drew before."""
    return await _nodes(tx, _NEWCOMERS, drawdown_ids)


async def reopened_nodes(tx: Transaction, *, drawdown_ids: Collection[str]) -> list[str]:
    """Return the programme nodes that hear of it when those of these that were repaid are open again."""
    return await _nodes(tx, _REOPENED, drawdown_ids)


async def borrowers_nodes(tx: Transaction, *, drawdown_ids: Collection[str]) -> list[str]:
    """Return the programme nodes that hear of it when these are repaid."""
    return await _nodes(tx, _BORROWERS, drawdown_ids)


async def note_drawn(tx: Transaction, drawn: Sequence[tuple[str, date]]) -> None:
    """Begin the record of firms that drew for the first time: (firm, date); its nodes are locked."""
    begun = await tx.pg.fetch(_DRAWN, *by_column(drawn, width=2)) if drawn else []
    if begun:
        lines = await tx.pg.fetch(_PROGRAMMES, [row["enterprise_id"] for row in begun])
        await _renew(tx, {row["programme_id"] for row in lines})


async def count_repaid(tx: Transaction, repaid: Sequence[tuple[str, date, int]]) -> None:
    """Count repaid drawdowns, and take back what was reversed: (firm, date, how many); its nodes are locked.

    What is remembered of lines grows old only where the price list has a step between before and after.
    """
    changes: dict[str, int] = defaultdict(int)
    after: dict[str, int] = {}
    for on_date in sorted({each[1] for each in repaid}):
        counts: dict[str, int] = defaultdict(int)
        for enterprise_id, when, many in repaid:
            counts[enterprise_id] += many if when == on_date else 0
        rows = sorted((enterprise_id, on_date, many) for enterprise_id, many in counts.items() if many)
        counted = await tx.pg.fetch(_COUNT, *by_column(rows, width=3))
        after |= {row["enterprise_id"]: row["repaid"] for row in counted}
        for enterprise_id, _, many in rows:
            changes[enterprise_id] += many
    lines = await tx.pg.fetch(_PROGRAMMES, sorted(after)) if after else []
    await _renew(tx, {row["programme_id"] for row in lines if _stepped(row, after, changes)})


async def _nodes(tx: Transaction, query: str, drawdown_ids: Collection[str]) -> list[str]:
    return [row["node_id"] for row in await tx.pg.fetch(query, sorted(set(drawdown_ids)))]


def _stepped(line: Any, after: dict[str, int], changes: dict[str, int]) -> bool:
    steps = price_policy(name=line["policy"], on=line["today"]).repeat_concession
    repaid = after[line["enterprise_id"]]
    return step_at(steps, repaid) != step_at(steps, repaid - changes[line["enterprise_id"]])


async def _renew(tx: Transaction, programme_ids: Collection[str]) -> None:
    for programme_id in sorted(programme_ids):
        await renew_version(tx, programme_id=programme_id)
