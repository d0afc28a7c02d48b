"""What the bank's people read of checks with other banks, and of what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from services.receivables.domain.receivables import NotPossible
from services.receivables.operations.crosschecks import UnknownCrosscheck
from shared.storage.database import Database
from shared.storage.paging import InvalidCursor, page

_CROSSCHECKS = """
SELECT crosscheck_id, role, partner, issued_from, issued_to, state, request_digest, actor, made_at, ended_at
FROM crosscheck WHERE (crosscheck_id, role) > ($1, $2) ORDER BY crosscheck_id, role LIMIT $3
"""
SIGHTINGS = """
SELECT s.receivable_id, s.crosscheck_id, s.kind, s.partner, s.state, s.seen_at, s.decided_by, s.reason, s.decided_at,
    r.seller_id, r.obligor_id, r.number, r.state AS receivable_state
FROM sighting s JOIN receivable r USING (receivable_id)
WHERE (s.receivable_id, s.crosscheck_id, s.kind) > ($1, $2, $3) AND ($4 OR s.state <> 'cleared')
ORDER BY s.receivable_id, s.crosscheck_id, s.kind LIMIT $5
"""
_FILES: Mapping[str, str] = {"asked": "request", "compared": "request", "released": "answer"}


async def crosschecks(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of checks, asked and answered."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_CROSSCHECKS, *_place(after, 2), limit + 1)
    return page([dict(row) for row in rows], limit=limit, key=lambda each: f"{each['crosscheck_id']}/{each['role']}")


async def crosscheck_file(database: Database, *, crosscheck_id: str, part: Literal["request", "answer"]) -> bytes:
    """Return what is handed to the other bank; UnknownCrosscheck, or NotPossible for an answer that is not released."""
    role = "asked" if part == "request" else "answering"
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(
            "SELECT state, file FROM crosscheck WHERE role = $1 AND crosscheck_id = $2", role, crosscheck_id
        )
    if row is None:
        raise UnknownCrosscheck(crosscheck_id=crosscheck_id)
    if row["state"] not in _FILES:
        raise NotPossible(document_id=crosscheck_id, state=row["state"], asked="be handed over")
    return bytes(row["file"])


async def sightings(database: Database, *, after: str, limit: int, everything: bool) -> dict[str, Any]:
    """Return a page of claims that another bank has as well: those that hold something back, or all."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(SIGHTINGS, *_place(after, 3), everything, limit + 1)
    return page(
        [dict(row) for row in rows],
        limit=limit,
        key=lambda each: f"{each['receivable_id']}/{each['crosscheck_id']}/{each['kind']}",
    )


def _place(after: str, width: int) -> list[str]:
    """Return a cursor's parts; InvalidCursor for one that this list did not make."""
    parts = after.split("/") if after else [""] * width
    if len(parts) != width:
        raise InvalidCursor
    return parts
