"""What console's pages and API read, and the hash of the state they read (I7)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from services.console.tables import STATE
from shared.storage.database import Database, Transaction

Row = Mapping[str, Any]

_ABOVE_ALL_IDS = "g"  # ids are hexadecimal: above f in every collation
# Whose event it is: the firm it names, or the firm of the drawdown, loan, line or document that it is about.
_FEED = """
SELECT f.*, e.name AS who, e.enterprise_id AS who_id FROM feed f
LEFT JOIN drawdown d ON d.drawdown_id = f.subject
LEFT JOIN receivable r ON r.receivable_id = f.subject
LEFT JOIN credit_note n ON n.credit_note_id = f.subject
LEFT JOIN enterprise e ON e.enterprise_id = coalesce(f.facts->>'enterprise_id', d.enterprise_id, r.seller_id,
    n.seller_id, f.facts->>'anchor_id', f.facts->>'supplier_id', f.facts->>'obligor_id')
"""
_AVAILABLE = "greatest(0, coalesce({0}, 0) - t.held_minor - t.utilised_minor) AS available_minor"
_SHORTFALL = "greatest(0, t.held_minor + t.utilised_minor - coalesce({0}, 0)) AS {1}"
_PROGRAMMES = f"""
SELECT t.*, a.name AS anchor_name, {_AVAILABLE.format("t.limit_minor")},
    {_SHORTFALL.format("t.limit_minor", "overuse_minor")},
    (SELECT count(*) FROM line_exposure l WHERE l.programme_id = t.programme_id) AS lines
FROM programme_exposure t LEFT JOIN enterprise a ON a.enterprise_id = t.anchor_id
"""  # noqa: S608 - columns from this file only
_LINES = f"""
SELECT t.*, e.name AS enterprise_name, {_AVAILABLE.format("t.cap_minor")},
    {_SHORTFALL.format("t.cap_minor", "shortfall_minor")}
FROM line_exposure t LEFT JOIN enterprise e USING (enterprise_id)
"""  # noqa: S608 - columns from this file only
# By the oldest instalment that is not paid, to the day, whatever was announced (R15).
_PAST_DUE = """CASE WHEN l.state = 'disbursed'
    THEN greatest(0, (SELECT open_date FROM book) - l.oldest_unpaid::date) ELSE 0 END AS days_past_due"""
_DRAWDOWNS = f"""
SELECT d.*, e.name AS enterprise_name, o.name AS obligor_name, p.name AS programme_name, l.state AS loan_state,
    {_PAST_DUE}, l.maturity_date, l.end_to_end_id, a.state AS assignment_state, a.registry_reference
FROM drawdown d
LEFT JOIN enterprise e ON e.enterprise_id = d.enterprise_id
LEFT JOIN enterprise o ON o.enterprise_id = d.obligor_id
LEFT JOIN programme_exposure p ON p.programme_id = d.programme_id
LEFT JOIN loan l ON l.loan_id = d.drawdown_id
LEFT JOIN assignment a ON a.drawdown_id = d.drawdown_id
"""  # noqa: S608 - columns from this file only
_TOTALS = """
SELECT currency, sum(limit_minor)::bigint AS limit_minor, sum(reserved_minor)::bigint AS reserved_minor,
    sum(held_minor)::bigint AS held_minor, sum(utilised_minor)::bigint AS utilised_minor,
    sum(greatest(0, coalesce(limit_minor, 0) - held_minor - utilised_minor))::bigint AS available_minor
FROM programme_exposure WHERE currency IS NOT NULL GROUP BY currency ORDER BY currency
"""
_LOANS = f"""
SELECT l.*, {_PAST_DUE}, d.enterprise_id, e.name AS enterprise_name, p.name AS programme_name FROM loan l
LEFT JOIN drawdown d ON d.drawdown_id = l.loan_id
LEFT JOIN enterprise e ON e.enterprise_id = d.enterprise_id
LEFT JOIN programme_exposure p ON p.programme_id = d.programme_id
"""  # noqa: S608 - columns from this file only
# A loan, or a drawdown before it is one: they share an id. What was agreed and what was paid stand in the feed:
# the last approval, and every receipt.
_LOAN = """
SELECT l.*, i.id AS loan_id, d.enterprise_id, d.obligor_id, d.line_id, d.principal_minor AS drawn_minor,
    d.currency AS drawn_currency,
    d.state AS drawdown_state, d.reason AS drawdown_reason, d.incident, e.name AS enterprise_name,
    o.name AS obligor_name, p.name AS programme_name,
    (SELECT f.facts FROM feed f WHERE f.subject = i.id AND f.type = 'drawdown.approved.v1'
        ORDER BY f.time DESC, f.position DESC LIMIT 1) AS agreed
