"""How far an upload of many is: each of its documents or rows answered once, in its place, and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import asyncpg

from services.receivables.domain.credit_notes import DuplicateNote
from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.findings import Judgement
from services.receivables.operations.take_documents import Taken
from services.receivables.operations.take_notes import TakenNote
from shared.storage.database import Transaction, packed, unpacked

HOLD_S = 120
# What a document itself can be at fault for; a database that is away is not among it.
BAD_ITEM = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError, TypeError, LookupError)
OUTCOMES = ("accepted", "referred", "duplicate", "refused")
_ITEMS = f"""
INSERT INTO upload_item (upload_id, nth, file, outcome, receivable_id, code, message, findings)
SELECT $1, d.nth, d.file, d.outcome, d.receivable_id, d.code, d.message, d.findings::jsonb
FROM unnest({unpacked(2, "int")}, {unpacked(3)}, {unpacked(4)}, {unpacked(5)}, {unpacked(6)}, {unpacked(7)},
    {unpacked(8)}) AS d(nth, file, outcome, receivable_id, code, message, findings)
"""  # noqa: S608 - constants only
_ADVANCE = f"""
UPDATE upload SET done = done + $2, accepted = accepted + $3, referred = referred + $4, duplicate = duplicate + $5,
    refused = refused + $6, held_until = clock_timestamp() + interval '{HOLD_S} seconds' WHERE upload_id = $1
RETURNING done = total
"""  # noqa: S608 - constants only


class NotStored(DocumentRefused):
    """Something failed here when a document was stored: it is logged, its neighbours were taken."""

    code: ClassVar[str] = "not_stored"

    def __init__(self, *, why: str) -> None:
        """Keep the kind of the failure."""
        super().__init__(f"The document could not be stored here ({why}); it is logged.")


@dataclass(frozen=True, slots=True)
class Item:
    """The answer to one document or row of an upload."""

    nth: int
    file: str | None
    outcome: str
    receivable_id: str | None
    code: str | None
    message: str | None
    findings: str


def item_of(
    nth: int,
    answer: Taken | TakenNote | Exception | None,
    *,
    file: str | None = None,
    judgement: Judgement | None = None,
) -> Item:
    """Return what became of a document: what was stored, or why nothing was."""
    findings = "[]"
    if judgement is not None and judgement.findings:
        findings = json.dumps(judgement.wire(), ensure_ascii=False)
    if isinstance(answer, Taken | TakenNote):
        outcome = "referred" if answer.state == "referred" else "accepted"
        return Item(nth, file, outcome, answer.receivable_id, None, ", ".join(answer.reasons) or None, findings)
    code, message = str(getattr(answer, "code", "refused")), str(answer)
    if isinstance(answer, DuplicateDocument):
        return Item(nth, file, "duplicate", answer.receivable_id, code, message, findings)
    if isinstance(answer, DuplicateNote):
        return Item(nth, file, "duplicate", None, code, message, findings)
    return Item(nth, file, "refused", None, code, message, findings)


async def is_next(tx: Transaction, upload_id: str, *, done: int) -> bool:
    """Lock an upload; return whether it is as far as the caller believes: another worker may have gone on."""
    return bool(await tx.pg.fetchval("SELECT done FROM upload WHERE upload_id = $1 FOR UPDATE", upload_id) == done)


async def answer_items(tx: Transaction, upload_id: str, items: Sequence[Item]) -> None:
    """Keep the answers to the next documents of an upload, which ends with its last."""
    columns: list[list[str | None]] = [
        [str(each.nth) for each in items],
        [each.file for each in items],
        [each.outcome for each in items],
        [each.receivable_id for each in items],
        [each.code for each in items],
        [each.message for each in items],
        [each.findings for each in items],
    ]
    await tx.pg.execute(_ITEMS, upload_id, *map(packed, columns))
    counts = Counter(each.outcome for each in items)
    if await tx.pg.fetchval(_ADVANCE, upload_id, len(items), *(counts[outcome] for outcome in OUTCOMES)):
        await end_upload(tx, upload_id)


async def end_upload(tx: Transaction, upload_id: str, *, refused: DocumentRefused | None = None) -> None:
    """End an upload: all of it is answered, or it is refused as a whole."""
    await tx.pg.execute(
        "UPDATE upload SET state = $2, code = $3, message = $4, held_until = NULL, ended_at = clock_timestamp() "
        "WHERE upload_id = $1",
        *(upload_id, "refused" if refused else "done"),
        *(refused.code if refused else None, str(refused) if refused else None),
    )
