"""A light HTTP load: keep-alive connections that each send the next request when the last was answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools


@dataclass(slots=True)
class Load:
    """What a round of requests measured: answers by status, seconds from send to answer, the round's length."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    waiting: deque[_Client] = field(default_factory=deque)

    @property
    def per_second(self) -> float:
        """Return answers a second."""
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        """Return the latency, in milliseconds, that this share of the answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


_LOOK_AGAIN_S = 0.002
NextRequest = Callable[[], bytes | None]


async def drive(*, host: str, port: int, clients: int, seconds: float, next_request: NextRequest) -> Load:
    """Send requests over `clients` connections for some seconds; return what they measured.

    `next_request` may answer None: not now, ask again in a moment.
    """
    loop = asyncio.get_running_loop()
    load = Load()
    started = time.perf_counter()
    connections = [
        (await loop.create_connection(lambda: _Client(load, next_request), host, port))[1] for _ in range(clients)
    ]
    load.waiting.extend(connections)
    while time.perf_counter() < started + seconds:
        await asyncio.sleep(_LOOK_AGAIN_S)
        # Whoever has waited longest comes first: a connection that nobody uses is closed by the server.
        while load.waiting and load.waiting[0].begin():
            load.waiting.popleft()
    for client in connections:
        client.last = True
    for client in load.waiting:
        client.begin()
    await asyncio.gather(*(client.ended for client in connections))
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    def __init__(self, load: Load, next_request: NextRequest) -> None:
        self.last = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._next_request = next_request
        self._parser = httptools.HttpResponseParser(self)
        self._sent_at = 0.0

    def begin(self) -> bool:
        """Send the next request, or close after the last; return False when there is none just now."""
        if self.last:
            self._transport.close()
            return True
        request = self._next_request()
        if request is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(request)
        return request is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._load.statuses[self._parser.get_status_code()] += 1
        self._load.latencies_s.append(time.perf_counter() - self._sent_at)
        if not self.begin():
            self._load.waiting.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.ended.done():
            return
        if exc is None and self.last:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(exc or ConnectionError("the server closed a connection"))
