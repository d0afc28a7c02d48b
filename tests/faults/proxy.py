"""A TCP proxy before a server: it can reset, swallow, delay, or lose one direction of what goes through it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

_CHUNK = 64 * 1024


class Mode(Enum):
    """What happens to bytes on their way."""

    PASS = auto()
    SLOW = auto()
    RESET = auto()
    BLACK_HOLE = auto()
    ANSWERS_LOST = auto()
    REQUESTS_LOST = auto()


_LOSES_REQUESTS = {Mode.BLACK_HOLE, Mode.REQUESTS_LOST}
_LOSES_ANSWERS = {Mode.BLACK_HOLE, Mode.ANSWERS_LOST}


class Proxy:
    """One listening port before one server's port."""

    def __init__(self, *, seed: int = 1) -> None:
        self.port = 0
        self.target_port = 0
        self.mode = Mode.PASS
        self.swallowed = 0
        self.severed = 0
        self._chance = random.Random(seed)  # noqa: S311 - the jitter of a network, not a secret
        self._slow_s = (0.02, 0.12)
        self._connections: set[_Connection] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        """Listen while the block runs."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._sever(set(self._connections))
            await asyncio.gather(*(each.ended for each in self._connections), return_exceptions=True)

    def become(self, mode: Mode) -> None:
        """Change what happens; a stream that lost bytes cannot go on, and ends when the mode does."""
        self.mode = mode
        torn = {each for each in self._connections if each.lost_bytes or mode is Mode.RESET}
        self._sever(torn)

    def forget(self) -> None:
        """Let the connections there are die without a word: what still goes in is lost; new ones pass."""
        for each in self._connections:
            each.forgotten = True

    def delay_s(self) -> float:
        """Return how long the next chunk waits."""
        return self._chance.uniform(*self._slow_s) if self.mode is Mode.SLOW else 0

    def _sever(self, connections: set[_Connection]) -> None:
        for each in connections:
            each.abort()
            self.severed += 1

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.RESET:
            writer.transport.abort()
            return
        try:
            target = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, (reader, writer), target)
        self._connections.add(connection)
        await connection.run()
        self._connections.discard(connection)


class _Connection:
    """A client's connection and ours to the server behind."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.lost_bytes = False
        self.forgotten = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proxy = proxy
        self._client = client
        self._server = server

    async def run(self) -> None:
        """Carry bytes both ways until either side ends."""
        ways = [
            asyncio.create_task(self._carry(self._client[0], self._server[1], _LOSES_REQUESTS)),
            asyncio.create_task(self._carry(self._server[0], self._client[1], _LOSES_ANSWERS)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.abort()
            self.ended.set_result(None)

    def abort(self) -> None:
        """End both connections at once, by a reset."""
        self._client[1].transport.abort()
        self._server[1].transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: set[Mode]) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if (wait_s := self._proxy.delay_s()) > 0:
                    await asyncio.sleep(wait_s)
                if self.forgotten or self._proxy.mode in losing:
                    self.lost_bytes = True
                    self._proxy.swallowed += len(chunk)
                    continue
                writer.write(chunk)
                await writer.drain()
