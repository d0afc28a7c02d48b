"""Blocks as the bank's people read them: who stopped draws on what, when and why, and who let them go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.credit.domain.blocks import Blocked
from services.credit.operations.block_reasons import block_reasons, reason_labels
from shared.storage.database import Database, Transaction
from shared.storage.paging import page

_COLUMNS = """
SELECT b.*, coalesce(l.enterprise_id, b.subject) AS enterprise_id, coalesce(e.name, '') AS enterprise_name
FROM block b LEFT JOIN line l ON l.line_id = b.subject
LEFT JOIN enterprise e ON e.enterprise_id = coalesce(l.enterprise_id, b.subject)
"""
_ORDER = "ORDER BY b.block_id LIMIT $2"
_STANDING = f"{_COLUMNS} WHERE b.lifted_at IS NULL AND b.block_id > $1 {_ORDER}"
_ALL = f"{_COLUMNS} WHERE b.block_id > $1 {_ORDER}"
# Of a line, its own and its firm's; of a firm, its own and its lines'.
_OF_LINE = f"""{_COLUMNS}
WHERE b.subject = ANY(ARRAY[$3, (SELECT enterprise_id FROM line WHERE line_id = $3)]) AND b.block_id > $1
    AND ($4 OR b.lifted_at IS NULL) {_ORDER}"""  # noqa: S608 - put together of this file's own texts
_OF_FIRM = f"""{_COLUMNS}
WHERE b.subject = ANY(ARRAY(SELECT $3 UNION ALL SELECT line_id FROM line WHERE enterprise_id = $3))
    AND b.block_id > $1 AND ($4 OR b.lifted_at IS NULL) {_ORDER}"""  # noqa: S608 - put together of this file's own texts
_NAMED = f"{_COLUMNS} WHERE b.block_id = ANY($1) ORDER BY b.block_id"
# As of an instant: what stood then.
_THEN = """
SELECT b.* FROM block b WHERE b.subject = ANY($1) AND b.blocked_at <= $2 AND (b.lifted_at IS NULL OR b.lifted_at > $2)
ORDER BY b.blocked_at, b.block_id
"""


async def blocks(
    database: Database, *, line_id: str | None, enterprise_id: str | None, lifted: bool, after: str, limit: int
) -> dict[str, Any]:
    """Return a page of the blocks that stand, with `lifted` of all that there were; oldest first."""
    async with database.reader() as tx:
        if line_id is not None:
            rows = await tx.pg.fetch(_OF_LINE, after, limit + 1, line_id, lifted)
        elif enterprise_id is not None:
            rows = await tx.pg.fetch(_OF_FIRM, after, limit + 1, enterprise_id, lifted)
        else:
            rows = await tx.pg.fetch(_ALL if lifted else _STANDING, after, limit + 1)
    return page([_block(row) for row in rows], limit=limit, key=lambda each: str(each["block_id"]))


async def blocks_named(database: Database, *, block_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return blocks by id, oldest first."""
    async with database.reader() as tx:
        return [_block(row) for row in await tx.pg.fetch(_NAMED, list(block_ids))]


async def reasons_in_force(database: Database) -> dict[str, Any]:
    """Return the reason codes in force, with their labels."""
    async with database.reader() as tx:
        today = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    rules = block_reasons(on=today)
    items = [{"code": code, **labels} for code, labels in rules.codes.items()]
    return {"policy_version": rules.version, "items": items}


async def blocks_of(tx: Transaction, line: Mapping[str, Any], *, as_of: datetime) -> list[Blocked]:
    """Return what blocked a line at an instant: blocks of its own, and of its firm."""
    rows = await tx.pg.fetch(_THEN, [line["line_id"], line["enterprise_id"]], as_of)
    return [
        Blocked(
            row["scope"],
            row["blocked_at"],
            row["blocked_by"],
            reason_labels(version=row["policy_version"], reason=row["reason"]),
            row["reference"],
            row["note"],
        )
        for row in rows
    ]


def blocked_out(block: Blocked) -> dict[str, Any]:
    """Return a block as an explanation tells it."""
    return {
        "scope": block.scope,
        "blocked_at": block.since,
        "blocked_by": block.by,
        "reason": dict(block.reason),
        "reference": block.reference,
        "note": block.note,
    }


def _block(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "block_id": row["block_id"],
        "scope": row["scope"],
        "line_id": row["subject"] if row["scope"] == "line" else None,
        "enterprise_id": row["enterprise_id"],
        "enterprise_name": row["enterprise_name"],
        "reason": row["reason"],
        "reference": row["reference"],
        "note": row["note"],
        "policy_version": row["policy_version"],
        "blocked_by": row["blocked_by"],
        "blocked_at": row["blocked_at"],
        "lifted_by": row["lifted_by"],
        "lifted_at": row["lifted_at"],
        "lift_reason": row["lift_reason"],
    }