FROM (SELECT $1::text AS id) i
LEFT JOIN loan l ON l.loan_id = i.id
LEFT JOIN drawdown d ON d.drawdown_id = i.id
LEFT JOIN enterprise e ON e.enterprise_id = d.enterprise_id
LEFT JOIN enterprise o ON o.enterprise_id = d.obligor_id
LEFT JOIN programme_exposure p ON p.programme_id = d.programme_id
WHERE l.loan_id IS NOT NULL OR d.drawdown_id IS NOT NULL
"""
_RECEIPTS = """
SELECT facts FROM feed WHERE subject = $1 AND type = 'loan.repaid.v1' ORDER BY time DESC, position DESC LIMIT $2
"""
_RECEIVABLES = """
SELECT r.*, s.name AS seller_name, o.name AS obligor_name FROM receivable r
LEFT JOIN enterprise s ON s.enterprise_id = r.seller_id LEFT JOIN enterprise o ON o.enterprise_id = r.obligor_id
"""
_CREDIT_NOTES = """
SELECT n.*, s.name AS seller_name, o.name AS obligor_name FROM credit_note n
LEFT JOIN enterprise s ON s.enterprise_id = n.seller_id LEFT JOIN enterprise o ON o.enterprise_id = n.obligor_id
"""
_NUMBERS = "SELECT receivable_id, number FROM receivable WHERE receivable_id = ANY($1)"
# The fullest first.
_NEAR = f"""
SELECT t.*, p.name AS programme_name FROM ({_LINES} WHERE t.near_limit) t
LEFT JOIN programme_exposure p USING (programme_id)
ORDER BY (t.held_minor + t.utilised_minor)::float8 / greatest(t.cap_minor, 1) DESC, t.line_id LIMIT $1
"""  # noqa: S608 - columns from this file only


def _since(statement: str, *, key: str, told: str) -> str:
    """Return a queue with the time of the event that brought each row there."""
    return f"""SELECT q.*, (SELECT max(f.time) FROM feed f WHERE f.subject = q.{key} AND f.type = '{told}') AS since
        FROM ({statement} LIMIT $1) q ORDER BY q.{key}"""  # noqa: S608 - names from this file only


# What waits for a person, oldest first, loans by the days that they are past due; each has its index.
_QUEUES = {
    "referred_drawdowns": _since(
        f"{_DRAWDOWNS} WHERE d.state = 'referred' ORDER BY d.drawdown_id",
        key="drawdown_id",
        told="drawdown.referred.v1",
    ),
    "top_ups_due": _since(
        f"{_DRAWDOWNS} WHERE d.top_up_minor > 0 ORDER BY d.drawdown_id",
        key="drawdown_id",
        told="drawdown.top_up_due.v1",
    ),
    "incidents": f"{_DRAWDOWNS} WHERE d.incident IS NOT NULL ORDER BY d.drawdown_id LIMIT $1",
    "unknown_payments": _since(
        f"{_LOANS} WHERE l.state = 'unknown' ORDER BY l.loan_id", key="loan_id", told="loan.disbursement_unknown.v1"
    ),
    "overdue_loans": f"""{_LOANS} WHERE l.state = 'disbursed'
        AND l.oldest_unpaid < (SELECT to_char(open_date, 'YYYY-MM-DD') FROM book)
        ORDER BY l.oldest_unpaid, l.loan_id LIMIT $1""",  # noqa: S608 - the statement above and parameters
    "referred_receivables": _since(
        f"{_RECEIVABLES} WHERE r.state = 'referred' ORDER BY r.receivable_id",
        key="receivable_id",
        told="receivable.registered.v1",
    ),
    "referred_credit_notes": _since(
        f"{_CREDIT_NOTES} WHERE n.state = 'referred' ORDER BY n.credit_note_id",
        key="credit_note_id",
        told="credit_note.taken.v1",
    ),
    "unmatched_receipts": _since(
        "SELECT * FROM collection WHERE unmatched_minor > 0 ORDER BY collection_id",
        key="collection_id",
        told="collection.received.v1",
    ),
    "open_nettings": """SELECT * FROM netting WHERE state IN ('proposed', 'accepted') ORDER BY netting_id LIMIT $1""",
    "parked": """SELECT parked_id, topic, subject, sequence, type, reason, error, attempts, parked_at
        FROM inbox_parked ORDER BY parked_id LIMIT $1""",
    "near_limit": _NEAR,
}


async def feed_after(database: Database, *, position: int, subject: str = "", limit: int) -> list[Row]:
    """Return what follows a position of the feed, oldest first."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"{_FEED} WHERE f.position > $1 {_of(subject)} ORDER BY f.position LIMIT $3",
            *(position, subject, limit),
        )


