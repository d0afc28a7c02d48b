"""Work a file of rows through: it is looked over whole first, then taken chunk by chunk, each in its transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import asyncpg
import structlog

from services.receivables.domain.rows import Kind, Row, RowFile, encodings_of, not_text
from services.receivables.operations.answer_uploads import (
    BAD_ITEM,
    NotStored,
    answer_items,
    end_upload,
    is_next,
    item_of,
)
from services.receivables.operations.take_rows import take_readable
from shared.storage.audit import Entry, record
from shared.storage.database import Database

# Each row takes two locks of its own (R8): those of a few workers' chunks must fit into a server's lock table, which
# by default has room for 6,400. A thousand rows at once were no faster.
_CHUNK = 500
# Rows read between two looks at what else there is to do.
_SLICE = 100
_AT_ONCE = 2
# Each chunk's transaction holds its own turn to its end; who comes next waits for it.
_MY_TURN = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2::int, 9))"
_AFTER = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1 || ' ' || $2::int, 9))"
_PART = "SELECT content FROM original_part WHERE parts_id = $1 AND nth = $2"
_log = structlog.get_logger()


class _Overtaken(Exception):
    """The upload is not as far as was believed: a chunk before this one failed, or another worker went on."""


@dataclass(slots=True)
class _Chunk:
    """Rows on their way into the database, behind `done` others."""

    rows: Sequence[Row]
    done: int
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


async def work_rows(database: Database, upload: Any, *, kind: Kind) -> None:
    """Take in the rows that are not answered yet; UnreadableDocument, and nothing is taken, when it is no such file."""
    parts_id, done = upload["parts_id"], upload["done"]
    encoding, total = await _look_over(database, parts_id, kind)
    async with database.transaction() as tx:
        await tx.pg.execute("UPDATE upload SET total = $2 WHERE upload_id = $1", upload["upload_id"], total)
        if done == total:
            await end_upload(tx, upload["upload_id"])
    chunks = _chunks(database, parts_id, RowFile(kind=kind, encoding=encoding), skip=done)
    going: deque[_Chunk] = deque()
    try:
        async for rows in chunks:
            # The database stores two chunks at once while the next is read; they end in their order.
            chunk = _Chunk(rows, done)
            chunk.task = asyncio.create_task(_begin(database, upload, chunk, after=going[-1] if going else None))
            going.append(chunk)
            done += len(rows)
            if len(going) > _AT_ONCE - 1 and not await _ended(database, upload, going):
                return
        while going:
            if not await _ended(database, upload, going):
                return
    finally:
        tasks = [chunk.task for chunk in going if chunk.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await chunks.aclose()


async def _begin(database: Database, upload: Any, chunk: _Chunk, *, after: _Chunk | None) -> None:
    try:
        if after is not None:
            await after.has_begun.wait()
        await _store_together(database, upload, chunk, after=after)
    finally:
        chunk.has_begun.set()


async def _ended(database: Database, upload: Any, going: deque[_Chunk]) -> bool:
    """Wait for the oldest chunk; when it failed, take it and those behind it again, one after the other.

    False when another worker went on meanwhile: the upload was held for too long.
    """
    oldest = going.popleft()
    if oldest.task is None:
        raise RuntimeError
    try:
        await oldest.task
    except (*BAD_ITEM, asyncpg.DeadlockDetectedError, _Overtaken):
        behind = list(going)
        await asyncio.gather(*(each.task for each in behind if each.task is not None), return_exceptions=True)
        going.clear()
        for each in (oldest, *behind):
            if not await _store(database, upload, each.rows, done=each.done):
                return False
    return True


async def _look_over(database: Database, parts_id: str, kind: Kind) -> tuple[str, int]:
    """Return a file's encoding and how many rows it has; UnreadableDocument when it is none."""
    for encoding in encodings_of(kind):
        table, many = RowFile(kind=kind, encoding=encoding), 0
        try:
            async for piece, is_last in _parts(database, parts_id):
                table.feed(piece, last=is_last)
                many += table.count()
        except UnicodeDecodeError:
            continue
        return encoding, many
    raise not_text()


async def _chunks(database: Database, parts_id: str, table: RowFile, *, skip: int) -> AsyncGenerator[list[Row]]:
    """Yield the rows behind those that are answered; the loop is never kept for more than a slice of them."""
    chunk: list[Row] = []
    async for piece, is_last in _parts(database, parts_id):
        table.feed(piece, last=is_last)
        rows = table.rows()
        while some := list(islice(rows, _SLICE)):
            chunk += some[skip:]
            skip = max(0, skip - len(some))
            if len(chunk) >= _CHUNK:
                yield chunk
                chunk = []
            await asyncio.sleep(0)
    if chunk:
        yield chunk


async def _parts(database: Database, parts_id: str) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield a file part by part, and at last that there is no more."""
    nth, piece = 0, b""
    while piece is not None:
        async with database.reader() as tx:
            piece = await tx.pg.fetchval(_PART, parts_id, nth)
        yield piece or b"", piece is None
        nth += 1


async def _store(database: Database, upload: Any, rows: Sequence[Row], *, done: int) -> bool:
    """Take rows in and answer each of them; false when another worker went on meanwhile."""
    try:
        await _store_together(database, upload, _Chunk(rows, done))
    except _Overtaken:
        return False
    except asyncpg.DeadlockDetectedError:
        return await _store(database, upload, rows, done=done)
    except BAD_ITEM as error:
        if len(rows) == 1:
            _log.exception("a row could not be stored", upload_id=upload["upload_id"], row=done + 1)
            return await _store(database, upload, [NotStored(why=type(error).__name__)], done=done)
        # One of them is at fault: by halves, so that its neighbours are taken.
        middle = len(rows) // 2
        return await _store(database, upload, rows[:middle], done=done) and await _store(
            database, upload, rows[middle:], done=done + middle
        )
    return True


async def _store_together(database: Database, upload: Any, chunk: _Chunk, *, after: _Chunk | None = None) -> None:
    """Take a chunk in within one transaction, which ends behind that of the chunk before it.

    It waits for that one in the database and nowhere else: whoever waits in a circle is told by it.
    """
    upload_id, actor, done = upload["upload_id"], upload["actor"], chunk.done
    async with database.transaction() as tx:
        await tx.pg.execute(_MY_TURN, upload_id, done)
        chunk.has_begun.set()
        answers = await take_readable(
            tx, chunk.rows, file=upload["file"], party=upload["party"], actor=actor, audited=False
        )
        if after is not None:
            await tx.pg.execute(_AFTER, upload_id, after.done)
        if not await is_next(tx, upload_id, done=done):
            raise _Overtaken
        items = [item_of(number, answer) for number, answer in enumerate(answers, start=done + 1)]
        await answer_items(tx, upload_id, items)
        facts = {"file": upload["file"], "first_row": done + 1, "last_row": done + len(chunk.rows)}
        await record(tx, [Entry(actor, "rows.taken", upload_id, facts)])
