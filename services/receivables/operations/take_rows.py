"""Take a CSV of invoices in: chunk by chunk, each in its transaction, each row answered on its own."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from services.receivables.domain.documents import EInvoice
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.entries import check_csv, read_csv
from services.receivables.operations.take_documents import Taken, take_documents
from shared.storage.database import Database

_CHUNK = 250


async def take_rows(
    database: Database, *, data: bytes, file: str, party: str | None, actor: str
) -> list[dict[str, Any]]:
    """Take the rows in and return each one's outcome.

    UnreadableDocument, and nothing is taken, when the file is no such CSV. An upload that breaks off between
    two chunks can be repeated: what was taken is then a duplicate.
    """
    await asyncio.to_thread(check_csv, data)
    rows = read_csv(data)
    outcomes: list[dict[str, Any]] = []
    while chunk := list(islice(rows, _CHUNK)):
        readable = [(number, row) for number, row in chunk if isinstance(row, EInvoice)]
        answers = await take_documents(
            database, documents=[(file, row) for _, row in readable], party=party, actor=actor
        )
        by_number: dict[int, Any] = dict(chunk) | {
            number: answer for (number, _), answer in zip(readable, answers, strict=True)
        }
        outcomes += [_outcome(number, by_number[number]) for number, _ in chunk]
        await asyncio.sleep(0)
    return outcomes


def _outcome(number: int, answer: Taken | Exception) -> dict[str, Any]:
    if isinstance(answer, Taken):
        return {"row": number, "outcome": "accepted", "receivable_id": answer.receivable_id, "state": answer.state}
    outcome = {"row": number, "outcome": "refused", "code": getattr(answer, "code", "refused"), "message": str(answer)}
    if isinstance(answer, DuplicateDocument):
        outcome |= {"outcome": "duplicate", "receivable_id": answer.receivable_id}
    return outcome
