"""What the seed chose, and the large faults: processes killed, stopped, replaced; servers killed, away, restored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.properties.simulation.faults import Rates
from tests.properties.simulation.postgres import Backup, Server

if TYPE_CHECKING:
    from tests.properties.simulation.scenario import Worker, World


@dataclass(frozen=True)
class Plan:
    """How large a run is, and how rough."""

    relays: int
    inboxes: int
    late_inboxes: bool
    publishers: int
    transactions: int
    aggregates: int
    seconds: float
    large_faults: int
    losses: bool
    rates: Rates

    @classmethod
    def of(cls, random: Random) -> Plan:
        return cls(
            relays=random.choice((1, 1, 2, 2, 3)),
            inboxes=random.choice((1, 2, 2, 3)),
            late_inboxes=random.random() < 0.25,
            publishers=random.choice((1, 2, 3)),
            transactions=random.randint(2, 4),
            aggregates=random.randint(1, 3),
            seconds=random.choice((0.05, 0.3, 1.0, 4.0)),
            large_faults=random.choice((0, 1, 2, 3, 4)),
            losses=random.random() < 0.25,
            rates=Rates.drawn(random),
        )


@dataclass(slots=True)
class Chaos:
    """Disturbs a world while it works."""

    world: World
    random: Random
    _backups: list[tuple[Server, Backup]] = field(default_factory=list)

    async def disturb(self) -> None:
        """Disturb at any moment, half of the time in the midst of what somebody does."""
        world, plan = self.world, self.world.plan
        for _ in range(plan.large_faults):
            self._backups = [(server, server.backup()) for server in (world.publisher, world.consumer)]
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.random() * plan.seconds / plan.large_faults)
                self._disturb(self.random.choice(world.workers) if world.workers else None)
            else:
                process = await world.loop.process_in(self.random.randint(1, 120), within_s=plan.seconds)
                self._disturb(next((each for each in world.workers if each.process is process), None))
        await asyncio.sleep(self.random.random() * 0.2)

    def _disturb(self, worker: Worker | None) -> None:
        drawn = self.random.random()
        if self.world.plan.losses and drawn < 0.4:
            self.random.choice((self._restore, self._restore, self._broker_away))()
        elif worker is not None and drawn < 0.72:
            self._disturb_worker(worker)
        elif drawn < 0.78:
            self.world.start("inbox")
        elif drawn < 0.92:
            server = self.random.choice((self.world.publisher, self.world.consumer))
            self._say("database killed", server.name)
            server.crash()
            self._later(2.0, server.start)
        else:
            self._broker_away()

    def _disturb_worker(self, worker: Worker) -> None:
        world, random = self.world, self.random
        drawn = random.random()
        if drawn < 0.5:
            world.kill(worker)
            self._later(random.choice((0.01, 3.0)), partial(world.start, worker.kind))
        elif drawn < 0.9:
            world.pause(worker)
            self._later(random.choice((0.2, 3.0, 10.0, 20.0)), partial(world.go_on, worker))
        else:
            self._say("stopped in order", str(worker.process))
            worker.stop.set()
            self._later(1.0, partial(world.start, worker.kind))

    def _broker_away(self) -> None:
        broker = self.world.broker
        self._say("broker away")
        broker.up = False
        if self.world.plan.losses:
            partition = self.random.choice(list(broker.logs))
            many = self.random.randint(1, 3)
            if broker.logs[partition]:
                self._say("tail of a topic lost", f"{many} of {partition}")
                self.world.lost = True
                broker.lose_tail(partition, many=many)
        self._later(4.0, broker.come_back)

    def _restore(self) -> None:
        """Put an older backup in a database's place, as an operator does: nobody who writes to it runs meanwhile."""
        server, backup = self.random.choice(self._backups)
        self._say("database restored from a backup", server.name)
        if server is self.world.publisher:
            self.world.lost = True
            for worker in [each for each in self.world.workers if each.kind == "relay"]:
                self.world.kill(worker)
                self._later(3.0, partial(self.world.start, worker.kind))
        server.restore(backup)
        self._later(1.0, server.start)

    def _later(self, within_s: float, callback: Callable[[], object]) -> None:
        self.world.loop.in_world(self.random.random() * within_s, callback)

    def _say(self, what: str, whom: str = "") -> None:
        self.world.tell(f"{what} {whom}")
        self.world.hits[what] += 1
