"""HTTP and workers that run while a block runs, and end in order: of one service or of all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from starlette.types import ASGIApp

from shared.runtime.jobs import Jobs
from shared.runtime.offload import close_offload
from shared.runtime.settings import Settings
from shared.web.serving import Composite, ServiceApp, serve
from tributary.services import Work

_DRAIN_S = 0.5
_WORKERS_S, _CANCELLED_S = 1.0, 0.5


@asynccontextmanager
async def serving(apps: Mapping[str, ServiceApp], listener: socket.socket, *, fallback: ASGIApp) -> AsyncIterator[None]:
    """Serve; at the end: unready, streams closed, requests answered, batches drained, pools closed."""
    stop, ready = asyncio.Event(), asyncio.Event()
    origin = Composite(apps, fallback=fallback)
    running = asyncio.create_task(serve(origin, listener=listener, stop=stop, ready=ready), name="http")
    try:
        await asyncio.wait({running, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield
    finally:
        for app in apps.values():
            app.fastapi.state.stopping = True
        stop.set()
        await running
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await asyncio.gather(*(app.aclose() for app in apps.values()))
        close_offload()


@asynccontextmanager
async def working(workers: Mapping[str, Work], settings: Settings) -> AsyncIterator[None]:
    """Run the workers, each restarted when it fails; at the end they have a second to finish."""
    stop = asyncio.Event()
    jobs = {f"{name}/worker": partial(work, settings, stop) for name, work in workers.items()}
    running = asyncio.create_task(Jobs().supervise(jobs, stop=stop), name="workers")
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({running}, timeout=_WORKERS_S)
        running.cancel()
        # What is cancelled still closes its consumer and its pool; with the broker away that may hang.
        await asyncio.wait({running}, timeout=_CANCELLED_S)
        close_offload()
