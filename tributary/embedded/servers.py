"""Both embedded servers, started together and owned by one process."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tributary.embedded.kafka import EmbeddedKafka
from tributary.embedded.postgres import EmbeddedPostgres


class DataFolderInUse(RuntimeError):
    """Another running process owns the data folder."""

    code: ClassVar[str] = "data_folder_in_use"

    def __init__(self, *, folder: Path) -> None:
        """Keep the folder."""
        self.folder = folder
        super().__init__(f"{folder} is in use by another Tributary; stop it, or choose another TRIBUTARY_HOME.")


class EmbeddedServers:
    """A PostgreSQL and a Kafka on one data folder, locked against a second owner."""

    def __init__(
        self, folder: Path, *, durable: bool = True, nodes: int = 1, with_postgres: bool = True, with_kafka: bool = True
    ) -> None:
        """Prepare the servers that are wanted; nothing runs yet."""
        self.folder = folder.absolute()
        self.with_postgres = with_postgres
        self.with_kafka = with_kafka
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=durable)
        self.kafka = EmbeddedKafka(self.folder / "kafka", nodes=nodes)
        self._lock: int | None = None

    @property
    def database_url(self) -> str:
        """Return the server's URL; each service derives its own database's."""
        return self.postgres.url

    @property
    def bootstrap_servers(self) -> str:
        """Return the brokers' addresses."""
        return self.kafka.bootstrap_servers

    async def __aenter__(self) -> Self:
        """Lock the folder and start both servers at once; DataFolderInUse when another process has it."""
        self._take_lock()
        try:
            wanted = [(self.with_postgres, self.postgres.start), (self.with_kafka, self.kafka.start)]
            await asyncio.gather(*(start() for is_wanted, start in wanted if is_wanted))
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the servers and let the folder go."""
        await asyncio.to_thread(self.stop)

    def ended(self) -> str | None:
        """Return the name of a server that ended by itself, if one did."""
        if self.with_postgres and not self.postgres.alive():
            return "PostgreSQL"
        if self.with_kafka and not all(node.alive() for node in self.kafka.nodes):
            return "Kafka"
        return None

    async def revive(self) -> None:
        """Start again, at the addresses they had, the servers that ended by themselves."""
        if self.with_postgres and not self.postgres.alive():
            await self.postgres.start()
        if self.with_kafka:
            for node in self.kafka.nodes:
                if not node.alive():
                    self.kafka.start_node(node)

    def stop(self) -> None:
        """Stop the servers, Kafka first, and let the folder go."""
        self.kafka.stop()
        self.postgres.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # The children must not inherit it: the lock is gone when the owner is.
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            os.close(handle)
            raise DataFolderInUse(folder=self.folder) from busy
        self._lock = handle
