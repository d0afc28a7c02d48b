"""What receivables' API reads of credit notes; a party sees those between itself and another (R23)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.receivables.domain.credit_notes import Note, Target, in_the_way
from services.receivables.operations.decide_notes import UnknownCreditNote
from services.receivables.operations.take_notes import note_of
from services.receivables.queries import NoOriginal
from shared.storage.database import Database
from shared.storage.paging import page
from shared.values.money import Money
from shared.web.auth import ForeignParty

_NOTE = """
SELECT n.credit_note_id, n.seller_id, n.obligor_id, n.number, n.document_type, n.syntax, n.issue_date, n.currency,
    n.amount_minor, n.cites, n.state, n.reasons, n.profile, n.file, n.original_sha256, n.rules, n.findings,
    n.registered_at, ARRAY(SELECT jsonb_build_object('receivable_id', d.receivable_id, 'by_minor', d.amount_minor)
        FROM dilution d WHERE d.credit_note_id = n.credit_note_id ORDER BY d.receivable_id) AS parts
FROM credit_note n
"""
_PAGE = "credit_note_id > $1 AND ($2 = '' OR state = $2) ORDER BY credit_note_id LIMIT $3"
ALL = f"{_NOTE} WHERE {_PAGE}"
OWN = (
    f"SELECT * FROM (({_NOTE} WHERE seller_id = $4 AND {_PAGE}) UNION ALL "  # noqa: S608 - constants only
    f"({_NOTE} WHERE obligor_id = $4 AND {_PAGE})) own ORDER BY credit_note_id LIMIT $3"
)
_ONE = f"{_NOTE} WHERE credit_note_id = $1"
# Whatever the seller has under the numbers that the note cites: what a person decides between.
CANDIDATES = """
SELECT r.receivable_id, r.seller_id, r.obligor_id, r.number, r.issue_date, r.currency, r.financeable_minor, r.state,
    r.undertaking, r.vouchered, r.drawdown_id,
    ARRAY(SELECT d.reference FROM dilution d WHERE d.receivable_id = r.receivable_id) AS noted
FROM credit_note n JOIN receivable r ON r.seller_id = n.seller_id AND r.number_key = ANY(n.cited_keys)
WHERE n.credit_note_id = $1 AND r.state NOT IN ('rejected', 'cancelled') ORDER BY r.receivable_id LIMIT 100
"""
_ORIGINAL = """
SELECT n.seller_id, n.obligor_id, o.sha256, o.content FROM credit_note n LEFT JOIN original o
    ON o.sha256 = n.original_sha256 WHERE n.credit_note_id = $1
"""


async def credit_notes(database: Database, *, after: str, limit: int, state: str, party: str | None) -> dict[str, Any]:
    """Return a page of credit notes, in the order of their intake."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(ALL if party is None else OWN, after, state, limit + 1, *own)
    return page([_shown(row) for row in rows], limit=limit, key=lambda each: each["credit_note_id"])


async def credit_note(database: Database, *, credit_note_id: str, party: str | None) -> dict[str, Any]:
    """Return one credit note with what judging it found; UnknownCreditNote or ForeignParty otherwise.

    The bank reads of a note that waits what it may mean: the seller may owe the others nothing, so no party is told.
    """
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(_ONE, credit_note_id)
        waits = row is not None and row["state"] == "referred" and party is None
        candidates = await tx.pg.fetch(CANDIDATES, credit_note_id) if waits else []
    if row is None:
        raise UnknownCreditNote(credit_note_id=credit_note_id)
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    kept = ("profile", "file", "original_sha256", "rules", "findings", "registered_at")
    found = {**_shown(row), **{name: row[name] for name in kept}}
    return {**found, "candidates": [_candidate(each, note_of(row)) for each in candidates]} if waits else found


async def original(database: Database, *, credit_note_id: str, party: str | None) -> tuple[str, bytes]:
    """Return the hash and the bytes of what was sent; UnknownCreditNote, ForeignParty, or NoOriginal of data."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(_ORIGINAL, credit_note_id)
    if row is None:
        raise UnknownCreditNote(credit_note_id=credit_note_id)
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    if row["content"] is None:
        raise NoOriginal(document_id=credit_note_id)
    return row["sha256"], bytes(row["content"])


def _candidate(row: Mapping[str, Any], note: Note) -> dict[str, Any]:
    """Return what is open of a receivable that a note may mean, and what is in the way of lowering it."""
    left = Money(row["financeable_minor"], row["currency"])
    named = ("receivable_id", "seller_id", "obligor_id", "number", "issue_date", "state", "undertaking", "vouchered")
    target = Target(
        **{name: row[name] for name in named},
        open=left,
        drawdown_id=row["drawdown_id"],
        noted=frozenset(row["noted"]),
    )
    shown = ("receivable_id", "obligor_id", "number", "issue_date", "state", "drawdown_id")
    return {
        **{name: row[name] for name in shown},
        "financeable": left.wire(),
        "in_the_way": in_the_way(note, target),
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("credit_note_id", "seller_id", "obligor_id", "number", "document_type", "syntax", "issue_date")
    return {
        **{name: row[name] for name in names},
        "amount": Money(row["amount_minor"], row["currency"]).wire(),
        "cites": row["cites"],
        "state": row["state"],
        "reasons": row["reasons"],
        "parts": [
            {"receivable_id": each["receivable_id"], "by": Money(each["by_minor"], row["currency"]).wire()}
            for each in row["parts"]
        ],
    }
