"""Take a small CSV of invoices in at once: chunk by chunk, each in its transaction, each row answered on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from services.receivables.domain.documents import EInvoice
from services.receivables.domain.rows import Row, RowFile, encoding_of
from services.receivables.operations.answer_uploads import item_of
from services.receivables.operations.intake import take_all
from services.receivables.operations.take_documents import Taken
from services.receivables.operations.take_notes import TakenNote
from shared.storage.database import Database, Transaction

_CHUNK = 250


async def take_rows(
    database: Database, *, data: bytes, file: str, party: str | None, actor: str
) -> list[dict[str, Any]]:
    """Take the rows in and return each one's outcome.

    UnreadableDocument, and nothing is taken, when the file is no such CSV. An upload that breaks off between
    two chunks can be repeated: what was taken is then a duplicate.
    """
    encoding, _ = await asyncio.to_thread(encoding_of, data, kind="csv")
    table = RowFile(kind="csv", encoding=encoding)
    table.feed(data, last=True)
    rows = table.rows()
    outcomes: list[dict[str, Any]] = []
    while chunk := list(islice(rows, _CHUNK)):
        async with database.transaction() as tx:
            answers = await take_readable(tx, chunk, file=file, party=party, actor=actor)
        outcomes += [_outcome(number, answer) for number, answer in enumerate(answers, start=len(outcomes) + 1)]
        await asyncio.sleep(0)
    return outcomes


async def take_readable(
    tx: Transaction, rows: Sequence[Row], *, file: str, party: str | None, actor: str, audited: bool = True
) -> list[Taken | TakenNote | Exception]:
    """Take in the rows that are invoices or credit notes; answer each row, in its place."""
    documents = [(file, row) for row in rows if isinstance(row, EInvoice)]
    taken = iter(await take_all(tx, documents=documents, party=party, actor=actor, audited=audited))
    return [next(taken) if isinstance(row, EInvoice) else row for row in rows]


def _outcome(number: int, answer: Taken | TakenNote | Exception) -> dict[str, Any]:
    if isinstance(answer, Taken):
        return {"row": number, "outcome": "accepted", "receivable_id": answer.receivable_id, "state": answer.state}
    if isinstance(answer, TakenNote):
        return {"row": number, "outcome": "accepted", "credit_note_id": answer.credit_note_id, "state": answer.state}
    item = item_of(number, answer)
    outcome = {"row": number, "outcome": item.outcome, "code": item.code, "message": item.message}
    return outcome if item.receivable_id is None else {**outcome, "receivable_id": item.receivable_id}
