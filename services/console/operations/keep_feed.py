"""Keep every event in the feed, in the order of commit."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from pydantic_core import to_json

from services.console.domain.facts import key_facts
from shared.events.envelope import Received
from shared.messaging.outbox import wake_after_commit
from shared.storage.database import Transaction, packed, unpacked

_ORDER = crc32(b"console feed")
_KEEP = f"""
INSERT INTO feed (event_id, topic, type, subject, sequence, time, facts)
SELECT event_id, topic, type, subject, sequence, time, facts::jsonb
FROM unnest({unpacked(1)}, {unpacked(2)}, {unpacked(3)}, {unpacked(4)}, {unpacked(5, "bigint")},
    {unpacked(6, "timestamptz")}, {unpacked(7)})
    WITH ORDINALITY AS g(event_id, topic, type, subject, sequence, time, facts, nth)
ORDER BY time, nth
"""  # noqa: S608 - constants only


async def keep_feed(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep events in the feed; who reads on from a position misses none."""
    # Positions are drawn under this lock, kept until the commit: without it a later position could become visible
    # first. As the first thing a handler does, it also keeps two inboxes from waiting for each other's rows.
    await tx.pg.execute("SELECT pg_advisory_xact_lock($1)", _ORDER)
    await tx.pg.execute(
        _KEEP,
        packed([event.id for event in events]),
        packed([event.topic for event in events]),
        packed([event.type for event in events]),
        packed([event.subject for event in events]),
        packed([str(event.sequence) for event in events]),
        packed([event.time.isoformat() for event in events]),
        packed([_facts(event) for event in events]),
    )
    wake_after_commit(tx)


def _facts(received: Received) -> str:
    event = received.event
    return to_json(key_facts(event.model_dump(mode="json"))).decode() if event else "{}"
