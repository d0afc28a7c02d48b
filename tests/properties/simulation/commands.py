"""One run of group commit: clients that retry with their key, batchers in several processes, one hot row."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.storage import idempotency
from shared.storage.group_commit import GroupCommit
from shared.storage.idempotency import Answer, IdempotencyConflict, Key
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.database import ModelDatabase, client_died
from tests.properties.simulation.faults import Rates
from tests.properties.simulation.invariants import must
from tests.properties.simulation.loop import Process, SimLoop
from tests.properties.simulation.patches import Hits
from tests.properties.simulation.postgres import Server

_ROOM = 6
_PATIENCE_S, _ATTEMPTS = 2.0, 8
_ROOT = "node"


@dataclass(frozen=True)
class Hold:
    """A command: it takes one of the node's room, is refused when there is none, or is one the database refuses."""

    key: Key
    poison: bool
    request: str


class Refused(Exception):
    """There is no room: nothing was done."""


class CommandWorld:
    """Everything of one run."""

    def __init__(self, seed: int, *, tell: Callable[[str], None] | None = None) -> None:
        self.loop = SimLoop(seed)  # type: ignore[abstract] # the rest of a loop nobody calls
        self.random = self.loop.random
        self.hits = Hits(tell)
        self.tell = tell or (lambda _: None)
        self.rates = Rates.drawn(self.random)
        self.server = Server(
            self.loop, name="credit", tables=(*protocol_rows.TABLES, "node"), faults=self.rates, hits=self.hits
        )
        self.desks: list[_Desk] = []
        self.heard: dict[str, list[str]] = {}
        self._started = 0

    def run(self) -> None:
        """Run it to its end; Violation when a promise is broken."""
        self.loop.run(self._live())

    async def _live(self) -> None:
        for _ in range(self.random.choice((1, 2))):
            self._open_desk()
        clients = [self.loop.spawn(Process(f"client-{n}"), self._client(n)) for n in range(self.random.randint(3, 16))]
        for _ in range(self.random.choice((0, 1, 2))):
            process = await self.loop.process_in(self.random.randint(1, 150), within_s=1.0)
            self._disturb(process)
        await asyncio.sleep(3)
        self.rates.on = False
        await asyncio.gather(*clients)
        for desk in self.desks:
            await desk.batches.aclose()
        self._check()

    def _open_desk(self) -> None:
        self._started += 1
        process = Process(f"desk-{self._started}")
        self.desks.append(process.context.copy().run(_Desk, self, process))

    def _disturb(self, process: Process | None) -> None:
        desk = next((each for each in self.desks if each.process is process), None)
        if desk is not None and self.random.random() < 0.5:
            self.tell(f"kill -9 {process}")
            self.hits["killed"] += 1
            self.desks.remove(desk)
            self.loop.kill(desk.process)
            self._open_desk()
        else:
            self.tell("kill -9 of the database")
            self.hits["database killed"] += 1
            self.server.crash()
            self.loop.in_world(self.random.random(), self.server.start)

    async def _client(self, nth: int) -> None:
        """Send a command until it is answered; a lost answer, or none in time, is met with the same key again."""
        name = f"k{self.random.randrange(12)}"
        body = b"other" if self.random.random() < 0.05 else b"body"
        key, poison = Key(client="c", route="holds", key=name, body_hash=body), self.random.random() < 0.05
        heard = self.heard.setdefault(name, [])
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(self.random.random() * self.random.choice((0.001, 0.2)))
            desk = self.random.choice(self.desks)
            patience_s = self.random.choice((0.0005, _PATIENCE_S))
            hold = Hold(key, poison, f"{nth}/{attempt}")
            request = self.loop.spawn(desk.process, desk.batches.submit(hold, root=_ROOT))
            await asyncio.wait({request}, timeout=patience_s)
            if not request.done():
                self.hits["client of a batch cancelled"] += 1
                request.cancel()
                continue
            try:
                answer = request.result()
            except (Refused, IdempotencyConflict, asyncpg.IntegrityConstraintViolationError) as refusal:
                heard.append(type(refusal).__name__)
                return
            except (asyncpg.PostgresError, OSError):
                continue
            else:
                heard.append(answer)
                return

    def _check(self) -> None:
        effects = Counter(self.server.committed("effect").values())
        keys = {name[2]: row for name, row in self.server.committed("idempotency").items()}
        must(max(effects.values(), default=0) <= 1, "a command took effect twice", effects)
        must(set(effects) == set(keys), "keys and effects differ", sorted(effects), sorted(keys))
        node = self.server.committed("node").get(_ROOT, 0)
        must(node == sum(effects.values()) <= _ROOM, "the node is not the sum of its holds", node, effects)
        for name, answers in self.heard.items():
            held = [answer for answer in answers if answer.startswith("held")]
            must(len(set(held)) <= 1, "one key, two answers", name, answers)
            must(not held or effects[name] == 1, "held by word only", name, answers)
            if held:
                must(keys[name][2] == held[0], "not what was answered", name, keys[name], held)


class _Desk:
    """An API process: it gathers commands into batches."""

    def __init__(self, world: CommandWorld, process: Process) -> None:
        self.process = process
        self.batches: GroupCommit[Hold, str] = GroupCommit(self._hold_all, max_batch=5)
        self._world = world
        self._database: Any = ModelDatabase(world.server, url=process.name)
        self._tried: set[tuple[str, ...]] = set()
        process.at_kill.append(lambda: client_died(world.server, process))

    async def _hold_all(self, holds: list[Hold]) -> Sequence[str | Exception]:
        """Claim the keys, take the room, complete the keys: what `hold_drawdowns` does, on one node."""
        folded = {hold.key.name: hold for hold in holds}
        names = tuple(hold.request for hold in holds)
        again = names in self._tried
        self._tried.add(names)
        results: dict[tuple[str, str, str], str | Exception] = {}
        async with self._database.transaction() as tx:
            claims = await idempotency.claim(tx, keys=[hold.key for hold in folded.values()])
            if again and not claims.mine:
                self._world.hits["answer to a commit lost, rerun"] += 1
            for name, known in claims.known.items():
                results[name] = known.body if isinstance(known, Answer) else known
            mine = [hold for name, hold in folded.items() if name in claims.mine]
            done = await self._hold_mine(tx, mine, results)
            await idempotency.complete(tx, answers=done)
            await idempotency.give_back(tx, keys=[hold.key for hold in mine if hold.key not in dict(done)])
        return [
            results[hold.key.name] if hold.key == folded[hold.key.name].key else IdempotencyConflict(key=hold.key.key)
            for hold in holds
        ]

    async def _hold_mine(self, tx: Any, mine: Sequence[Hold], results: dict[Any, Any]) -> list[tuple[Key, Answer]]:
        await tx.pg.statement()
        taken = await tx.pg.lock("node", _ROOT) or 0
        done = []
        for hold in mine:
            if taken >= _ROOM:
                results[hold.key.name] = Refused()
                continue
            if hold.poison:
                raise asyncpg.CheckViolationError("poison")
            taken += 1
            results[hold.key.name] = f"held {tx.pg.server.draw('answer')}"
            tx.pg.put_new("effect", tx.pg.server.draw("effect"), hold.key.key)
            done.append((hold.key, Answer(201, results[hold.key.name])))
        tx.pg.write("node", _ROOT, taken)
        return done
