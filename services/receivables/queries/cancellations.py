"""The cancellations that wait for their obligors: what the bank may document an assent to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.storage.database import Database
from shared.storage.paging import page

WAITING = """
SELECT approval_id, subject, content, content_hash, party, proposed_at FROM approval
WHERE kind = 'cancellation' AND state = 'pending' AND approval_id > $1 ORDER BY approval_id LIMIT $2
"""


async def cancellations(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of the cancellations that nobody has answered, oldest first."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(WAITING, after, limit + 1)
    return page([_shown(row) for row in rows], limit=limit, key=lambda each: each["approval_id"])


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("seller_id", "number", "open", "reason")
    return {
        "approval_id": row["approval_id"],
        "receivable_id": row["subject"],
        "obligor_id": row["party"],
        **{name: row["content"][name] for name in names},
        "content_hash": row["content_hash"],
        "proposed_at": row["proposed_at"],
    }
