"""The outbox: events are written in the transaction that makes them true.

The aggregate's sequence, and after it the position, are drawn under the aggregate's lock; so whoever sees a row sees
its predecessors too, and the relay needs no cursor, only the pending rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.events.envelope import Event
from shared.events.topics import shard_of
from shared.runtime.tracing import traceparent_of
from shared.storage.database import Transaction, packed, unpacked
from shared.values.ids import new_id

# One statement: lock the heads sorted, then number the rows, then insert them in order with their pending marks. What
# is said outside any trace (a timer's word) continues that of what was said of the aggregate last.
APPEND = f"""
WITH given AS (
    SELECT * FROM unnest({unpacked(1)}, {unpacked(2)}, {unpacked(3)}, {unpacked(4)}, {unpacked(5)}, {unpacked(6)},
        {unpacked(8)}) WITH ORDINALITY AS g(id, topic, subject, type, body, shard, traceparent, nth)),
counted AS (SELECT topic, subject, count(*) AS many FROM given GROUP BY topic, subject),
heads AS (
    INSERT INTO outbox_head AS h (topic, subject, sequence)
    SELECT topic, subject, many FROM counted ORDER BY topic, subject
    ON CONFLICT (topic, subject) DO UPDATE SET sequence = h.sequence + excluded.sequence
    RETURNING topic, subject, sequence),
numbered AS (
    SELECT given.*, heads.sequence - counted.many AS before, heads.sequence - counted.many
        + row_number() OVER (PARTITION BY given.topic, given.subject ORDER BY given.nth) AS sequence
    FROM given JOIN heads USING (topic, subject) JOIN counted USING (topic, subject)),
kept AS (
    INSERT INTO outbox (id, topic, subject, sequence, type, source, traceparent, body)
    SELECT id, topic, subject, sequence, type, $7, coalesce(traceparent, (
        SELECT o.traceparent FROM outbox o
        WHERE (o.topic, o.subject, o.sequence) = (n.topic, n.subject, n.before))), body
    FROM numbered n ORDER BY nth
    RETURNING id, position)
INSERT INTO outbox_pending (shard, position) SELECT given.shard, kept.position FROM kept JOIN given USING (id)
"""  # noqa: S608 - constants only

_wakers: dict[str, set[asyncio.Event]] = {}


async def append(tx: Transaction, events: Sequence[Event], *, source: str) -> list[str]:
    """Append events to the outbox of the open transaction, in their order; return their ids.

    Each carries the trace of the event that it comes from, else that of the current task.
    """
    if not events:
        return []
    ids = [new_id() for _ in events]
    subjects = [event.subject for event in events]
    await tx.pg.execute(
        APPEND,
        packed(ids),
        packed([event.channel for event in events]),
        packed(subjects),
        packed([event.type for event in events]),
        packed([event.model_dump_json() for event in events]),
        packed([shard_of(topic=event.channel, subject=each) for event, each in zip(events, subjects, strict=True)]),
        source,
        packed([traceparent_of(subject) for subject in subjects]),
    )
    wake_after_commit(tx)
    return ids


def wake_after_commit(tx: Transaction) -> None:
    """Tell this process' relay of the same database, once the commit is durable, that rows are pending."""
    for waker in _wakers.get(tx.url, ()):
        tx.after_commit(waker.set)


def waker_of(url: str) -> asyncio.Event:
    """Return a new signal that commits on this database set; `forget_waker` ends it."""
    waker = asyncio.Event()
    _wakers.setdefault(url, set()).add(waker)
    return waker


def forget_waker(url: str, waker: asyncio.Event) -> None:
    """Stop signalling."""
    _wakers.get(url, set()).discard(waker)
