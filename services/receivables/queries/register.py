"""Assignments, the notices of them, and the register as it is exported: page by page up to one position."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Literal

from services.receivables.domain.priority import discharging_payee
from services.receivables.operations.deliver_notices import UnknownNotice
from shared.storage.database import Database
from shared.storage.paging import page
from shared.web.auth import ForeignParty

_PAGE = 500
CHANGES = """
SELECT number, kind, drawdown_id, reference, at, statement FROM register_entry
WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3
"""
# What stands at the position: what nothing up to there discharges, as it was stated last.
STANDING = """
SELECT e.number, e.kind, e.drawdown_id, e.reference, e.at, e.statement FROM register_entry e
WHERE e.number > $1 AND e.number <= $2 AND e.kind <> 'discharge' AND NOT EXISTS (
    SELECT FROM register_entry l WHERE l.drawdown_id = e.drawdown_id AND l.entry_id > e.entry_id AND l.number <= $2)
ORDER BY e.number LIMIT $3
"""
_NOTICE = """
SELECT notice_id, drawdown_id, obligor_id, body, digest, notified_at, means, delivered_at, recorded_by, proof,
    proof_sha256, acknowledged_at, acknowledged_by FROM notice
"""
_NOTICE_PAGE = "notice_id > $1 AND (NOT $3 OR delivered_at IS NULL) ORDER BY notice_id LIMIT $2"
_ALL_NOTICES = f"{_NOTICE} WHERE {_NOTICE_PAGE}"
_OPEN_NOTICES = f"{_NOTICE} WHERE delivered_at IS NULL AND {_NOTICE_PAGE}"
_OWN_NOTICES = f"{_NOTICE} WHERE obligor_id = $4 AND {_NOTICE_PAGE}"
View = Literal["changes", "standing"]
_VIEWS: Mapping[View, str] = {"changes": CHANGES, "standing": STANDING}


class UnknownAssignment(LookupError):
    """No documents were assigned to such a drawdown."""

    code: ClassVar[str] = "unknown_assignment"

    def __init__(self, *, drawdown_id: str) -> None:
        """Keep the id asked for."""
        self.drawdown_id = drawdown_id
        super().__init__(f"Nothing was assigned to a drawdown {drawdown_id}.")


async def assignment(database: Database, *, drawdown_id: str, party: str | None) -> dict[str, Any]:
    """Return the assignment of documents to a drawdown, with the proof of its notices; UnknownAssignment otherwise."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM assignment WHERE drawdown_id = $1", drawdown_id)
        notices = await tx.pg.fetch(f"{_NOTICE} WHERE drawdown_id = $1 ORDER BY obligor_id", drawdown_id)
    if row is None:
        raise UnknownAssignment(drawdown_id=drawdown_id)
    if party is not None and party != row["enterprise_id"]:
        raise ForeignParty
    names = ("drawdown_id", "state", "documents", "registry_reference", "registered_at", "code", "reason")
    proofs = [_notice(each) for each in notices]
    for each in proofs:
        del each["drawdown_id"], each["body"]
    return {**{name: row[name] for name in names}, "notices": proofs}


async def notices(
    database: Database, *, after: str, limit: int, undelivered: bool, party: str | None
) -> dict[str, Any]:
    """Return a page of the notices of assignment that an obligor got, as they were written; or of those not proved."""
    statement = (_OPEN_NOTICES if undelivered else _ALL_NOTICES) if party is None else _OWN_NOTICES
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(statement, after, limit + 1, undelivered, *own)
    return page([_notice(row) for row in rows], limit=limit, key=lambda each: each["notice_id"])


async def notice(database: Database, *, notice_id: str) -> dict[str, Any]:
    """Return a notice, with the proof that it reached the obligor; UnknownNotice otherwise."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(f"{_NOTICE} WHERE notice_id = $1", notice_id)
    if row is None:
        raise UnknownNotice(notice_id=notice_id)
    return _notice(row)


def _notice(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a notice and whom its obligor must pay to be discharged: the assignee once the notice reached it (R9)."""
    return {**dict(row), "discharged_by_paying": discharging_payee(notified=row["delivered_at"] is not None)}


async def register_pages(
    database: Database, *, view: View, since: int, newest: int
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield the entries after one position up to another; memory is one page's, whatever the register holds."""
    after = since
    while True:
        async with database.reader() as tx:
            rows = await tx.pg.fetch(_VIEWS[view], after, newest, _PAGE)
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1]["number"]
