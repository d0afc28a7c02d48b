"""TLS in front of the real PostgreSQL, whose embedded build has none: the handshake of its protocol, then the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tests.support.certificates import Identity

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)


@dataclass
class TlsPostgres:
    """Where it listens, and how its clients came."""

    server_url: str
    port: int = 0
    encrypted: int = 0
    plain: int = 0

    def url(self, query: str, *, host: str = "127.0.0.1", password: str = "") -> str:
        """Return the server's URL through here."""
        parts = urlsplit(self.server_url)
        user = f"{parts.username}:{password}" if password else parts.username
        return urlunsplit(parts._replace(netloc=f"{user}@{host}:{self.port}", query=query))


@asynccontextmanager
async def tls_postgres(server_url: str, *, identity: Identity) -> AsyncIterator[TlsPostgres]:
    """Accept only who asks for TLS, by this certificate; the real server sees the rest."""
    front = TlsPostgres(server_url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            if await reader.readexactly(8) != _SSL_REQUEST:
                front.plain += 1
                return
            writer.write(b"S")
            await writer.start_tls(context)
            front.encrypted += 1
            await _join(reader, writer, server_url)

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_url: str) -> None:
    parts = urlsplit(server_url)
    from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        pumps = {asyncio.ensure_future(_pump(reader, to_server)), asyncio.ensure_future(_pump(from_server, writer))}
        _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in rest:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        to_server.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
