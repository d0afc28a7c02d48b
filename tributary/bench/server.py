"""Credit's API and its relay in a process of their own, until stdin closes: what `bench holds` sends its load to."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from services.credit.main import NAME, build
from shared.messaging.kafka import Kafka
from shared.messaging.relay import Relay
from shared.runtime.garbage import tune_gc
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from shared.storage.database import Database
from shared.web.serving import listen, serve


async def main() -> None:
    """Serve, say the port, relay."""
    settings = Settings()
    stop, ready = asyncio.Event(), asyncio.Event()
    listener = listen(host="127.0.0.1", port=0)
    app = build(settings)
    database = Database(settings.database(NAME), pool_size=2)
    relay = Relay(database, kafka=Kafka.of(settings), service=NAME)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(app, listener=listener, stop=stop, ready=ready))
        group.create_task(Jobs().supervise({"credit/relay": lambda: relay.run(stop)}, stop=stop))
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
