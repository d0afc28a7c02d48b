"""The same random calls on a real PostgreSQL and on the model: what each returns, where each waits, what is left.

Two sessions call the protocol's functions in transactions that overlap; a call that has to wait for the other session's
lock is left waiting. A deadlock ends the sequence: which of the two is its victim is a matter of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any, Protocol

import asyncpg
from aiokafka import TopicPartition

from shared.events.envelope import Sent
from shared.messaging import inbox_rows, outbox, relay_rows
from shared.messaging.inbox_rows import Arrival, Awaited, Head, Parked, read_arrival
from shared.messaging.relay_rows import OnTopic
from shared.runtime import leases
from shared.storage import idempotency
from shared.storage.idempotency import Answer, Key
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.events import BASES, PARTITIONS, SERVICE, SUBJECTS, THINGS, Based, Happened

REAL = SimpleNamespace(
    append=outbox.append,
    keep_leases=leases.keep_leases,
    release_leases=leases.release_leases,
    **{name: getattr(relay_rows, name) for name in ("last_acks", "first_unknown", "pending", "mark")},
    **{
        name: getattr(inbox_rows, name)
        for name in (
            "offsets", "lock_offsets", "save_offsets", "lock_heads", "save_heads", "park", "due", "forget",
        )
    },
    **{name: getattr(idempotency, name) for name in ("claim", "complete", "give_back")},
)  # fmt: skip
MODEL = protocol_rows
_SHARDS = [f"{topic}-{n}" for topic, many in PARTITIONS.items() for n in range(many)]
_AGGREGATES = [(BASES, "b0"), (BASES, "b1"), *((THINGS, subject) for subject in SUBJECTS)]
_OWNERS = ("one", "two")
_UNDO = object()
Call = Callable[[Any], Awaitable[Any]]


class Side(Protocol):
    """One of the two: the real server, or the model."""

    @property
    def rows(self) -> Any: ...

    @property
    def database(self) -> Any: ...

    async def settle(self, sessions: list[Session]) -> None:
        """Wait until each session's call is done, or waits for a lock."""

    async def until_one_is_done(self, sessions: list[Session]) -> None:
        """Wait until one of several that wait for each other is done."""


class Session:
    """One connection: it begins, calls, and ends, one thing at a time."""

    def __init__(self, side: Side) -> None:
        self.open = False
        self.pid: int | None = None
        self.answer: asyncio.Future[Any] | None = None
        self._side = side
        self._calls: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._work())

    @property
    def busy(self) -> bool:
        return self.answer is not None and not self.answer.done()

    def ask(self, call: Any) -> None:
        self.answer = asyncio.get_running_loop().create_future()
        self._calls.put_nowait(call)

    async def _work(self) -> None:
        while True:
            await self._calls.get()
            try:
                await self._transaction()
            except Exception as error:  # noqa: BLE001 - whatever comes is compared with what comes on the other side
                self._answer(_name(error))

    async def _transaction(self) -> None:
        async with self._side.database.transaction() as tx:
            self.pid = tx.pg.get_server_pid() if hasattr(tx.pg, "get_server_pid") else None
            self._answer("begun")
            while (call := await self._calls.get()) is not None:
                if call is _UNDO:
                    raise _Undone
                try:
                    self._answer(await call(tx))
                except asyncpg.DeadlockDetectedError:
                    self._answer("deadlock")
                    raise
        self._answer("committed")

    def _answer(self, what: Any) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(what)


class _Undone(Exception):
    pass


def _name(error: Exception) -> str:
    return "undone" if isinstance(error, _Undone) else type(error).__name__


async def drive(seed: int, side: Side, *, calls: int) -> list[str]:
    """Make so many random calls on a side; return what happened, in words that both sides share."""
    random = Random(seed)  # noqa: S311 - calls, not secrets
    make = Calls(random, side.rows)
    sessions = [Session(side), Session(side)]
    told: list[str] = []
    try:
        for _ in range(calls):
            free = [session for session in sessions if not session.busy]
            if not free:
                await side.until_one_is_done(sessions)
            else:
                session = random.choice(free)
                told.append(f"{sessions.index(session)}: {_begin(session, make)}")
                await side.settle(sessions)
            answers = _answers(sessions)
            if any(answer.endswith("deadlock") for answer in answers):
                return [*told, "deadlock"]
            told += answers
        return told
    finally:
        for session in sessions:
            session.task.cancel()
        await asyncio.gather(*(session.task for session in sessions), return_exceptions=True)


