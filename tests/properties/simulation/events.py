"""What is published and consumed in the simulation: two topics; an event may need facts of another aggregate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from shared.events.envelope import EVENT_TYPES, Event, Received
from shared.messaging.applying import Handlers, NotYet

SERVICE = "sim"
BASES, THINGS = f"scf.{SERVICE}.base.v1", f"scf.{SERVICE}.thing.v1"
PARTITIONS = {BASES: 1, THINGS: 2}
# Things of both partitions.
SUBJECTS = ("t0", "t4", "t1")


class Based(Event):
    """What others may need."""

    type: ClassVar[str] = "base.based.v1"
    topic: ClassVar[str] = BASES
    base_id: str

    @property
    def subject(self) -> str:
        return self.base_id


class Happened(Event):
    """It may need effects of another aggregate, or make its handler fail: each time (poison), or a few times."""

    type: ClassVar[str] = "thing.happened.v1"
    topic: ClassVar[str] = THINGS
    thing_id: str
    needs: str = ""
    needs_count: int = 0
    poison: bool = False
    flaky: int = 0

    @property
    def subject(self) -> str:
        return self.thing_id


class Unhandled(Happened):
    """Known, and without a handler."""

    type: ClassVar[str] = "thing.unhandled.v1"


class Upgraded(Happened):
    """Unknown to the release that runs at first."""

    type: ClassVar[str] = "thing.upgraded.v1"


KINDS = (Based, Happened, Unhandled, Upgraded)
for _kind in KINDS:
    # They exist while a simulation runs, not for other tests.
    del EVENT_TYPES[_kind.type]


def handlers(failed: Counter[str]) -> Handlers:
    """Return the consumer's handlers: an effect an event, in the database of the transaction."""

    async def apply(tx: Any, events: Sequence[Received]) -> None:
        await tx.pg.statement()
        effects = Counter((topic, subject) for _, (topic, subject, _, _) in tx.pg.see("effect"))
        for event in events:
            effect = (event.topic, event.subject, event.sequence, event.id)
            tx.pg.put_new("effect", tx.pg.server.draw("effect"), effect)
            effects[event.topic, event.subject] += 1
            # What fails here has written already: the savepoint takes that back.
            _check(event, effects, failed)
        await tx.pg.statement()

    return {Based: apply, Happened: apply, Upgraded: apply}


def _check(event: Received, effects: Counter[tuple[str, str]], failed: Counter[str]) -> None:
    happened = event.event
    if not isinstance(happened, Happened):
        return
    if happened.poison:
        raise ValueError("poison")
    if failed[event.id] < happened.flaky:
        failed[event.id] += 1
        raise ValueError("not this time")
    topic = topic_of(happened.needs)
    if effects[topic, happened.needs] < happened.needs_count:
        raise NotYet(topic=topic, subject=happened.needs)


def topic_of(subject: str) -> str:
    """Return the topic of an aggregate of ours."""
    return BASES if subject.startswith("b") else THINGS
