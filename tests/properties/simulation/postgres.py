"""A model of what the protocol uses of PostgreSQL: READ COMMITTED, row locks, savepoints, atomic commits, crashes.

A row has one committed value and at most one uncommitted one, its locker's. A statement waits for a row's lock and then
sees the newest committed value of it. Locks end with the transaction or with the savepoint that took them. Commits that
asked for `synchronous_commit = off` are lost from the end when the server crashes before it flushed them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple, Protocol

import asyncpg

from tests.properties.simulation.loop import Killed, Process, SimLoop, current, one_step

DEADLOCK_TIMEOUT_S = 1.0
_FLUSHED_WITHIN_S = 0.6
Key = Any
Value = Any


class Faults(Protocol):
    """What the database asks of the run's faults, each time it could happen."""

    def connection_lost(self) -> bool: ...
    def answer_lost(self) -> bool: ...


class Row:
    """A row by its key: committed value, locks, and the locker's own value."""

    __slots__ = ("fresh", "owner", "sharers", "value", "waiters", "writes")

    def __init__(self, value: Value = None) -> None:
        self.value = value
        self.fresh: Value = None
        self.writes = 0
        self.owner: Session | None = None
        self.sharers: list[Session] = []
        self.waiters: list[asyncio.Future[None]] = []

    def blockers(self, session: Session, *, exclusive: bool) -> list[Session]:
        found = [each for each in self.sharers if each is not session] if exclusive else []
        if self.owner is not None and self.owner is not session:
            found.append(self.owner)
        return found

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Table(dict[Key, Row]):
    """Rows by key."""

    def visible(self, session: Session) -> Iterator[tuple[Key, Value]]:
        """Yield what a statement of a session sees: committed values, and its own."""
        for key, row in self.items():
            value = row.fresh if row.owner is session else row.value
            if value is not None:
                yield key, value

    def committed(self) -> dict[Key, Value]:
        """Return what is committed, by key."""
        return {key: row.value for key, row in sorted(self.items()) if row.value is not None}


class Backup(NamedTuple):
    """What a database held at one instant."""

    tables: dict[str, dict[Key, Value]]
    counters: Counter[str]


class Server:
    """One service's database."""

    def __init__(
        self, loop: SimLoop, *, name: str, tables: tuple[str, ...], faults: Faults, hits: Counter[str]
    ) -> None:
        self.loop = loop
        self.name = name
        self.random: Random = loop.random
        self.faults = faults
        self.hits = hits
        self.tables = {table: Table() for table in tables}
        self.counters: Counter[str] = Counter()
        self.sessions: dict[Session, None] = {}
        self.up = True
        self._ids = 0
        self.on_commit: list[Callable[[list[tuple[str, Key, Value, Value]]], None]] = []
        self._unflushed: list[tuple[float, list[tuple[str, Key, Value, Value]]]] = []

    def draw(self, sequence: str) -> int:
        """Return the next value of an identity: drawn at once, kept whatever becomes of the transaction."""
        self.counters[sequence] += 1
        return self.counters[sequence]

    def new_id(self) -> int:
        """Return what no restored backup brings again: an id that a client made."""
        self._ids += 1
        return self._ids

    def committed(self, table: str) -> dict[Key, Value]:
        return self.tables[table].committed()

    def crash(self) -> None:
        """kill -9 of the server: open transactions are gone, and the last commits that nobody waited for."""
        self.up = False
        for session in list(self.sessions):
            session.lose("terminating connection: the server crashed")
        recent = [(at, changes) for at, changes in self._unflushed if at > self.loop.time() - _FLUSHED_WITHIN_S]
        lost = recent[self.random.randint(0, len(recent)) :]
        for _, changes in reversed(lost):
            self.hits["marks lost in a crash"] += 1
            for table, key, old, _new in changes:
                self.tables[table].setdefault(key, Row()).value = old
        self._unflushed.clear()

    def start(self) -> None:
        self.up = True

    def backup(self) -> Backup:
        """Return everything that is committed, and where the sequences stand."""
        tables = {name: {key: row.value for key, row in table.items()} for name, table in self.tables.items()}
        return Backup(tables, Counter(self.counters))

    def restore(self, backup: Backup) -> None:
        """Put a backup in the place of everything; the server has to be started again."""
        self.crash()
        for name, rows in backup.tables.items():
            self.tables[name].clear()
            self.tables[name].update({key: Row(value) for key, value in rows.items() if value is not None})
        self.counters = Counter(backup.counters)

    def keep(self, changes: list[tuple[str, Key, Value, Value]], *, waited_for: bool) -> None:
        """Make changes visible to everybody; durable now, or a moment later when nobody waits for that."""
        for table, key, _old, new in changes:
            rows = self.tables[table]
            rows[key].value = new
            if new is None:
                del rows[key]
        if waited_for:
            self._unflushed.clear()
        else:
            self._unflushed.append((self.loop.time(), changes))
        for callback in self.on_commit:
            callback(changes)


