"""What two persons have decided to go on without: records that are on a topic for ever and bind nobody (R22)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tributary.verify.snapshots import World

_HEARD = "SELECT DISTINCT topic FROM inbox_offset"
_DISCARDED = "SELECT topic, event_id FROM inbox_decided WHERE decision = 'discarded'"


async def set_aside(world: World) -> dict[str, set[str]]:
    """Return, topic by topic, the ids of the records that every service which reads the topic has discarded."""
    discarded: dict[str, list[set[str]]] = defaultdict(list)
    for tx in world.state.values():
        own: dict[str, set[str]] = defaultdict(set)
        for row in await tx.pg.fetch(_DISCARDED):
            own[row["topic"]].add(row["event_id"])
        for row in await tx.pg.fetch(_HEARD):
            discarded[row["topic"]].append(own[row["topic"]])
    return {topic: set.intersection(*each) for topic, each in discarded.items()}


def is_aside(record: Any, aside: Mapping[str, set[str]]) -> bool:
    """Return whether a record, an event or a stray without an envelope, has been set aside."""
    known = aside.get(record.topic)
    if not known:
        return False
    named = (dict(record.headers).get("ce_id") or b"").decode("utf-8", "replace")
    return named in known or f"{record.topic}-{record.partition}-{record.offset}" in known
