"""Take what is many in: kept at once, worked through by the worker, each document or row answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.findings import Judgement
from services.receivables.domain.rows import Kind
from services.receivables.operations.answer_uploads import (
    BAD_ITEM,
    HOLD_S,
    NotStored,
    answer_items,
    end_upload,
    is_next,
    item_of,
)
from services.receivables.operations.intake import take_all
from services.receivables.operations.originals import Evidence
from services.receivables.operations.read_upload import CSV, NDJSON, Read, members_of, read_members
from services.receivables.operations.receive_uploads import forget_broken_off
from services.receivables.operations.work_rows import work_rows
from shared.storage.database import Database, Transaction

_CHUNK = 20
_CLAIM = f"""
UPDATE upload SET state = 'working', held_until = clock_timestamp() + interval '{HOLD_S} seconds'
WHERE upload_id = (
    SELECT upload_id FROM upload WHERE state IN ('waiting', 'working')
    AND (held_until IS NULL OR held_until < clock_timestamp()) ORDER BY upload_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING upload_id, original_sha256, file, party, actor, total, done
"""  # noqa: S608 - constants only
_ORIGINAL = "SELECT media_type, content, parts_id FROM original WHERE sha256 = $1"
_ROWS: dict[str, Kind] = {**dict.fromkeys(CSV, "csv"), **dict.fromkeys(NDJSON, "ndjson")}
_log = structlog.get_logger()


async def work_uploads(database: Database) -> None:
    """Work through the oldest upload that nobody holds; what was answered before a crash is not done again."""
    async with database.transaction() as tx:
        await forget_broken_off(tx)
    while True:
        async with database.transaction() as tx:
            upload = await tx.pg.fetchrow(_CLAIM)
            if upload is None:
                return
            (original,) = await tx.pg.fetch(_ORIGINAL, upload["original_sha256"])
        claimed = {**upload, **original}
        kind = _ROWS.get(claimed["media_type"])
        try:
            await (_work_archive(database, claimed) if kind is None else work_rows(database, claimed, kind=kind))
        except DocumentRefused as error:
            async with database.transaction() as tx:
                await end_upload(tx, claimed["upload_id"], refused=error)


async def _work_archive(database: Database, upload: Any) -> None:
    upload_id, data, done = upload["upload_id"], bytes(upload["content"]), upload["done"]
    names = await members_of(data)
    async with database.transaction() as tx:
        await tx.pg.execute("UPDATE upload SET total = $2 WHERE upload_id = $1", upload_id, len(names))
    while done < len(names):
        places = range(done, min(done + _CHUNK, len(names)))
        reads = await read_members(data, places, names=names)
        try:
            went_on = await _store(database, upload, places, reads)
        except BAD_ITEM:
            # One of them is at fault: each by itself, so that its neighbours are taken.
            went_on = True
            for place, read in zip(places, reads, strict=True):
                went_on = went_on and await _store_alone(database, upload, place, read)
        if not went_on:
            return  # held for too long: another worker went on
        done = places.stop


async def _store_alone(database: Database, upload: Any, place: int, read: Read) -> bool:
    places = range(place, place + 1)
    try:
        return await _store(database, upload, places, [read])
    except BAD_ITEM as error:
        _log.exception("a document could not be stored", upload_id=upload["upload_id"], nth=place)
        refused = Read(read.name, Judgement(), error=NotStored(why=type(error).__name__))
        return await _store(database, upload, places, [refused])


async def _store(database: Database, upload: Any, places: range, reads: Sequence[Read]) -> bool:
    """Take a chunk in and answer each of it; false when another worker went on meanwhile."""
    async with database.transaction() as tx:
        if not await is_next(tx, upload["upload_id"], done=places.start):
            return False
        await _take(tx, upload, places, reads)
    return True


async def _take(tx: Transaction, upload: Any, places: Sequence[int], reads: Sequence[Read]) -> None:
    readable = [(place, read) for place, read in zip(places, reads, strict=True) if read.invoice is not None]
    answers = await take_all(
        tx,
        documents=[(read.name, read.invoice) for _, read in readable if read.invoice is not None],
        party=upload["party"],
        actor=upload["actor"],
        evidence=[evidence_of(read) for _, read in readable],
    )
    by_place = dict(zip((place for place, _ in readable), answers, strict=True))
    items = [
        item_of(place, by_place.get(place) or read.error, file=read.name, judgement=read.judgement)
        for place, read in zip(places, reads, strict=True)
    ]
    await answer_items(tx, upload["upload_id"], items)


def evidence_of(read: Read) -> Evidence:
    """Return what stands behind a document that was read."""
    return Evidence(read.data, read.media_type, read.judgement, read.reasons)
