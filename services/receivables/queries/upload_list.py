"""All uploads, newest first, and how far each is; what became of each of their documents is read with the upload."""

from __future__ import annotations

from typing import Any

from shared.storage.database import Database
from shared.storage.paging import page

_ABOVE_ALL_IDS = "g"  # ids are hexadecimal: above f in every collation
ALL_UPLOADS = """
SELECT upload_id, file, state, total, done, accepted, referred, duplicate, refused, code, message, received_at, ended_at
FROM upload
WHERE upload_id < $1 ORDER BY upload_id DESC LIMIT $2
"""


async def uploads(database: Database, *, before: str, limit: int) -> dict[str, Any]:
    """Return a page of uploads; what was sent for any party is among them, so only the bank may see it (R23)."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(ALL_UPLOADS, before or _ABOVE_ALL_IDS, limit + 1)
    return page([dict(row) for row in rows], limit=limit, key=lambda each: str(each["upload_id"]))
