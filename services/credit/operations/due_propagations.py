"""Propagations that are due: a handler notes that a programme's inputs moved; one job propagates for all notes.

Only what cannot take effect too late is noted. Whatever must stop draws (a suspension, a delay, a dilution) and what
makes lines propagate in the transaction that keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from weakref import WeakSet

from services.credit.operations.keep_history import keep_programmes
from shared.runtime.tracing import traceparent_of
from shared.storage.database import Transaction

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
_signals: dict[str, WeakSet[asyncio.Event]] = {}


async def note_moved(tx: Transaction, *, programme_ids: Collection[str], cause: str) -> None:
    """Note that programmes' inputs moved: they are propagated after the commit, once for any number of notes."""
    names = sorted(set(programme_ids))
    if not names:
        return
    await keep_programmes(tx, programme_ids=names)
    await tx.pg.execute(_NOTE, names, cause, [traceparent_of(each) for each in names])
    wake_after_commit(tx)


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
    wake_after_commit(tx)


def wake_after_commit(tx: Transaction) -> None:
    """Tell this process' jobs, once the commit is durable, that something is due."""
    for signal in _signals.get(tx.url, ()):
        tx.after_commit(signal.set)


def notes_of(url: str) -> asyncio.Event:
    """Return a signal that this process' commits of notes on a database set, as long as somebody holds it."""
    signal = asyncio.Event()
    _signals.setdefault(url, WeakSet()).add(signal)
    return signal
