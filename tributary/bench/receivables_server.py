"""Receivables' API and its upload worker in a process of their own, until stdin closes: what `bench intake` fills."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from services.receivables.main import NAME, build
from services.receivables.operations.take_uploads import work_uploads
from shared.runtime.garbage import tune_gc
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from shared.runtime.timers import run_every
from shared.storage.database import Database
from shared.web.serving import listen, serve

_LOOK_EVERY_S = 0.05


async def main() -> None:
    """Serve, say the port, work uploads through."""
    settings = Settings()
    stop, ready = asyncio.Event(), asyncio.Event()
    listener = listen(host="127.0.0.1", port=0)
    app = build(settings)
    database = Database(settings.database(NAME), pool_size=4)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)

    async def work() -> None:
        await run_every(_LOOK_EVERY_S, lambda: work_uploads(database), stop=stop)

    async with asyncio.TaskGroup() as group:
        group.create_task(serve(app, listener=listener, stop=stop, ready=ready))
        group.create_task(Jobs().supervise({"receivables/uploads": work}, stop=stop))
        await ready.wait()
        tune_gc()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
    await app.aclose()
    await database.close()


if __name__ == "__main__":
    configure_logging(level="ERROR")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