class Session:
    """One connection in one transaction: what asyncpg's connection is to the code (`tx.pg`)."""

    def __init__(self, server: Server, process: Process) -> None:
        self.server = server
        self.process = process
        self.waits_for: tuple[Row, bool] | None = None
        self.waited_for = True
        self.fetched_of = 0
        self._waiting: asyncio.Future[None] | None = None
        self._undo: list[tuple[str, Key, Row, str, Value]] = []
        self._marks: list[int] = []
        self._failed = False
        self._lost: str | None = None
        server.sessions[self] = None

    def is_closed(self) -> bool:
        return self._lost is not None

    async def execute(self, query: str, *_: Any) -> None:
        """Take a setting; the protocol's statements are functions of their own here."""
        if not query.startswith("SET LOCAL"):
            raise NotImplementedError(query)

    async def statement(self) -> None:
        """Send a statement: it reaches the server, or the connection breaks."""
        self._check()
        await one_step()
        if self.server.faults.connection_lost():
            self.server.hits["connection to the database lost"] += 1
            self.lose("connection was closed in the middle of operation")
        self._check()

    def _check(self) -> None:
        if self.server.loop.ended or not self.process.alive:
            raise Killed
        if self._lost is not None:
            raise asyncpg.ConnectionDoesNotExistError(self._lost)
        if self._failed:
            raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")

    def see(self, table: str) -> Iterator[tuple[Key, Value]]:
        return self.server.tables[table].visible(self)

    def seen(self, table: str, key: Key) -> Value:
        row = self.server.tables[table].get(key)
        if row is None:
            return None
        return row.fresh if row.owner is self else row.value

    async def lock(self, table: str, key: Key, *, exclusive: bool = True) -> Value:
        """Lock a row, waiting for whoever has it; return its newest value, None when there is no such row."""
        rows = self.server.tables[table]
        while True:
            row = rows.get(key)
            if row is None:
                row = rows[key] = Row()
            if not row.blockers(self, exclusive=exclusive):
                break
            await self._wait(row, exclusive=exclusive)
        if row.owner is self:
            return row.fresh
        if exclusive:
            row.owner, row.fresh = self, row.value
            self._undo.append((table, key, row, "lock", None))
        elif self not in row.sharers:
            row.sharers.append(self)
            self._undo.append((table, key, row, "share", None))
        return row.value

    async def lock_seen(self, table: str, keys: Iterable[Key]) -> dict[Key, Value]:
        """Lock those of the rows that the statement sees, in this order; return the newest value of each that stays."""
        seen = [key for key in keys if self.seen(table, key) is not None]
        found = {}
        for key in seen:
            value = await self.lock(table, key)
            if value is not None:
                found[key] = value
        return found

    async def insert(self, table: str, key: Key, value: Value) -> Value:
        """Insert a row; return None, or what is in its way: a committed row, or one that we wrote ourselves."""
        rows = self.server.tables[table]
        while True:
            row = rows.get(key)
            if row is not None and row.owner is self and row.fresh is not None:
                return row.fresh
            if row is not None and row.value is not None and not row.writes:
                # Locked or not, it is in the way; one that is being written may be gone: that is waited for.
                return row.value
            if row is None or not row.blockers(self, exclusive=True):
                break
            await self._wait(row, exclusive=True)
        there = await self.lock(table, key)
        if there is None:
            self.write(table, key, value)
        return there

    def put_new(self, table: str, key: Key, value: Value) -> None:
        """Insert a row under a key that was drawn for it: nobody else can have it."""
        row = self.server.tables[table][key] = Row()
        row.owner, row.fresh, row.writes = self, value, 1
        self._undo.append((table, key, row, "lock", None))

    def write(self, table: str, key: Key, value: Value) -> None:
        """Write a row that is locked; None deletes it."""
        row = self.server.tables[table][key]
        if row.owner is not self:
            raise AssertionError((table, key, "written without its lock"))
        self._undo.append((table, key, row, "write", row.fresh))
        row.fresh = value
        row.writes += 1

    async def _wait(self, row: Row, *, exclusive: bool) -> None:
        loop = self.server.loop
        self.waits_for = (row, exclusive)
        self._waiting = waiting = loop.create_future()
        row.waiters.append(waiting)
        loop.in_world(DEADLOCK_TIMEOUT_S, self._look_for_deadlock, waiting)
        try:
            await waiting
        except asyncpg.DeadlockDetectedError:
            self.server.hits["deadlock"] += 1
            self._undo_to(self._marks[-1] if self._marks else 0)
            self._failed = True
            raise
        finally:
            self.waits_for = self._waiting = None
        self._check()

    def _look_for_deadlock(self, waiting: asyncio.Future[None]) -> None:
        if not waiting.done() and self._waits_for_itself():
            waiting.set_exception(asyncpg.DeadlockDetectedError("deadlock detected"))

    def _waits_for_itself(self) -> bool:
        seen: list[Session] = []
        front = [self]
        while front:
            session = front.pop()
            if session.waits_for is None:
                continue
            row, exclusive = session.waits_for
            for blocker in row.blockers(session, exclusive=exclusive):
                if blocker is self:
                    return True
                if blocker not in seen:
                    seen.append(blocker)
                    front.append(blocker)
        return False

    def _undo_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            _table, _key, row, what, before = self._undo.pop()
            if what == "write":
                row.fresh = before
                row.writes -= 1
                continue
            if what == "lock":
                row.owner, row.fresh, row.writes = None, None, 0
            else:
                row.sharers.remove(self)
            row.wake()

    def savepoint(self) -> None:
        self._marks.append(len(self._undo))

    def release_savepoint(self, *, undo: bool) -> None:
        mark = self._marks.pop()
        if undo and self._lost is None:
            self._undo_to(mark)
            self._failed = False

    def commit(self) -> None:
        """Commit what the server has of this transaction; a failed one is rolled back, as PostgreSQL does."""
        if self._failed:
            self.abort()
            return
        changes = []
        locked = [(table, key, row) for table, key, row, what, _ in self._undo if what == "lock"]
        for table, key, row in locked:
            if row.fresh is not row.value:
                changes.append((table, key, row.value, row.fresh))
        self.server.keep(changes, waited_for=self.waited_for)
        self.abort()

    def abort(self) -> None:
        """End the transaction without a trace (after a commit, of its locks only)."""
        self._undo_to(0)
        self.server.sessions.pop(self, None)

    def lose(self, why: str) -> None:
        """Lose the connection: the server undoes the transaction, the client hears of it at its next word."""
        if self._lost is None:
            self._lost = why
            self.abort()
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_exception(asyncpg.ConnectionDoesNotExistError(why))


def open_session(server: Server) -> Session:
    """Return a new connection of the current process with a transaction in it."""
    if not server.up:
        raise ConnectionRefusedError(server.name)
    return Session(server, current())
