"""The live feed over a real socket: what is new comes by itself, and the stream ends when the server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.console.main import build
from shared.web.auth import COOKIE
from shared.web.serving import listen, serve
from tests.integration.console.story import apply, received, story
from tests.support.service import Bench, bench


@pytest.fixture
async def console(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("console", build, url=fresh_database, home=tmp_path) as made:
        yield made


@asynccontextmanager
async def _served(console: Bench) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    stop, ready = asyncio.Event(), asyncio.Event()
    listener = listen(host="127.0.0.1", port=0)
    port = listener.getsockname()[1]
    serving = asyncio.create_task(serve(console.app, listener=listener, stop=stop, ready=ready))
    await asyncio.wait_for(ready.wait(), 60)
    token = console.app.fastapi.state.issuer.issue(subject="r", roles=["bank_maker"], party=None, client_id="r")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", cookies={COOKIE: token}) as client:
            yield client, stop
    finally:
        stop.set()
        await asyncio.wait_for(serving, 6)
        listener.close()


async def _next(lines: AsyncIterator[str]) -> tuple[int, str]:
    """Return the next event's id and data."""
    position, data = 0, []
    async for line in lines:
        if line.startswith("id:"):
            position = int(line[3:])
        elif line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line and data:
            return position, "\n".join(data)
    message = "the stream ended"
    raise EOFError(message)


async def test_a_reader_sees_new_events_and_goes_on_where_it_was(console: Bench) -> None:
    told = received(story())
    async with _served(console) as (client, _), asyncio.timeout(60):
        await apply(console.database, told[:2])
        async with client.stream("GET", "/console/stream", params={"after": 1}) as answer:
            lines = aiter(answer.aiter_lines())
            first = await _next(lines)
            await apply(console.database, told[2:4])
            then = [await _next(lines), await _next(lines)]
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with client.stream("GET", "/console/stream", headers={"last-event-id": str(then[0][0])}) as answer:
            again = await _next(aiter(answer.aiter_lines()))
    assert "Jiangnan Motors is registered" in first[1]
    assert f'id="event-{first[0]}"' in first[1]
    assert again == then[1]


async def test_an_open_stream_does_not_keep_the_server_from_stopping(console: Bench) -> None:
    async with _served(console) as (client, stop), asyncio.timeout(60):
        async with client.stream("GET", "/console/stream") as answer:
            assert answer.status_code == 200
            clock = asyncio.get_running_loop().time
            asked = clock()
            stop.set()
            async for _ in answer.aiter_lines():
                pass
        assert clock() - asked < 4
