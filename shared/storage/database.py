"""One service's database: the only file that commits.

A transaction is one asyncpg connection seen twice: as SQLAlchemy Core for ordinary work and raw for set-wise SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from importlib.resources import files
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit
from zlib import crc32

import asyncpg
from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.runtime.failpoints import reached

_open_in_this_task: ContextVar[frozenset[str]] = ContextVar("_open_in_this_task", default=frozenset())
_Isolation = Literal["read_committed", "repeatable_read"]
# Far beyond any statement of ours: a server that vanished without a word would otherwise be waited for all the day.
_ANSWER_WITHIN_S = 60.0
# A process that hangs inside a transaction must not hold its locks against all the others: PostgreSQL ends its session.
_IDLE_S = 10.0
_ENDED = "the server ended the connection"


class NestedTransaction(RuntimeError):
    """A second pooled connection was asked for inside a transaction: at the pool's size that hangs."""

    code: ClassVar[str] = "nested_transaction"


class Transaction:
    """One open transaction; both views share it."""

    def __init__(self, *, connection: AsyncConnection, pg: asyncpg.Connection[Any], url: str) -> None:
        """Wrap the two views of one connection."""
        self.connection = connection
        self.pg = pg
        self.url = url
        self._callbacks: list[Callable[[], None]] = []

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Open a savepoint: what fails inside is undone, the transaction goes on."""
        async with self.pg.transaction():
            yield

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once the commit is durable; never when it is not."""
        if callback not in self._callbacks:
            self._callbacks.append(callback)

    def committed(self) -> None:
        """Run what waited for the commit."""
        for callback in self._callbacks:
            callback()


class Database:
    """A small pool of connections to one service's database."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        answer_within_s: float = _ANSWER_WITHIN_S,
        think_within_s: float | None = None,
    ) -> None:
        """Prepare the pool; nothing connects yet.

        A statement that is not answered in time ends its connection, and so does a transaction that stands still for
        longer than its caller may think (10 s).
        """
        self.url = url
        idle_s = _IDLE_S if think_within_s is None else think_within_s
        self._engine = _engine(
            url,
            answer_within_s=answer_within_s,
            server_settings={
                "idle_in_transaction_session_timeout": f"{idle_s * 1000:.0f}",
                # What is looked up is in memory: at the default of 4 a batch of 1,000 scans 75,000 rows.
                "random_page_cost": "1.1",
                # A statement of thousands of rows takes less than its compilation.
                "jit": "off",
            },
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            isolation_level="AUTOCOMMIT",
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a read-write transaction that commits when the block ends and rolls back when it raises."""
        return self._open(isolation="read_committed", readonly=False)

    def snapshot(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a REPEATABLE READ, READ ONLY transaction: every statement sees the same instant."""
        return self._open(isolation="repeatable_read", readonly=True)

    def reader(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a READ ONLY transaction for queries."""
        return self._open(isolation="read_committed", readonly=True)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _open(self, *, isolation: _Isolation, readonly: bool) -> AsyncIterator[Transaction]:
        already = _open_in_this_task.get()
        if self.url in already:
            raise NestedTransaction
        async with self._engine.connect() as connection:
            pg = (await connection.get_raw_connection()).driver_connection
            if pg is None:
                message = "the pool gave no connection"
                raise ConnectionError(message)
            token = _open_in_this_task.set(already | {self.url})
            tx = Transaction(connection=connection, pg=pg, url=self.url)
            has_ended = False
            try:
                outer = pg.transaction(isolation=isolation, readonly=readonly)
                await outer.start()
                try:
                    yield tx
                except Exception:
                    await outer.rollback()
                    has_ended = True
                    raise
                if not readonly:
                    reached("transaction.done")
                await outer.commit()
                has_ended = True
                if not readonly:
                    reached("transaction.durable")
            except BaseException as error:
                was_closed = pg.is_closed()
                # Interrupted in the middle, or by a server that went: its state is unknown, never back to the pool.
                if not has_ended or was_closed or pg.is_in_transaction():
                    with contextlib.suppress(Exception):
                        pg.terminate()
                    await asyncio.shield(connection.invalidate())
                if isinstance(error, asyncpg.InternalClientError) or (
                    was_closed and isinstance(error, asyncpg.InterfaceError)
                ):
                    # The server's farewell was read, its end not yet noticed, or noticed between two statements: the
                    # driver is confused, nothing more.
                    raise asyncpg.ConnectionDoesNotExistError(_ENDED) from error
                raise
            finally:
                _open_in_this_task.reset(token)
        tx.committed()


def database_url(*, server_url: str, service: str) -> str:
    """Return the URL of a service's database on the server that DATABASE_URL names."""
    parts = urlsplit(server_url)
    return urlunsplit(parts._replace(path=f"/tributary_{service}"))


def by_column(rows: Iterable[Sequence[Any]], *, width: int) -> list[list[Any]]:
    """Return the rows' values column by column, as `unnest` takes them; `width` empty columns for no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


# Control characters that no text of ours holds: between values, and for one that is absent.
_BETWEEN, _ABSENT = "\x1f", "\x1e"


def packed(values: Iterable[str | None]) -> str:
    """Return many texts as one, which `unpacked` takes apart in the server.

    The driver asks of each element of an array whether it is an array itself: of a thousand rows that takes longer
    than their insertion. A separator inside a text, which nothing that was read holds, becomes a blank.
    """
    texts = [_ABSENT if value is None else value for value in values]
    found = "".join([_BETWEEN + text for text in texts])
    if found.count(_BETWEEN) == len(texts):
        return found
    return "".join([_BETWEEN + text.replace(_BETWEEN, " ") for text in texts])


def unpacked(nth: int, kind: str = "text") -> str:
    """Return the SQL of parameter `nth` as the array that was packed."""
    array = f"(string_to_array(${nth}, E'\\x1f', E'\\x1e'))[2:]"
    return array if kind == "text" else f"{array}::{kind}[]"


async def ensure_database(*, server_url: str, service: str) -> str:
    """Create a service's database where it is missing; return its URL."""
    url = database_url(server_url=server_url, service=service)
    name = urlsplit(url).path.removeprefix("/")
    connection = await asyncpg.connect(server_url)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return url


async def migrate(*, url: str, package: str) -> None:
    """Bring a service's database to the newest migration of its package; concurrent callers wait in line."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files(package).joinpath("migrations")))
    config.set_main_option("path_separator", "os")
    engine = _engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(package.encode())})
            config.attributes["connection"] = await connection.run_sync(lambda sync: sync)
            await connection.run_sync(lambda _: command.upgrade(config, "head"))
    finally:
        await engine.dispose()


def run_migrations(metadata: MetaData) -> None:
    """Run Alembic on the connection that `migrate` opened: the whole of a service's env.py."""
    from alembic import context

    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


def execute_all(*statements: Sequence[str]) -> None:
    """Run lists of DDL statements inside a migration, one by one (asyncpg prepares no multi-statements)."""
    from alembic import op

    bind = op.get_bind()
    for group in statements:
        for statement in group:
            bind.exec_driver_sql(statement)


def _refuse_closed(connection: Any, *_: object) -> None:
    """Have the pool connect anew where the server ended a connection while nobody used it."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _engine(
    url: str,
    *,
    answer_within_s: float | None = None,
    server_settings: dict[str, str] | None = None,
    **options: Any,
) -> AsyncEngine:
    """Return an engine whose connections asyncpg makes from the URL itself: with `sslmode`, `sslrootcert` and all."""
    connect = partial(asyncpg.connect, url, command_timeout=answer_within_s, server_settings=server_settings)
    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **options)
