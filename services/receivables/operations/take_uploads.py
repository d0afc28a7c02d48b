"""Take an archive of many e-documents in: kept at once, worked through by the worker, each document answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import asyncpg
import structlog

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.findings import Judgement
from services.receivables.operations.originals import Evidence, keep_originals
from services.receivables.operations.read_upload import Read, members_of, read_members
from services.receivables.operations.take_documents import Taken, take_in
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id

_CHUNK = 20
_HOLD_S = 120
_CLAIM = f"""
UPDATE upload SET state = 'working', held_until = clock_timestamp() + interval '{_HOLD_S} seconds'
WHERE upload_id = (
    SELECT upload_id FROM upload WHERE state IN ('waiting', 'working')
    AND (held_until IS NULL OR held_until < clock_timestamp()) ORDER BY upload_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING upload_id, file, party, actor, total, done,
    (SELECT content FROM original o WHERE o.sha256 = upload.original_sha256) AS content
"""  # noqa: S608 - constants only
_ITEMS = """
INSERT INTO upload_item (upload_id, nth, file, outcome, receivable_id, code, message, findings)
SELECT $1, d.nth, d.file, d.outcome, d.receivable_id, d.code, d.message, d.findings::jsonb
FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS d(nth, file, outcome, receivable_id, code, message, findings)
"""


# What a document itself can be at fault for; a database that is away is not among it.
_BAD_ITEM = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError, TypeError, LookupError)
_log = structlog.get_logger()


class NotStored(DocumentRefused):
    """Something failed here when a document was stored: it is logged, its neighbours were taken."""

    code: ClassVar[str] = "not_stored"

    def __init__(self, *, why: str) -> None:
        """Keep the kind of the failure."""
        super().__init__(f"The document could not be stored here ({why}); it is logged.")


async def keep_upload(
    database: Database, *, data: bytes, media_type: str, file: str, party: str | None, actor: str
) -> str:
    """Keep an archive for the worker; return the id under which its progress can be read."""
    upload_id = new_id()
    evidence = Evidence(data, media_type)
    async with database.transaction() as tx:
        await keep_originals(tx, [evidence])
        await tx.pg.execute(
            "INSERT INTO upload (upload_id, original_sha256, file, party, actor) VALUES ($1, $2, $3, $4, $5)",
            *(upload_id, evidence.sha256, file, party, actor),
        )
        await record(tx, [Entry(actor, "upload.kept", upload_id, {"file": file})])
    return upload_id


async def work_uploads(database: Database) -> None:
    """Work through the oldest upload that nobody holds; what was answered before a crash is not done again."""
    while True:
        async with database.transaction() as tx:
            upload = await tx.pg.fetchrow(_CLAIM)
        if upload is None:
            return
        await _work(database, upload)


async def _work(database: Database, upload: Any) -> None:
    upload_id, data, done = upload["upload_id"], bytes(upload["content"]), upload["done"]
    try:
        names = await members_of(data)
    except DocumentRefused as error:
        async with database.transaction() as tx:
            await _end(tx, upload_id, state="refused", code=error.code, message=str(error))
        return
    while done < len(names):
        places = range(done, min(done + _CHUNK, len(names)))
        reads = await read_members(data, places, names=names)
        try:
            went_on = await _store(database, upload, places, reads, total=len(names))
        except _BAD_ITEM:
            # One of them is at fault: each by itself, so that its neighbours are taken.
            went_on = True
            for place, read in zip(places, reads, strict=True):
                went_on = went_on and await _store_alone(database, upload, place, read, total=len(names))
        if not went_on:
            return  # held for too long: another worker went on
        done = places.stop


async def _store_alone(database: Database, upload: Any, place: int, read: Read, *, total: int) -> bool:
    places = range(place, place + 1)
    try:
        return await _store(database, upload, places, [read], total=total)
    except _BAD_ITEM as error:
        _log.exception("a document could not be stored", upload_id=upload["upload_id"], nth=place)
        refused = Read(read.name, Judgement(), error=NotStored(why=type(error).__name__))
        return await _store(database, upload, places, [refused], total=total)


async def _store(database: Database, upload: Any, places: range, reads: Sequence[Read], *, total: int) -> bool:
    """Take a chunk in and answer each of it; false when another worker went on meanwhile."""
    upload_id = upload["upload_id"]
    async with database.transaction() as tx:
        current = await tx.pg.fetchval("SELECT done FROM upload WHERE upload_id = $1 FOR UPDATE", upload_id)
        if current != places.start:
            return False
        await _take(tx, upload, places, reads)
        await tx.pg.execute(
            "UPDATE upload SET total = $2, done = $3, held_until = clock_timestamp() + $4 * interval '1 second' "
            "WHERE upload_id = $1",
            *(upload_id, total, places.stop, _HOLD_S),
        )
        if places.stop == total:
            await _end(tx, upload_id, state="done", code=None, message=None)
    return True


async def _take(tx: Transaction, upload: Any, places: Sequence[int], reads: Sequence[Read]) -> None:
    readable = [(place, read) for place, read in zip(places, reads, strict=True) if read.invoice is not None]
    answers = await take_in(
        tx,
        documents=[(read.name, read.invoice) for _, read in readable if read.invoice is not None],
        party=upload["party"],
        actor=upload["actor"],
        evidence=[evidence_of(read) for _, read in readable],
    )
    by_place = dict(zip((place for place, _ in readable), answers, strict=True))
    rows = [_item(place, read, by_place.get(place) or read.error) for place, read in zip(places, reads, strict=True)]
    await tx.pg.execute(_ITEMS, upload["upload_id"], *(list(column) for column in zip(*rows, strict=True)))


def evidence_of(read: Read) -> Evidence:
    """Return what stands behind a document that was read."""
    return Evidence(read.data, read.media_type, read.judgement, read.reasons)


def _item(place: int, read: Read, answer: Taken | Exception | None) -> tuple[Any, ...]:
    findings = json.dumps(read.judgement.wire(), ensure_ascii=False)
    if isinstance(answer, Taken):
        outcome = "referred" if answer.state == "referred" else "accepted"
        return place, read.name, outcome, answer.receivable_id, None, ", ".join(answer.reasons) or None, findings
    code, message = str(getattr(answer, "code", "refused")), str(answer)
    if isinstance(answer, DuplicateDocument):
        return place, read.name, "duplicate", answer.receivable_id, code, message, findings
    return place, read.name, "refused", None, code, message, findings


async def _end(tx: Transaction, upload_id: str, *, state: str, code: str | None, message: str | None) -> None:
    await tx.pg.execute(
        "UPDATE upload SET state = $2, code = $3, message = $4, held_until = NULL, ended_at = clock_timestamp() "
        "WHERE upload_id = $1",
        *(upload_id, state, code, message),
    )
