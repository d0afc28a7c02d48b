"""Take an archive of many e-documents in: kept at once, worked through by the worker, each document answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.duplicates import DuplicateDocument
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
SELECT $1, d.* FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[]) d
"""


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
        async with database.transaction() as tx:
            current = await tx.pg.fetchval("SELECT done FROM upload WHERE upload_id = $1 FOR UPDATE", upload_id)
            if current != done:
                return  # held for too long: another worker went on
            await _take(tx, upload, places, reads)
            done = places.stop
            await tx.pg.execute(
                "UPDATE upload SET total = $2, done = $3, held_until = clock_timestamp() + $4 * interval '1 second' "
                "WHERE upload_id = $1",
                *(upload_id, len(names), done, _HOLD_S),
            )
            if done == len(names):
                await _end(tx, upload_id, state="done", code=None, message=None)


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
    findings = read.judgement.wire()
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
