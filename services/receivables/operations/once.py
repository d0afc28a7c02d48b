"""A command that counts once: its key is claimed, its work done and its answer kept in one transaction (R19)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from shared.storage.database import Database, Transaction
from shared.storage.idempotency import Answer, IdempotencyConflict, Key, claim, complete


async def once(
    database: Database, *, key: Key, status: int, work: Callable[[Transaction], Awaitable[dict[str, Any]]]
) -> Answer:
    """Do the work, or return what was answered when it was done before; IdempotencyConflict for another body.

    What the work raises rolls everything back: a refusal claims no key.
    """
    async with database.transaction() as tx:
        claims = await claim(tx, keys=[key])
        known = claims.known.get(key.name)
        if isinstance(known, IdempotencyConflict):
            raise known
        if known is not None:
            return known
        answer = Answer(status, json.dumps(await work(tx), ensure_ascii=False))
        await complete(tx, answers=[(key, answer)])
    return answer
