"""Cancel a drawdown, and expire those whose time is over."""

from __future__ import annotations

import json

from services.credit.domain.drawdowns import AlreadyApplied, Input, NotPossible, State
from services.credit.operations.advance_drawdowns import save_with_ends
from services.credit.operations.drawdown_rows import lock_drawdowns
from shared.runtime.clock import database_now
from shared.storage.audit import Entry, record
from shared.storage.database import Database
from shared.storage.idempotency import Answer, Key, claim, complete
from shared.web.auth import Caller, own_party

_BATCH = 200
_WAITING = frozenset({State.HELD, State.REFERRED})


async def cancel_drawdown(database: Database, *, key: Key, drawdown_id: str, reason: str, caller: Caller) -> str:
    """Release a drawdown that was not approved, or ask settlement to stop one that was; return the answer's JSON."""
    async with database.transaction() as tx:
        claims = await claim(tx, keys=[key])
        known = claims.known.get(key.name)
        if isinstance(known, Exception):
            raise known
        if known is not None:
            return known.body
        locked = await lock_drawdowns(tx, drawdown_ids=[drawdown_id])
        drawdown = locked.find(drawdown_id)
        own_party(caller, drawdown.enterprise_id)
        before = drawdown.state
        if isinstance(locked.advance(drawdown, Input.CANCEL, reason=reason), AlreadyApplied):
            raise NotPossible(drawdown_id=drawdown_id, state=before, asked="be cancelled")
        await save_with_ends(tx, locked, cause="drawdown.cancelled")
        await record(tx, [Entry(caller.subject, "drawdown.cancelled", drawdown_id, {"reason": reason})])
        body = json.dumps({"drawdown_id": drawdown_id, "state": drawdown.state, "reason": reason}, ensure_ascii=False)
        await complete(tx, answers=[(key, Answer(200, body))])
    return body


async def expire_drawdowns(database: Database) -> int:
    """Release what was neither approved nor decided in time, batch by batch; return how many."""
    released = 0
    while True:
        found, expired = await _expire_some(database)
        released += expired
        if found < _BATCH:
            return released


async def _expire_some(database: Database) -> tuple[int, int]:
    """Return how many were found and how many of those were released.

    They are found without locks, then locked in order, then looked at again: of a cancel, an approval and an expiry
    exactly one wins.
    """
    async with database.transaction() as tx:
        rows = await tx.pg.fetch(
            """SELECT drawdown_id FROM drawdown
            WHERE state IN ('held', 'referred') AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1""",
            _BATCH,
        )
        if not rows:
            return 0, 0
        locked = await lock_drawdowns(tx, drawdown_ids=[row["drawdown_id"] for row in rows])
        now = await database_now(tx)
        expired = [
            each
            for each in locked.drawdowns.values()
            if each.state in _WAITING and each.expires_at is not None and each.expires_at <= now
        ]
        for drawdown in expired:
            locked.advance(drawdown, Input.EXPIRE, reason="expired")
        await save_with_ends(tx, locked, cause="drawdown.expired")
    return len(rows), len(expired)