async def feed_before(database: Database, *, time: datetime, position: int, subject: str = "", limit: int) -> list[Row]:
    """Return what happened before a moment, newest first; positions follow commits, which may come in another order."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"""{_FEED} WHERE (f.time, f.position) < ($1, $4) {_of(subject)}
            ORDER BY f.time DESC, f.position DESC LIMIT $3""",
            *(time, subject, limit, position),
        )


def _of(subject: str) -> str:
    # Two statements, so that each has its own plan; the type is said for the one that does not ask.
    return "AND f.subject = $2" if subject else "AND $2::text = ''"


async def feed_end(database: Database) -> int:
    """Return the last position of the feed; 0 when it is empty."""
    async with database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT coalesce(max(position), 0) FROM feed"))


async def names(database: Database, *, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of firms and programmes among these ids."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT enterprise_id AS id, name FROM enterprise WHERE enterprise_id = ANY($1) AND name IS NOT NULL
            UNION ALL SELECT programme_id, name FROM programme_exposure
            WHERE programme_id = ANY($1) AND name IS NOT NULL""",
            sorted(set(ids)),
        )
    return {row["id"]: row["name"] for row in rows}


async def programmes(database: Database, *, after: str, limit: int) -> list[Row]:
    """Return programmes with their exposure, by id."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"{_PROGRAMMES} WHERE t.programme_id > $1 ORDER BY t.programme_id LIMIT $2", after, limit
        )


async def programme(database: Database, *, programme_id: str) -> Row | None:
    """Return one programme with its exposure, or None."""
    async with database.reader() as tx:
        row: Row | None = await tx.pg.fetchrow(f"{_PROGRAMMES} WHERE t.programme_id = $1", programme_id)
    return row


async def lines(database: Database, *, programme_id: str, place: int, line_id: str, limit: int) -> list[Row]:
    """Return a programme's lines after a place, upstream first, tier by tier."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"""{_LINES} WHERE t.programme_id = $1 AND (t.place, t.line_id) > ($2, $3)
            ORDER BY t.place, t.line_id LIMIT $4""",
            *(programme_id, place, line_id, limit),
        )


async def all_lines(database: Database, *, programme_id: str, place: int, line_id: str, limit: int) -> list[Row]:
    """Return the lines of every programme after a place in one of them."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"""{_LINES} WHERE (t.programme_id, t.place, t.line_id) > ($1, $2, $3)
            ORDER BY t.programme_id, t.place, t.line_id LIMIT $4""",
            *(programme_id, place, line_id, limit),
        )


async def first_lines(database: Database, *, programme_ids: Sequence[str], limit: int) -> list[Row]:
    """Return the first lines of each of these programmes."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"""SELECT f.* FROM unnest($1::text[]) AS p(programme_id) CROSS JOIN LATERAL (
                {_LINES} WHERE t.programme_id = p.programme_id ORDER BY t.place, t.line_id LIMIT $2) f
            ORDER BY f.programme_id, f.place, f.line_id""",  # noqa: S608 - the statement above and parameters
            *(list(programme_ids), limit),
        )


async def firms_of(database: Database, *, programme_id: str, limit: int) -> list[Row]:
    """Return the firms of a programme: its anchor first, then those with a line, by place."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            """SELECT f.enterprise_id, e.name FROM (
                (SELECT anchor_id AS enterprise_id, -1 AS place FROM programme_exposure
                    WHERE programme_id = $1 AND anchor_id IS NOT NULL)
                UNION ALL (SELECT enterprise_id, place FROM line_exposure
                    WHERE programme_id = $1 ORDER BY place, line_id LIMIT $2)) AS f
            LEFT JOIN enterprise e USING (enterprise_id) ORDER BY f.place, e.name, f.enterprise_id""",
            *(programme_id, limit),
        )


async def totals(database: Database) -> list[Row]:
    """Return the exposure of the whole book, one row a currency."""
    async with database.reader() as tx:
        return await tx.pg.fetch(_TOTALS)


async def open_date(database: Database) -> Any:
    """Return the open business date, or None before the book is opened."""
    async with database.reader() as tx:
        return await tx.pg.fetchval("SELECT open_date FROM book")


async def drawdowns(database: Database, *, before: str, limit: int) -> list[Row]:
    """Return drawdowns with their loans and assignments, newest first, from the last or from below an id."""
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"{_DRAWDOWNS} WHERE d.drawdown_id < $1 ORDER BY d.drawdown_id DESC LIMIT $2",
            *(before or _ABOVE_ALL_IDS, limit),
        )


async def loan(database: Database, *, loan_id: str, receipts: int) -> tuple[Row, list[Row]] | None:
    """Return a loan, or the drawdown that none came of yet, with what was agreed and its last receipts, or None."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(_LOAN, loan_id)
        paid = await tx.pg.fetch(_RECEIPTS, loan_id, receipts)
    return (row, [each["facts"] for each in paid]) if row else None


