"""Keep every event in the feed, in the order of commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from zlib import crc32

from services.console.domain.facts import key_facts
from shared.events.envelope import Received
from shared.messaging.outbox import wake_after_commit
from shared.storage.database import Transaction

_ORDER = crc32(b"console feed")
_KEEP = """
INSERT INTO feed (event_id, topic, type, subject, sequence, time, facts)
SELECT event_id, topic, type, subject, sequence, time, facts::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[])
    WITH ORDINALITY AS g(event_id, topic, type, subject, sequence, time, facts, nth)
ORDER BY time, nth
"""


async def keep_feed(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep events in the feed; who reads on from a position misses none."""
    # Positions are drawn under this lock, kept until the commit: without it a later position could become visible
    # first. As the first thing a handler does, it also keeps two inboxes from waiting for each other's rows.
    await tx.pg.execute("SELECT pg_advisory_xact_lock($1)", _ORDER)
    await tx.pg.execute(
        _KEEP,
        [event.id for event in events],
        [event.topic for event in events],
        [event.type for event in events],
        [event.subject for event in events],
        [event.sequence for event in events],
        [event.time for event in events],
        [json.dumps(key_facts(event.event.model_dump(mode="json"))) if event.event else "{}" for event in events],
    )
    wake_after_commit(tx)
