"""One run: publishers, relays and inboxes as processes, faults while they work, then healing and the reckoning."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import asyncpg

from shared.events.envelope import Event
from shared.messaging.inbox import Inbox
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.database import ModelDatabase, client_died
from tests.properties.simulation.events import (
    BASES,
    PARTITIONS,
    SERVICE,
    SUBJECTS,
    THINGS,
    Based,
    Happened,
    Unhandled,
    Upgraded,
    topic_of,
)
from tests.properties.simulation.events import handlers as handlers_of
from tests.properties.simulation.faults import Rates
from tests.properties.simulation.invariants import Watch, check_healed, committed_events, healed, must
from tests.properties.simulation.kafka import Broker
from tests.properties.simulation.loop import Process, SimLoop
from tests.properties.simulation.patches import Hits, release_upgraded
from tests.properties.simulation.postgres import Server

_HEALS_WITHIN_S, _STOPS_WITHIN_S = 120.0, 30.0
_SESSION_S = 10.0


@dataclass(eq=False)
class Worker:
    """A worker process: what it runs, and how it stops."""

    process: Process
    kind: str
    jobs: Jobs
    stop: asyncio.Event
    task: asyncio.Task[Any] | None = None


@dataclass(frozen=True)
class Plan:
    """What the seed chose."""

    relays: int
    inboxes: int
    publishers: int
    transactions: int
    aggregates: int
    seconds: float
    large_faults: int
    rates: Rates

    @classmethod
    def of(cls, random: Random) -> Plan:
        return cls(
            relays=random.choice((1, 1, 2, 2, 3)),
            inboxes=random.choice((1, 2, 2, 3)),
            publishers=random.choice((1, 2, 3)),
            transactions=random.randint(2, 4),
            aggregates=random.randint(1, 3),
            seconds=random.choice((0.05, 0.3, 1.0, 4.0)),
            large_faults=random.choice((0, 1, 2, 3, 4)),
            rates=Rates.drawn(random),
        )


class World:
    """Everything of one run."""

    def __init__(self, seed: int, *, tell: Callable[[str], None] | None = None) -> None:
        self.loop = SimLoop(seed)  # type: ignore[abstract] # the rest of a loop nobody calls
        self.random = self.loop.random
        self.hits = Hits(tell)
        self.tell = tell or (lambda _: None)
        self.plan = Plan.of(self.random)
        rates = self.plan.rates
        self.broker = Broker(self.loop, topics=PARTITIONS, faults=rates, hits=self.hits)
        self.publisher = Server(self.loop, name="publisher", tables=protocol_rows.TABLES, faults=rates, hits=self.hits)
        self.consumer = Server(self.loop, name="consumer", tables=protocol_rows.TABLES, faults=rates, hits=self.hits)
        self.watch = Watch(self.publisher, self.consumer, self.broker)
        self.workers: list[Worker] = []
        self._started: Counter[str] = Counter()
        self._handlers = handlers_of(Counter())
        release_upgraded(known=False)

    def run(self) -> None:
        """Run it to its end; Violation when a promise is broken."""
        self.tell(f"{self.plan}")
        self.loop.run(self._live())

    async def _live(self) -> None:
        for _ in range(self.plan.relays):
            self.start("relay")
        for _ in range(self.plan.inboxes):
            self.start("inbox")
        publishers = [self.loop.spawn(Process(f"publisher-{n}"), self._publish(n)) for n in range(self.plan.publishers)]
        await self._disturb()
        await asyncio.gather(*publishers)
        await self._heal()
        await self._until_healed()
        await self._stop_all()
        self._check_watch()
        check_healed(self.publisher, self.consumer, self.broker)

    # Processes.

    def start(self, kind: str) -> Worker:
        self._started[kind] += 1
        process = Process(f"{kind}-{self._started[kind]}")
        return process.context.copy().run(self._start, process, kind)

    def _start(self, process: Process, kind: str) -> Worker:
        stop, jobs = asyncio.Event(), Jobs()
        run: Callable[[asyncio.Event], Awaitable[None]]
        if kind == "relay":
            database: Any = ModelDatabase(self.publisher, url=process.name)
            run = Relay(database, kafka=self._kafka, service=SERVICE).run
        else:
            database = ModelDatabase(self.consumer, url=process.name)
            topics = [BASES, THINGS]
            run = Inbox(database, kafka=self._kafka, service=SERVICE, handlers=self._handlers, topics=topics).run
        worker = Worker(process, kind, jobs, stop)
        worker.task = self.loop.create_task(jobs._keep_running(kind, partial(run, stop), stop))
        process.at_kill.append(partial(client_died, self.publisher, process))
        process.at_kill.append(partial(client_died, self.consumer, process))
        self.workers.append(worker)
        self.tell(f"started {process}")
        return worker

    @property
    def _kafka(self) -> Any:
        return self.broker

    def kill(self, worker: Worker) -> None:
        self.tell(f"kill -9 {worker.process}")
        self.hits["killed"] += 1
        self.workers.remove(worker)
        self.loop.kill(worker.process)
        self._silence(worker.process)

    def pause(self, worker: Worker) -> None:
        self.tell(f"SIGSTOP {worker.process}")
        self.hits["stopped for a while"] += 1
        self.loop.stop_process(worker.process)
        self._silence(worker.process)

    def go_on(self, worker: Worker) -> None:
        if worker.process.stopped:
            self.tell(f"SIGCONT {worker.process}")
            self.loop.continue_process(worker.process)

    def _silence(self, process: Process) -> None:
        """Let the coordinator miss the heartbeats of a process that does not run."""
        for group in self.broker.groups.values():
            for member in group.members:
                if member.process is process:
                    self.loop.in_world(_SESSION_S, group.silent, member)

    # What happens.

    async def _publish(self, nth: int) -> None:
        database: Any = ModelDatabase(self.publisher, url=f"publisher-{nth}")
        for _ in range(self.plan.transactions):
            await asyncio.sleep(self.random.random() * self.plan.seconds / self.plan.transactions)
            # Whether a commit whose answer was lost is there, the outbox itself tells at the end.
            with suppress(asyncpg.PostgresError, OSError, _ChangedItsMind):
                async with database.transaction() as tx:
                    for _ in range(self.random.choice((1, 1, 2))):
                        events = [self._event() for _ in range(self.random.randint(1, 2))]
                        await protocol_rows_append(tx, events, source=SERVICE)
                    if self.random.random() < 0.1:
                        raise _ChangedItsMind

    def _event(self) -> Event:
        random = self.random
        base = f"b{random.randrange(self.plan.aggregates)}"
        if random.random() < 0.35:
            return Based(base_id=base)
        thing = SUBJECTS[random.randrange(self.plan.aggregates)]
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
        for (topic, subject), rows in committed_events(self.publisher).items():
            first = Happened.model_validate_json(rows[0]["body"]) if topic == THINGS else None
            if first is not None and rows[0]["type"] == Happened.type and not first.poison and not first.needs:
                begun.append(subject)
        return begun

    async def _disturb(self) -> None:
        """Disturb at any moment, half of the time in the midst of what somebody does."""
        for _ in range(self.plan.large_faults):
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.random() * self.plan.seconds / self.plan.large_faults)
                self._disturb_once(self.random.choice(self.workers) if self.workers else None)
            else:
                came: asyncio.Future[Process] = self.loop.create_future()
                self.loop.at_step(self.random.randint(1, 120), came.set_result)
                process = await came
                self._disturb_once(next((each for each in self.workers if each.process is process), None))
        await asyncio.sleep(self.random.random() * 0.2)

    def _disturb_once(self, worker: Worker | None) -> None:
        random, later = self.random, self.loop.in_world
        drawn = random.random()
        if worker is not None and drawn < 0.45:
            self.kill(worker)
            later(random.random() * random.choice((0.01, 3.0)), self.start, worker.kind)
        elif worker is not None and drawn < 0.65:
            self.pause(worker)
            later(random.choice((0.1, 2.0, 6.0, 12.0)) * (0.5 + random.random()), self.go_on, worker)
        elif worker is not None and drawn < 0.72:
            self.tell(f"stop {worker.process}")
            worker.stop.set()
            later(random.random(), self.start, worker.kind)
        elif drawn < 0.78:
            self.start("inbox")
        elif drawn < 0.92:
            server = random.choice((self.publisher, self.consumer))
            self.tell(f"kill -9 of the database {server.name}")
            self.hits["database killed"] += 1
            server.crash()
            later(random.random() * 2, server.start)
        else:
            self.tell("the broker is away")
            self.hits["broker away"] += 1
            self.broker.up = False
            later(random.random() * 4, self._broker_back)

    def _broker_back(self) -> None:
        self.broker.up = True
        self.broker.announce()

    # The end.

    async def _heal(self) -> None:
        self.tell("everything heals")
        self.plan.rates.on = False
        self.publisher.start()
        self.consumer.start()
        self._broker_back()
        # Stopped ones go on when their time comes: zombies, for whom others took over.
        release_upgraded(known=True)
        for kind in ("relay", "inbox"):
            if not any(worker.kind == kind and not worker.stop.is_set() for worker in self.workers):
                self.start(kind)
        needed: Counter[str] = Counter()
        for rows in committed_events(self.publisher).values():
            for row in rows:
                happened = Happened.model_validate_json(row["body"]) if row["topic"] == THINGS else None
                if happened is not None and topic_of(happened.needs) == BASES:
                    needed[happened.needs] = max(needed[happened.needs], happened.needs_count)
        database: Any = ModelDatabase(self.publisher, url="healer")
        async with database.transaction() as tx:
            for base, count in sorted(needed.items()):
                there = len(committed_events(self.publisher).get((BASES, base), []))
                await protocol_rows_append(tx, [Based(base_id=base)] * max(0, count - there), source=SERVICE)

    async def _until_healed(self) -> None:
        until = self.loop.time() + _HEALS_WITHIN_S
        while not healed(self.publisher, self.consumer, self.broker):
            self._check_watch()
            down = {str(worker.process): worker.jobs.problems for worker in self.workers if worker.jobs.problems}
            must(not down, "down for good", down)
            if self.loop.time() > until:
                check_healed(self.publisher, self.consumer, self.broker)
            must(self.loop.time() <= until, "does not heal")
            await asyncio.sleep(0.3)

    async def _stop_all(self) -> None:
        tasks = []
        for worker in self.workers:
            self.go_on(worker)
            worker.stop.set()
            tasks.append(worker.task)
        stopping: Coroutine[Any, Any, Any] = asyncio.wait_for(
            asyncio.gather(*tasks, return_exceptions=True),  # type: ignore[arg-type] # all of them have begun
            _STOPS_WITHIN_S,
        )
        await stopping

    def _check_watch(self) -> None:
        if self.watch.broken is not None:
            raise self.watch.broken


class _ChangedItsMind(Exception):
    pass


async def protocol_rows_append(tx: Any, events: list[Event], *, source: str) -> None:
    """Append through the module, so that a mutation of it counts."""
    await protocol_rows.append(tx, events, source=source)


def run_seed(seed: int, *, tell: Callable[[str], None] | None = None) -> World:
    """Run one seed; the Violation names it."""
    world = World(seed, tell=tell)
    try:
        world.run()
    except AssertionError as violation:
        violation.add_note(f"python -m tests.properties.simulation --seed {seed} --trace")
        raise
    return world
