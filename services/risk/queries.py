"""What risk's API reads."""

from __future__ import annotations

from typing import Any, ClassVar

from shared.storage.database import Database
from shared.values.money import Amount


class Unrated(LookupError):
    """The firm has no rating."""

    code: ClassVar[str] = "unrated"

    def __init__(self, *, enterprise_id: str) -> None:
        """Keep the id asked for."""
        self.enterprise_id = enterprise_id
        super().__init__("The firm has no rating.")


async def ratings(database: Database, *, enterprise_id: str) -> dict[str, Any]:
    """Return a firm's ratings, the last one first; Unrated when it has none."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT * FROM rating WHERE enterprise_id = $1 ORDER BY rating_id DESC LIMIT 100", enterprise_id
        )
    if not rows:
        raise Unrated(enterprise_id=enterprise_id)
    return {"items": [_wire(dict(row)) for row in rows], "next": None}


def _wire(row: dict[str, Any]) -> dict[str, Any]:
    cap = Amount.of(amount_minor=row.pop("cap_minor"), currency=row.pop("currency"))
    return {**row, "cap": cap.model_dump()}
