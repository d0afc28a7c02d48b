"""The publishers: transactions that append events, commit, change their minds, or never learn what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import asyncpg

from shared.events.envelope import Event
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.database import ModelDatabase
from tests.properties.simulation.events import (
    BASES,
    SERVICE,
    SUBJECTS,
    THINGS,
    Based,
    Happened,
    Unhandled,
    Upgraded,
    topic_of,
)
from tests.properties.simulation.invariants import committed_events
from tests.properties.simulation.postgres import Server


class Publisher:
    """One process that publishes."""

    def __init__(self, server: Server, *, name: str, aggregates: int) -> None:
        self._server = server
        self._random: Random = server.random
        self._database: Any = ModelDatabase(server, url=name)
        self._aggregates = aggregates

    async def publish(self, *, transactions: int, seconds: float) -> None:
        """Run so many transactions; whether one whose answer was lost is there, the outbox itself tells at the end."""
        for _ in range(transactions):
            await asyncio.sleep(self._random.random() * seconds / transactions)
            with suppress(asyncpg.PostgresError, OSError, _ChangedItsMind):
                async with self._database.transaction() as tx:
                    for _ in range(self._random.choice((1, 1, 2))):
                        await _append(tx, [self._event() for _ in range(self._random.randint(1, 2))])
                    if self._random.random() < 0.3:
                        # Others commit meanwhile what was numbered after this.
                        await asyncio.sleep(self._random.random() * 0.04)
                    if self._random.random() < 0.1:
                        raise _ChangedItsMind

    def _event(self) -> Event:
        random = self._random
        base = f"b{random.randrange(self._aggregates)}"
        if random.random() < 0.35:
            return Based(base_id=base)
        thing = SUBJECTS[random.randrange(self._aggregates)]
        drawn = random.random()
        if drawn < 0.35:
            others = [other for other in self._begun() if other != thing]
            if others and random.random() < 0.6:
                return Happened(thing_id=thing, needs=random.choice(others), needs_count=1)
            return Happened(thing_id=thing, needs=base, needs_count=random.randint(1, 2))
        if drawn < 0.45:
            return Happened(thing_id=thing, flaky=random.randint(1, 2))
        if drawn < 0.48:
            return Happened(thing_id=thing, poison=True)
        kind = random.choice((Happened, Happened, Unhandled, Upgraded))
        return kind(thing_id=thing)

    def _begun(self) -> list[str]:
        """Return the things whose first event is committed and needs nothing: others may safely need it."""
        begun = []
        for (topic, subject), rows in committed_events(self._server).items():
            first = Happened.model_validate_json(rows[0]["body"]) if topic == THINGS else None
            if first is not None and rows[0]["type"] == Happened.type and not first.poison and not first.needs:
                begun.append(subject)
        return begun


class _ChangedItsMind(Exception):
    pass


async def publish_what_is_needed(server: Server) -> None:
    """Publish the bases that committed events need and nobody has published."""
    needed: Counter[str] = Counter()
    for (topic, _), rows in committed_events(server).items():
        for row in rows if topic == THINGS else ():
            happened = Happened.model_validate_json(row["body"])
            if topic_of(happened.needs) == BASES:
                needed[happened.needs] = max(needed[happened.needs], happened.needs_count)
    database: Any = ModelDatabase(server, url="healer")
    async with database.transaction() as tx:
        for base, count in sorted(needed.items()):
            there = len(committed_events(server).get((BASES, base), []))
            await _append(tx, [Based(base_id=base)] * max(0, count - there))


async def _append(tx: Any, events: Sequence[Event]) -> None:
    # Through the module, so that a mutation of it counts.
    await protocol_rows.append(tx, events, source=SERVICE)
