"""One service in a process of its own: its HTTP app and its workers, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial

import uvloop

from shared.runtime.jobs import Jobs
from shared.runtime.offload import close_offload
from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from shared.web.serving import Composite, listen, serve
from tributary.front import front
from tributary.services import builds, works

_WORKERS_S = 1.0


async def run(name: str) -> None:
    """Serve and work until told to stop."""
    settings, stop, ready = Settings(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    apps = {service: build(settings) for service, build in builds([name]).items()}
    jobs = {service: partial(work, settings, stop) for service, work in works([name]).items()}
    working = asyncio.create_task(Jobs().supervise(jobs, stop=stop))
    with contextlib.closing(listen(host="127.0.0.1", port=settings.port)) as listener:
        await serve(Composite(apps, fallback=front(apps)), listener=listener, stop=stop, ready=ready)
    await asyncio.wait({working}, timeout=_WORKERS_S)
    working.cancel()
    await asyncio.gather(working, *(app.aclose() for app in apps.values()), return_exceptions=True)
    close_offload()


if __name__ == "__main__":
    configure_logging(level="ERROR")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1]))
