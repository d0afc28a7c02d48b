"""One run: publishers, relays and inboxes as processes, faults while they work, then healing and the reckoning."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared.messaging.inbox import Inbox
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.chaos import Chaos, Plan
from tests.properties.simulation.database import ModelDatabase, client_died
from tests.properties.simulation.events import BASES, PARTITIONS, SERVICE, THINGS
from tests.properties.simulation.events import handlers as handlers_of
from tests.properties.simulation.invariants import Violation, Watch, check_healed, healed, must
from tests.properties.simulation.kafka import Broker
from tests.properties.simulation.loop import Process, SimLoop
from tests.properties.simulation.patches import Hits, release_upgraded
from tests.properties.simulation.postgres import Server
from tests.properties.simulation.publishing import Publisher, publish_what_is_needed

_HEALS_WITHIN_S, _STOPS_WITHIN_S = 120.0, 30.0
_SESSION_S, _TAKES_OVER_WITHIN_S = 10.0, 8.0


@dataclass(eq=False)
class Worker:
    """A worker process: what it runs, and how it stops."""

    process: Process
    kind: str
    jobs: Jobs
    stop: asyncio.Event
    task: asyncio.Task[Any] | None = None


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
        # Whether something was lost that nobody can get back without an operator: then somebody must say so.
        self.lost = False
        self._started: Counter[str] = Counter()
        self._handlers = handlers_of(Counter())
        release_upgraded(known=False)

    def run(self) -> None:
        """Run it to its end; Violation when a promise is broken."""
        self.tell(f"{self.plan}")
        self.loop.run(self._live())

    async def _live(self) -> None:
        plan = self.plan
        for _ in range(plan.relays):
            self.start("relay")
        for _ in range(0 if plan.late_inboxes else plan.inboxes):
            self.start("inbox")
        publishers = [self._start_publisher(f"publisher-{n}") for n in range(plan.publishers)]
        await Chaos(self, self.random).disturb()
        await asyncio.gather(*publishers)
        for _ in range(plan.inboxes if plan.late_inboxes else 0):
            self.start("inbox")
        await self._heal()
        loud = await self._until_healed()
        await self._stop_all()
        self._check_watch()
        if loud:
            self.hits[f"loud: {loud}"] += 1
        else:
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

    def _start_publisher(self, name: str) -> asyncio.Task[None]:
        process = Process(name)
        publisher = Publisher(self.publisher, name=name, aggregates=self.plan.aggregates)
        work = publisher.publish(transactions=self.plan.transactions, seconds=self.plan.seconds)
        return self.loop.spawn(process, work)

    # The end.

    async def _heal(self) -> None:
        self.tell("everything heals")
        self.plan.rates.on = False
        self.publisher.start()
        self.consumer.start()
        self.broker.come_back()
        # Stopped ones go on when their time comes: zombies, for whom others took over.
        release_upgraded(known=True)
        if self.lost:
            # A relay that has nothing to send looks at its topic when it takes over.
            for worker in [each for each in self.workers if each.kind == "relay"]:
                self.kill(worker)
        for kind in ("relay", "inbox"):
            if not any(worker.kind == kind and not worker.stop.is_set() for worker in self.workers):
                self.start(kind)
        await publish_what_is_needed(self.publisher)

    async def _until_healed(self) -> str | None:
        """Wait until all is well; return what a worker is down for, when something was lost that it had to notice."""
        until = self.loop.time() + _HEALS_WITHIN_S
        taken_over_at = self.loop.time() + _TAKES_OVER_WITHIN_S if self.lost else 0.0
        while self.loop.time() < taken_over_at or not healed(self.publisher, self.consumer, self.broker):
            self._check_watch()
            down = [why for worker in self.workers for why in worker.jobs.problems.values()]
            if down and self.lost:
                return next(kind for kind in ("acked record", "offset", "outbox") if kind in down[0])
            must(not down, "down for good", down)
            if self.loop.time() > until:
                check_healed(self.publisher, self.consumer, self.broker)
            must(self.loop.time() <= until, "does not heal")
            await asyncio.sleep(0.3)
        return None

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
        for worker in self.workers:
            if worker.process.broken is not None:
                raise Violation(f"{worker.process} failed of a mistake") from worker.process.broken
