"""Receive what is many: an archive whole, a file of rows as it comes, part by part, never whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from hashlib import sha256

from services.receivables.operations.answer_uploads import HOLD_S
from services.receivables.operations.originals import Evidence, keep_originals
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id

# So large that a million rows are a few hundred parts, so small that one is read and parsed in a moment.
PART_BYTES = 256 * 1024
_RECEIVING = f"""
INSERT INTO upload (upload_id, state, file, party, actor, held_until)
VALUES ($1, 'receiving', $2, $3, $4, clock_timestamp() + interval '{HOLD_S} seconds')
"""  # noqa: S608 - constants only
_PART = f"""
WITH held AS (
    UPDATE upload SET held_until = clock_timestamp() + interval '{HOLD_S} seconds'
    WHERE upload_id = $1 AND state = 'receiving' RETURNING upload_id)
INSERT INTO original_part (parts_id, nth, content) SELECT upload_id, $2, $3 FROM held RETURNING nth
"""  # noqa: S608 - constants only
_KEPT = "INSERT INTO original (sha256, media_type, parts_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true"
_RECEIVED = """
UPDATE upload SET state = 'waiting', original_sha256 = $2, held_until = NULL
WHERE upload_id = $1 AND state = 'receiving' RETURNING true
"""
_FORGET = "DELETE FROM original_part WHERE parts_id = ANY($1)"
_BROKEN_OFF = """
UPDATE upload SET state = 'refused', code = 'broken_off', message = 'The file did not come to its end.',
    held_until = NULL, ended_at = clock_timestamp()
WHERE state = 'receiving' AND (upload_id = $1 OR held_until < clock_timestamp()) RETURNING upload_id
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


async def receive_upload(
    database: Database, *, pieces: AsyncIterable[bytes], media_type: str, file: str, party: str | None, actor: str
) -> str:
    """Keep a file of rows as it comes; return the id under which its progress can be read.

    Of a file that breaks off nothing is kept but that it did.
    """
    upload_id = new_id()
    async with database.transaction() as tx:
        await tx.pg.execute(_RECEIVING, upload_id, file, party, actor)
    try:
        digest = await _keep_parts(database, upload_id, pieces)
        async with database.transaction() as tx:
            await _name_parts(tx, upload_id, digest, media_type)
            await record(tx, [Entry(actor, "upload.kept", upload_id, {"file": file, "sha256": digest})])
    except BaseException:
        await asyncio.shield(_break_off(database, upload_id))
        raise
    return upload_id


async def forget_broken_off(tx: Transaction, upload_id: str | None = None) -> None:
    """End this upload, and each whose sender was silent for too long; forget what came of them."""
    rows = await tx.pg.fetch(_BROKEN_OFF, upload_id)
    if rows:
        await tx.pg.execute(_FORGET, [row["upload_id"] for row in rows])


async def _break_off(database: Database, upload_id: str) -> None:
    async with database.transaction() as tx:
        await forget_broken_off(tx, upload_id)


async def _keep_parts(database: Database, upload_id: str, pieces: AsyncIterable[bytes]) -> str:
    digest, nth, waiting = sha256(), 0, bytearray()
    async for piece in pieces:
        waiting += piece
        while len(waiting) >= PART_BYTES:
            await _keep_part(database, upload_id, nth, bytes(waiting[:PART_BYTES]))
            digest.update(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
            nth += 1
    if waiting:
        await _keep_part(database, upload_id, nth, bytes(waiting))
        digest.update(waiting)
    return digest.hexdigest()


async def _name_parts(tx: Transaction, upload_id: str, digest: str, media_type: str) -> None:
    if not await tx.pg.fetchval(_KEPT, digest, media_type, upload_id):
        await tx.pg.execute(_FORGET, [upload_id])  # the same file came before
    if not await tx.pg.fetchval(_RECEIVED, upload_id, digest):
        raise _given_up()


async def _keep_part(database: Database, upload_id: str, nth: int, content: bytes) -> None:
    async with database.transaction() as tx:
        if await tx.pg.fetchval(_PART, upload_id, nth, content) is None:
            raise _given_up()


def _given_up() -> ConnectionError:
    return ConnectionError("the upload was given up: its sender was silent for too long")