def _begin(session: Session, make: Calls) -> str:
    if not session.open:
        session.open = True
        session.ask("begin")
        return "begin"
    drawn = make.random.random()
    if drawn < 0.2:
        session.open = False
        session.ask(None if drawn < 0.14 else _UNDO)
        return "commit" if drawn < 0.14 else "roll back"
    name, call = make.one()
    if drawn < 0.3:
        session.ask(lambda tx: _undone(tx, call))
        return f"{name}, then back to the savepoint"
    session.ask(call)
    return name


async def _undone(tx: Any, call: Call) -> Any:
    found = None
    with suppress(_Undone):
        async with tx.savepoint():
            found = await call(tx)
            raise _Undone
    return found


def _answers(sessions: list[Session]) -> list[str]:
    told = []
    for nth, session in enumerate(sessions):
        if session.answer is not None and session.answer.done():
            told.append(f"{nth}→ {session.answer.result()}")
            session.answer = None
        elif session.busy:
            told.append(f"{nth} waits")
    return told


class Calls:
    """Makes random calls; what they return is told in plain values."""

    def __init__(self, random: Random, rows: Any) -> None:
        self.random = random
        self.rows = rows
        self._parked = 0

    def one(self) -> tuple[str, Call]:
        """Return a call and its name."""
        name = self.random.choice(_NAMES)
        call: Call = getattr(self, f"_{name}")()
        return name, call

    def _some(self, among: Any, *, most: int = 2) -> Any:
        return self.random.sample(list(among), self.random.randint(1, most))

    def _append(self) -> Call:
        events = [
            Based(base_id=subject) if topic == BASES else Happened(thing_id=subject)
            for topic, subject in self.random.choices(_AGGREGATES, k=self.random.randint(1, 3))
        ]

        async def call(tx: Any) -> Any:
            return len(await self.rows.append(tx, events, source=SERVICE))

        return call

    def _keep_leases(self) -> Call:
        owner, seconds = self.random.choice(_OWNERS), self.random.choice((1000.0, -1.0))

        async def call(tx: Any) -> Any:
            held = await self.rows.keep_leases(tx, group="relay", owner=owner, names=_SHARDS, seconds=seconds)
            return sorted(held.items())

        return call

    def _release_leases(self) -> Call:
        owner = self.random.choice(_OWNERS)
        return lambda tx: self.rows.release_leases(tx, group="relay", owner=owner)

    def _last_acks(self) -> Call:
        shards = self._some(_SHARDS)

        async def call(tx: Any) -> Any:
            return sorted(tuple(dict(row).values()) for row in await self.rows.last_acks(tx, shards=shards))

        return call

    def _pending(self) -> Call:
        floors = {shard: self.random.randint(0, 4) for shard in self._some(_SHARDS, most=3)}

        async def call(tx: Any) -> Any:
            rows = await self.rows.pending(tx, floors=floors)
            return [(row["shard"], row["position"], row["subject"], row["sequence"], row["body"]) for row in rows]

        return call

    def _first_unknown(self) -> Call:
        named = [
            OnTopic(topic=topic, subject=subject, sequence=self.random.randint(1, 3), id="another's")
            for topic, subject in self._some(_AGGREGATES)
        ]
        return lambda tx: self.rows.first_unknown(tx, records=named)

    def _mark(self) -> Call:
        owner = self.random.choice(_OWNERS)
        epochs = {shard: self.random.randint(1, 2) for shard in self._some(_SHARDS, most=3)}
        rows = [
            {"shard": shard, "position": position} for shard in epochs for position in self._some(range(1, 9), most=4)
        ]
        last = {shard: (self.random.randint(0, 9), "e") for shard in epochs}

        async def call(tx: Any) -> Any:
            return await self.rows.mark(tx, owner=owner, epochs=epochs, rows=rows, cluster="c", last=last)

        return call

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for topic, many in PARTITIONS.items() for n in range(many)]

    def _offsets(self) -> Call:
        async def call(tx: Any) -> Any:
            return sorted((await self.rows.offsets(tx)).items())

        return call

    def _lock_offsets(self) -> Call:
        partitions = self._some(self._partitions())

        async def call(tx: Any) -> Any:
            return sorted((await self.rows.lock_offsets(tx, partitions=partitions)).items())

        return call

    def _save_offsets(self) -> Call:
        following = {partition: self.random.randint(1, 9) for partition in sorted(self._some(self._partitions()))}
        applied = self.random.randint(0, 3)
        return lambda tx: self.rows.save_offsets(tx, following=following, applied=applied, duplicates=1)

    def _lock_heads(self) -> Call:
        aggregates = self._some(_AGGREGATES)

        async def call(tx: Any) -> Any:
            return sorted(
                (*name, head.sequence, head.event_id)
                for name, head in (await self.rows.lock_heads(tx, aggregates=aggregates)).items()
            )

        return call

    def _save_heads(self) -> Call:
        heads = {
            name: Head(self.random.randint(1, 3), "e", moved=self.random.random() < 0.8)
            for name in sorted(self._some(_AGGREGATES))
        }
        return lambda tx: self.rows.save_heads(tx, heads=heads)

    def _park(self) -> Call:
        parked = [self._to_park(topic, subject) for topic, subject in sorted(self._some(_AGGREGATES))]
        return lambda tx: self.rows.park(tx, parked=parked)

    def _to_park(self, topic: str, subject: str) -> Parked:
        kind = self.random.choice((Happened.type, "thing.unknown.v1"))
        sequence = self.random.randint(1, 3)
        sent = Sent(
            id=f"{subject}/{sequence}", type=kind, source=SERVICE, subject=subject, sequence=sequence,
            time=protocol_rows.LONG_AGO, traceparent=None,
        )  # fmt: skip
        body = Happened(thing_id=subject).model_dump_json().encode()
        arrival: Arrival = read_arrival(topic=topic, headers=tuple(sent.headers()), body=body)
        reason = self.random.choice(("gap", "fork", "unknown_type", "failed", "waits", "malformed"))
        awaited = Awaited(self.random.choice(_AGGREGATES), self.random.randint(-1, 2))
        return Parked(arrival, reason, None, awaited if reason == "waits" else None)

    def _due(self) -> Call:
        after = self.random.choice((("", "", 0), (BASES, "b1", 1), (THINGS, "t1", 2)))

        async def call(tx: Any) -> Any:
            found = await self.rows.due(tx, known_types=[Happened.type], after=after)
            return [(*each.aggregate, each.received.sequence, each.received.type, each.parked_id) for each in found]

        return call

    def _forget(self) -> Call:
        parked_ids = self._some(range(1, 9), most=3)
        return lambda tx: self.rows.forget(tx, parked_ids=parked_ids)

    def _key(self) -> Key:
        return Key("c", "r", self.random.choice("abc"), self.random.choice((b"one", b"one", b"other")))

    def _claim(self) -> Call:
        keys = list({key.name: key for key in (self._key(), self._key())}.values())

        async def call(tx: Any) -> Any:
            claims = await self.rows.claim(tx, keys=keys)
            return sorted(claims.mine), sorted((name, str(answer)) for name, answer in claims.known.items())

        return call

    def _complete(self) -> Call:
        answers = [(self._key(), Answer(201, str(self.random.randint(0, 9))))]
        return lambda tx: self.rows.complete(tx, answers=answers)

    def _give_back(self) -> Call:
        keys = [self._key()]
        return lambda tx: self.rows.give_back(tx, keys=keys)


_NAMES = tuple(name.removeprefix("_") for name in vars(Calls) if hasattr(protocol_rows, name.removeprefix("_")))