async def documents(database: Database, *, before: str, state: str, limit: int) -> list[Row]:
    """Return documents in a state, or in any, newest first, from the last or from below an id."""
    chosen = "AND r.state = $3" if state else "AND $3::text = ''"
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"{_RECEIVABLES} WHERE r.receivable_id < $1 {chosen} ORDER BY r.receivable_id DESC LIMIT $2",
            *(before or _ABOVE_ALL_IDS, limit, state),
        )


async def document(database: Database, *, receivable_id: str) -> Row | None:
    """Return one document, or None."""
    async with database.reader() as tx:
        row: Row | None = await tx.pg.fetchrow(f"{_RECEIVABLES} WHERE r.receivable_id = $1", receivable_id)
    return row


async def credit_notes(database: Database, *, before: str, state: str, limit: int) -> list[Row]:
    """Return credit notes in a state, or in any, newest first, from the last or from below an id."""
    chosen = "AND n.state = $3" if state else "AND $3::text = ''"
    async with database.reader() as tx:
        return await tx.pg.fetch(
            f"{_CREDIT_NOTES} WHERE n.credit_note_id < $1 {chosen} ORDER BY n.credit_note_id DESC LIMIT $2",
            *(before or _ABOVE_ALL_IDS, limit, state),
        )


async def receipt(database: Database, *, collection_id: str) -> Row | None:
    """Return one receipt, or None."""
    async with database.reader() as tx:
        row: Row | None = await tx.pg.fetchrow("SELECT * FROM collection WHERE collection_id = $1", collection_id)
    return row


async def credit_note(database: Database, *, credit_note_id: str) -> Row | None:
    """Return one credit note, with the documents that it lowers by their numbers; None when there is none."""
    async with database.reader() as tx:
        row: Row | None = await tx.pg.fetchrow(f"{_CREDIT_NOTES} WHERE n.credit_note_id = $1", credit_note_id)
        lowered = [each["receivable_id"] for each in row["parts"] or []] if row else []
        numbers = await tx.pg.fetch(
            "SELECT receivable_id, number FROM receivable WHERE receivable_id = ANY($1)", lowered
        )
    return {**row, "numbers": {each["receivable_id"]: each["number"] for each in numbers}} if row else None


async def queues(database: Database, *, limit: int) -> dict[str, list[Row]]:
    """Return what waits for a person, queue by queue, at one instant."""
    async with database.snapshot() as tx:
        return {name: await tx.pg.fetch(statement, limit) for name, statement in _QUEUES.items()}


async def state_hash(tx: Transaction) -> str:
    """Return the digest of all read models: equal states, equal digests, whenever they were processed (I7)."""
    digest = sha256()
    for table, key, processing in STATE:
        order = ", ".join(f'{column} COLLATE "C"' if column != "sequence" else column for column in key.split(", "))
        digest.update(f"{table}\n".encode())
        rows = tx.pg.cursor(
            f"SELECT (to_jsonb(t) - $1::text[])::text AS row FROM {table} t ORDER BY {order}",  # noqa: S608 - names from tables.py only
            list(processing),
        )
        async for row in rows:
            digest.update(json.dumps(row["row"]).encode())
    return digest.hexdigest()


async def offsets(tx: Transaction) -> dict[tuple[str, int], int]:
    """Return up to where each partition is applied: what `rebuild` takes to reach the same state."""
    rows = await tx.pg.fetch("SELECT topic, partition, next_offset FROM inbox_offset")
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
