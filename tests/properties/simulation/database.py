"""What the code takes for `shared.storage.database.Database`: transactions of a process on a model server."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import asyncpg

from tests.properties.simulation.loop import Killed, Process, current, one_step
from tests.properties.simulation.postgres import Server, Session, open_session

_NOTICED_WITHIN_S = 0.05


class ModelTransaction:
    """The `tx` of the protocol's functions; used as a context manager, it is the transaction's block."""

    def __init__(self, server: Server, *, url: str, readonly: bool) -> None:
        self.url = url
        self.pg: Session
        self._server = server
        self._readonly = readonly
        self._callbacks: list[Callable[[], None]] = []

    def savepoint(self) -> _Savepoint:
        return _Savepoint(self.pg)

    def after_commit(self, callback: Callable[[], None]) -> None:
        if callback not in self._callbacks:
            self._callbacks.append(callback)

    async def __aenter__(self) -> Self:
        if self._server.loop.ended or not current().alive:
            raise Killed
        await one_step()
        self.pg = open_session(self._server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, server = self.pg, self._server
        if error is not None and not isinstance(error, Exception):
            # Interrupted: the connection is cut, and the server sees that when it looks.
            if not server.loop.ended:
                server.loop.in_world(server.random.random() * _NOTICED_WITHIN_S, session.lose, "terminated")
            return
        if error is not None or self._readonly:
            if not session.is_closed():
                await one_step()
            session.abort()
            return
        await self._commit(session)
        for callback in self._callbacks:
            callback()

    async def _commit(self, session: Session) -> None:
        server = self._server
        await session.statement()
        session.commit()
        if server.faults.answer_lost():
            server.hits["answer to a commit lost"] += 1
            session.lose("connection was closed in the middle of operation")
        await one_step()
        if session.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class _Savepoint:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def __aenter__(self) -> None:
        await self._session.statement()
        self._session.savepoint()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self._session.statement()
        if error is None or isinstance(error, Exception):
            self._session.release_savepoint(undo=error is not None)


class ModelDatabase:
    """One process' way to a server."""

    def __init__(self, server: Server, *, url: str) -> None:
        self.url = url
        self._server = server

    def transaction(self) -> ModelTransaction:
        return ModelTransaction(self._server, url=self.url, readonly=False)

    def reader(self) -> ModelTransaction:
        return ModelTransaction(self._server, url=self.url, readonly=True)


def client_died(server: Server, process: Process) -> None:
    """See a client die: its transactions end a moment later."""
    for session in [each for each in server.sessions if each.process is process]:
        server.hits["killed within a transaction"] += 1
        server.loop.in_world(server.random.random() * _NOTICED_WITHIN_S, session.lose, "its client is gone")
