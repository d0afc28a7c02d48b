"""Holds by the batch over HTTP: a few connections of one client process, each sends the next batch when answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools

_HELD = b'{"status":201,'


@dataclass(slots=True)
class BatchLoad:
    """What a round of batches measured: items by how they were answered, seconds a batch, the round's length."""

    held: int = 0
    refused: Counter[bytes] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Return items a second."""
        return self.held / self.seconds

    def answered(self, body: bytes, *, seconds: float) -> None:
        """Count a batch's answer, item by item."""
        lines = body.splitlines()
        self.held += body.count(_HELD)
        if len(lines) != body.count(_HELD):
            self.refused.update(line for line in lines if not line.startswith(_HELD))
        self.latencies_s.append(seconds)


async def drive_batches(*, host: str, port: int, connections: int, batches: Sequence[bytes]) -> BatchLoad:
    """Send these batches over some connections, each as soon as its last was answered; return what they measured."""
    loop = asyncio.get_running_loop()
    load, waiting = BatchLoad(), iter(batches)
    clients = [
        (await loop.create_connection(lambda: _Client(load, waiting), host, port))[1] for _ in range(connections)
    ]
    started = time.perf_counter()
    for client in clients:
        client.begin()
    await asyncio.gather(*(client.ended for client in clients))
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    def __init__(self, load: BatchLoad, waiting: Iterator[bytes]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._waiting = waiting
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._sent_at = 0.0

    def begin(self) -> None:
        """Send the next batch, or close after the last."""
        batch = next(self._waiting, None)
        if batch is None:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._sent_at = time.perf_counter()
            self._transport.write(batch)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._load.answered(b"".join(self._pieces), seconds=time.perf_counter() - self._sent_at)
        self._pieces.clear()
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server closed a connection"))
