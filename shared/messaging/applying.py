"""Applying a batch of events inside one transaction: heads, waves, savepoints, parking.

Per aggregate: applied already → skip; next → apply; same sequence under another id → fork; further on → gap.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import structlog

from shared.events.envelope import Event, Received
from shared.messaging import inbox_rows
from shared.messaging.inbox_rows import Aggregate, Arrival, Awaited, Head, Parked
from shared.runtime.jobs import Unrecoverable
from shared.runtime.tracing import handling, within
from shared.storage.database import Transaction

Handler = Callable[[Transaction, Sequence[Received]], Awaitable[None]]
Handlers = Mapping[type[Event], Handler]
_ATTEMPTS = 3
_log = structlog.get_logger()


class NotYet(Exception):
    """A handler needs a fact of another aggregate that has not arrived: wait until that one moves."""

    code: ClassVar[str] = "not_yet"

    def __init__(self, *, topic: str, subject: str) -> None:
        """Keep the aggregate that must move first."""
        self.topic = topic
        self.subject = subject
        super().__init__(f"{topic} {subject}")


class TooManyFailures(Unrecoverable):
    """More handler failures than may be parked: a bad release must not park everything. The batch leaves nothing."""

    code: ClassVar[str] = "too_many_failures"

    def __init__(self) -> None:
        """Say what an operator does."""
        super().__init__(
            "too many events could not be handled within a minute: bring a release that can, restart, "
            "then replay what is parked"
        )


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    may_fail: int = sys.maxsize
    applied: int = 0
    duplicates: int = 0
    failures: int = 0
    parked: list[Parked] = field(default_factory=list)
    advanced: set[Aggregate] = field(default_factory=set)
    done: list[int] = field(default_factory=list)


async def apply_all(
    tx: Transaction, arrivals: Sequence[Arrival], *, handlers: Handlers, may_fail: int = sys.maxsize
) -> Outcome:
    """Lock the heads, then apply what can be applied, in waves: the k-th event of each aggregate, grouped by type.

    When more than `may_fail` cannot be handled: TooManyFailures.
    """
    outcome = Outcome(may_fail)
    heads = await inbox_rows.lock_heads(tx, aggregates=[arrival.aggregate for arrival in arrivals])
    queues: dict[Aggregate, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        queues[arrival.aggregate].append(arrival)
    depth = max(map(len, queues.values()), default=0)
    for nth in range(depth):
        wave = [queue[nth] for queue in queues.values() if len(queue) > nth]
        groups: dict[type[Event] | None, list[Arrival]] = defaultdict(list)
        for arrival in _next_of(wave, heads, outcome):
            event = arrival.received.event
            if arrival.discarded:
                _advance([arrival], heads, outcome)
            elif arrival.malformed is not None:
                outcome.parked.append(Parked(arrival, "malformed", arrival.malformed))
            else:
                groups[type(event) if event is not None else None].append(arrival)
        for kind, group in groups.items():
            if kind is None:
                outcome.parked += [Parked(arrival, "unknown_type") for arrival in group]
                continue
            handler = handlers.get(kind)
            if handler is not None:
                await _handle(tx, handler, group, heads, outcome)
            else:
                _advance(group, heads, outcome)
    await inbox_rows.save_heads(tx, heads=heads)
    await inbox_rows.park(tx, parked=outcome.parked)
    return outcome


def _next_of(wave: Sequence[Arrival], heads: Mapping[Aggregate, Head], outcome: Outcome) -> list[Arrival]:
    following = []
    for arrival in wave:
        head, received = heads[arrival.aggregate], arrival.received
        if received.sequence == head.sequence + 1:
            following.append(arrival)
        elif received.sequence > head.sequence:
            outcome.parked.append(Parked(arrival, "gap"))
        elif received.sequence == head.sequence and received.id != head.event_id:
            with within(received.traceparent):
                _log.error("fork", topic=received.topic, sequence=received.sequence)
            outcome.parked.append(Parked(arrival, "fork"))
        else:
            outcome.duplicates += 1
            _forget(arrival, outcome)
    return following


async def _handle(
    tx: Transaction, handler: Handler, group: Sequence[Arrival], heads: dict[Aggregate, Head], outcome: Outcome
) -> None:
    """Handle a group in a savepoint; when that fails, its halves, down to the one event at fault."""
    try:
        await _call(tx, handler, group)
    except Exception as error:
        if tx.pg.is_closed():
            raise
        if len(group) > 1:
            middle = len(group) // 2
            await _handle(tx, handler, group[:middle], heads, outcome)
            await _handle(tx, handler, group[middle:], heads, outcome)
            return
        await _handle_failing(tx, handler, group[0], error, heads=heads, outcome=outcome)
    else:
        _advance(group, heads, outcome)


async def _handle_failing(
    tx: Transaction,
    handler: Handler,
    arrival: Arrival,
    error: Exception,
    *,
    heads: dict[Aggregate, Head],
    outcome: Outcome,
) -> None:
    waits: Awaited | None = None
    for _ in range(_ATTEMPTS - 1):
        if isinstance(error, NotYet):
            # Under that head's lock the fact either has come meanwhile, or its coming will find us parked.
            awaited = (error.topic, error.subject)
            found = await inbox_rows.lock_heads(tx, aggregates=[awaited])
            waits = Awaited(awaited, found[awaited].sequence)
        try:
            await _call(tx, handler, [arrival])
        except Exception as again:
            if tx.pg.is_closed():
                raise
            error = again
        else:
            _advance([arrival], heads, outcome)
            return
        if isinstance(error, NotYet) and waits is not None and waits.aggregate == (error.topic, error.subject):
            outcome.parked.append(Parked(arrival, "waits", str(error), waits))
            return
    if isinstance(error, NotYet):
        # It named another each time; where that one stood at the right moment is not known: tried at the next sweep.
        waits = Awaited((error.topic, error.subject), -1)
        outcome.parked.append(Parked(arrival, "waits", str(error), waits))
        return
    outcome.failures += 1
    if outcome.failures > outcome.may_fail:
        raise TooManyFailures from error
    with within(arrival.received.traceparent):
        _log.error("event parked", type=arrival.received.type, sequence=arrival.received.sequence, exc_info=error)
    outcome.parked.append(Parked(arrival, "failed", f"{type(error).__name__}: {error}"[:500]))


async def _call(tx: Transaction, handler: Handler, group: Sequence[Arrival]) -> None:
    """Handle a group in a savepoint; what the handler says belongs to the traces of its events."""
    received = [arrival.received for arrival in group]
    with handling(f"process {received[0].type}", [(each.subject, each.traceparent) for each in received]):
        async with tx.savepoint():
            await handler(tx, received)


def _advance(group: Sequence[Arrival], heads: dict[Aggregate, Head], outcome: Outcome) -> None:
    for arrival in group:
        heads[arrival.aggregate] = Head(arrival.received.sequence, arrival.received.id, moved=True)
        outcome.applied += 1
        outcome.advanced.add(arrival.aggregate)
        _forget(arrival, outcome)


def _forget(arrival: Arrival, outcome: Outcome) -> None:
    if arrival.parked_id is not None:
        outcome.done.append(arrival.parked_id)
