"""Propagations that are due: a handler notes that a programme's inputs moved; one job propagates for all notes.

Only what cannot take effect too late is noted. Whatever must stop draws (a suspension, a delay, a dilution) and what
makes lines propagate in the transaction that keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from weakref import WeakSet

from services.credit.operations.keep_history import keep_programmes
from services.credit.operations.propagate_limits import propagate_limits
from shared.runtime.tracing import handling, traceparent_of
from shared.storage.database import Database, Transaction

_NOTE = """
INSERT INTO due_propagation (programme_id, cause, traceparent)
SELECT g.programme_id, $2, g.traceparent FROM unnest($1::text[], $3::text[]) AS g(programme_id, traceparent)
"""
# An input that moved concerns a programme or a line that begins in another worker's open transaction too. So it is
# looked up once more after its commit, and what begins notes itself: whichever of the two commits last is propagated.
_NOTE_INPUTS = """
INSERT INTO due_input (enterprise_id, currency, cause, traceparent)
SELECT g.enterprise_id, g.currency, $3, g.traceparent
FROM unnest($1::text[], $2::text[], $4::text[]) AS g(enterprise_id, currency, traceparent)
"""
_LOOK_UP = """
WITH moved AS (DELETE FROM due_input RETURNING enterprise_id, currency, cause, traceparent)
INSERT INTO due_propagation (programme_id, cause, traceparent)
SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.anchor_id = m.enterprise_id
UNION SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.group_head_id = m.enterprise_id
UNION SELECT l.programme_id, m.cause, m.traceparent FROM moved m JOIN line l ON l.enterprise_id = m.enterprise_id
UNION SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.currency = m.currency
"""
# In which order programmes come does not matter: one that another worker propagates is passed over.
_TAKE = """
SELECT p.programme_id FROM programme p
WHERE p.programme_id = ANY(ARRAY(
    SELECT DISTINCT d.programme_id FROM due_propagation d WHERE d.not_before <= clock_timestamp()))
ORDER BY p.programme_id LIMIT 1 FOR UPDATE OF p SKIP LOCKED
"""
_LAST_NOTE = """
SELECT cause, traceparent FROM due_propagation WHERE programme_id = $1 ORDER BY note_id DESC LIMIT 1
"""
_DEFER = """
UPDATE due_propagation SET not_before = clock_timestamp() + make_interval(secs => $2) WHERE programme_id = $1
"""
_AGAIN_AFTER_S = 5.0
_signals: dict[str, WeakSet[asyncio.Event]] = {}


async def note_moved(tx: Transaction, *, programme_ids: Collection[str], cause: str) -> None:
    """Note that programmes' inputs moved: they are propagated after the commit, once for any number of notes."""
    names = sorted(set(programme_ids))
    if not names:
        return
    await keep_programmes(tx, programme_ids=names)
    await tx.pg.execute(_NOTE, names, cause, [traceparent_of(each) for each in names])
    _wake_after_commit(tx)


async def note_inputs(
    tx: Transaction, *, enterprise_ids: Collection[str] = (), currencies: Collection[str] = (), cause: str
) -> None:
    """Note that something of firms, or the trade of currencies, moved: whom that concerns is found after the commit."""
    firms, traded = sorted(set(enterprise_ids)), sorted(set(currencies))
    await tx.pg.execute(
        _NOTE_INPUTS,
        [*firms, *(None for _ in traded)],
        [*(None for _ in firms), *traded],
        cause,
        [traceparent_of(each) for each in (*firms, *traded)],
    )
    _wake_after_commit(tx)


def _wake_after_commit(tx: Transaction) -> None:
    for signal in _signals.get(tx.url, ()):
        tx.after_commit(signal.set)


def notes_of(url: str) -> asyncio.Event:
    """Return a signal that this process' commits of notes on a database set, as long as somebody holds it."""
    signal = asyncio.Event()
    _signals.setdefault(url, WeakSet()).add(signal)
    return signal


async def propagate_due(database: Database) -> None:
    """Propagate every programme that is due; several workers may at once. One that fails holds up no other."""
    failed: Exception | None = None
    async with database.transaction() as tx:
        await tx.pg.execute(_LOOK_UP)
    while True:
        programme_id: str | None = None
        try:
            async with database.transaction() as tx:
                programme_id = await tx.pg.fetchval(_TAKE)
                if programme_id is None:
                    break
                await _propagate(tx, programme_id)
        except Exception as error:
            if programme_id is None:
                raise
            failed = error
            async with database.transaction() as tx:
                await tx.pg.execute(_DEFER, programme_id, _AGAIN_AFTER_S)
    if failed is not None:
        raise failed


async def _propagate(tx: Transaction, programme_id: str) -> None:
    # Another worker may have been quicker, before we had the lock.
    note = await tx.pg.fetchrow(_LAST_NOTE, programme_id)
    if note is not None:
        with handling("propagate", [(programme_id, note["traceparent"])]):
            await propagate_limits(tx, programme_ids=[programme_id], cause=note["cause"])
