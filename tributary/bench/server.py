"""A service's API and what a bench needs beside it, in a process of their own until stdin closes: what is measured."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import uvloop

from services.credit import main as credit
from services.receivables import main as receivables
from services.receivables.operations.take_uploads import work_uploads
from shared.messaging.kafka import Kafka
from shared.messaging.relay import Relay
from shared.runtime.garbage import tune_gc
from shared.runtime.jobs import Job, Jobs
from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from shared.runtime.timers import run_every
from shared.storage.database import Database
from shared.web.serving import ServiceApp, listen, serve

_LOOK_EVERY_S = 0.05


@asynccontextmanager
async def serving(settings: Settings, name: str) -> AsyncIterator[tuple[int, int]]:
    """Run the measured service in a process of its own; yield its port and its process."""
    environment = {
        **os.environ,
        "DATABASE_URL": settings.server_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TRIBUTARY_HOME": str(settings.home),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, name),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError
    try:
        yield int(await process.stdout.readline()), process.pid
    finally:
        process.stdin.close()
        await process.wait()


def _relaying(settings: Settings, database: Database, stop: asyncio.Event) -> Job:
    relay = Relay(database, kafka=Kafka.of(settings), service=credit.NAME)
    return partial(relay.run, stop)


def _working_uploads(settings: Settings, database: Database, stop: asyncio.Event) -> Job:
    del settings
    return partial(run_every, _LOOK_EVERY_S, partial(work_uploads, database), stop=stop)


_Build = Callable[[Settings], ServiceApp]
_Beside = Callable[[Settings, Database, asyncio.Event], Job]
_SERVICES: Mapping[str, tuple[_Build, str, _Beside]] = {
    credit.NAME: (credit.build, "relay", _relaying),
    receivables.NAME: (receivables.build, "uploads", _working_uploads),
}


async def main(name: str) -> None:
    """Serve, say the port, do what belongs beside it."""
    build, job, beside = _SERVICES[name]
    settings = Settings()
    stop, ready = asyncio.Event(), asyncio.Event()
    listener = listen(host="127.0.0.1", port=0)
    app = build(settings)
    database = Database(settings.database(name), pool_size=4)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(app, listener=listener, stop=stop, ready=ready))
        group.create_task(Jobs().supervise({f"{name}/{job}": beside(settings, database, stop)}, stop=stop))
        await ready.wait()
        tune_gc()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
    await app.aclose()
    await database.close()


if __name__ == "__main__":
    configure_logging(level="ERROR")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
