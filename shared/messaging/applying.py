"""Applying a batch of events inside one transaction: heads, waves, savepoints, parking.

Per aggregate: applied already → skip; next → apply; same sequence under another id → fork; further on → gap.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import structlog

from shared.events.envelope import Event, Received
from shared.storage.database import Transaction

Handler = Callable[[Transaction, Sequence[Received]], Awaitable[None]]
Handlers = Mapping[type[Event], Handler]
Aggregate = tuple[str, str]
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


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it arrived, with its record, should it have to be parked."""

    received: Received
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    parked_id: int | None = None

    @property
    def aggregate(self) -> Aggregate:
        """Return the unit of order and parking."""
        return self.received.topic, self.received.subject


@dataclass(slots=True)
class Head:
    """How far an aggregate was applied."""

    sequence: int
    event_id: str | None
    moved: bool = False


@dataclass(slots=True)
class Parked:
    """An event that must wait, and why."""

    arrival: Arrival
    reason: str
    error: str | None = None
    waits: Aggregate | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    applied: int = 0
    duplicates: int = 0
    failures: int = 0
    parked: list[Parked] = field(default_factory=list)
    advanced: set[Aggregate] = field(default_factory=set)
    done: list[int] = field(default_factory=list)


async def lock_heads(tx: Transaction, aggregates: Iterable[Aggregate]) -> dict[Aggregate, Head]:
    """Create the heads that are missing and lock all, sorted; return where each stands."""
    names = sorted(set(aggregates))
    topics, subjects = [topic for topic, _ in names], [subject for _, subject in names]
    await tx.pg.execute(
        """INSERT INTO inbox_head (topic, subject, sequence) SELECT topic, subject, 0
        FROM unnest($1::text[], $2::text[]) AS n(topic, subject) ORDER BY 1, 2 ON CONFLICT DO NOTHING""",
        topics,
        subjects,
    )
    rows = await tx.pg.fetch(
        """SELECT h.topic, h.subject, h.sequence, h.event_id FROM inbox_head h
        JOIN unnest($1::text[], $2::text[]) AS n(topic, subject) USING (topic, subject)
        ORDER BY h.topic, h.subject FOR UPDATE OF h""",
        topics,
        subjects,
    )
    return {(row["topic"], row["subject"]): Head(row["sequence"], row["event_id"]) for row in rows}


async def apply_all(
    tx: Transaction, arrivals: Sequence[Arrival], *, heads: dict[Aggregate, Head], handlers: Handlers
) -> Outcome:
    """Apply what can be applied, in waves: the k-th event of each aggregate together, grouped by type."""
    outcome = Outcome()
    queues: dict[Aggregate, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        queues[arrival.aggregate].append(arrival)
    depth = max(map(len, queues.values()), default=0)
    for nth in range(depth):
        wave = [queue[nth] for queue in queues.values() if len(queue) > nth]
        groups: dict[type[Event] | None, list[Arrival]] = defaultdict(list)
        for arrival in _next_of(wave, heads, outcome):
            event = arrival.received.event
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
    await _save_heads(tx, heads)
    await park(tx, outcome.parked)
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
        async with tx.savepoint():
            await handler(tx, [arrival.received for arrival in group])
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
    for _ in range(_ATTEMPTS - 1):
        if isinstance(error, NotYet):
            # Under that head's lock the fact either has come meanwhile, or its coming will find us parked.
            await lock_heads(tx, [(error.topic, error.subject)])
        try:
            async with tx.savepoint():
                await handler(tx, [arrival.received])
        except Exception as again:
            if tx.pg.is_closed():
                raise
            error = again
        else:
            _advance([arrival], heads, outcome)
            return
        if isinstance(error, NotYet):
            outcome.parked.append(Parked(arrival, "waits", str(error), (error.topic, error.subject)))
            return
    outcome.failures += 1
    _log.error("event parked", type=arrival.received.type, sequence=arrival.received.sequence, exc_info=error)
    outcome.parked.append(Parked(arrival, "failed", f"{type(error).__name__}: {error}"[:500]))


def _advance(group: Sequence[Arrival], heads: dict[Aggregate, Head], outcome: Outcome) -> None:
    for arrival in group:
        heads[arrival.aggregate] = Head(arrival.received.sequence, arrival.received.id, moved=True)
        outcome.applied += 1
        outcome.advanced.add(arrival.aggregate)
        _forget(arrival, outcome)


def _forget(arrival: Arrival, outcome: Outcome) -> None:
    if arrival.parked_id is not None:
        outcome.done.append(arrival.parked_id)


async def _save_heads(tx: Transaction, heads: Mapping[Aggregate, Head]) -> None:
    moved = [(name, head) for name, head in heads.items() if head.moved]
    await tx.pg.execute(
        """UPDATE inbox_head h SET sequence = n.sequence, event_id = n.event_id
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS n(topic, subject, sequence, event_id)
        WHERE (h.topic, h.subject) = (n.topic, n.subject)""",
        [name[0] for name, _ in moved],
        [name[1] for name, _ in moved],
        [head.sequence for _, head in moved],
        [head.event_id for _, head in moved],
    )


async def park(tx: Transaction, parked: Sequence[Parked]) -> None:
    """Keep what must wait, whole, where an operator sees it; parking again only counts."""
    await tx.pg.executemany(
        """INSERT INTO inbox_parked AS p (topic, subject, sequence, event_id, type, headers, body, reason,
            waits_topic, waits_subject, error, attempts)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
        ON CONFLICT (topic, subject, sequence, event_id) DO UPDATE SET reason = excluded.reason,
            waits_topic = excluded.waits_topic, waits_subject = excluded.waits_subject, error = excluded.error,
            attempts = p.attempts + 1""",
        [
            (
                each.arrival.received.topic,
                each.arrival.received.subject,
                each.arrival.received.sequence,
                each.arrival.received.id,
                each.arrival.received.type,
                json.dumps([[name, value.decode("latin-1")] for name, value in each.arrival.headers]),
                each.arrival.body,
                each.reason,
                each.waits[0] if each.waits else None,
                each.waits[1] if each.waits else None,
                each.error,
            )
            for each in parked
        ],
    )
