"""`tributary serve` and `tributary work`: one service's HTTP or worker process; `migrate` before either."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import structlog
from fastapi import FastAPI

from shared.messaging.kafka import Kafka
from shared.runtime.garbage import tune_gc
from shared.runtime.settings import Settings
from shared.runtime.spans import exporting_spans
from shared.storage.database import Database
from shared.web.health import Check, database_ready, health_router, worker_ready
from shared.web.serving import Edge, ServiceApp, listen
from tributary.front import front
from tributary.platform import prepare
from tributary.running import serving, working
from tributary.services import SERVICES, builds, works

_LOOK_AGAIN_S = 0.5
_log = structlog.get_logger()


async def serve(settings: Settings, *, service: str) -> int:
    """Serve a service's HTTP API until cancelled."""
    apps = {name: build(settings) for name, build in builds([service]).items()}
    with exporting_spans(), contextlib.closing(listen(host=settings.host, port=settings.port)) as listener:
        async with serving(apps, listener, fallback=front(apps)):
            _say(f"{service} serves on port {listener.getsockname()[1]}")
            tune_gc()
            await asyncio.Event().wait()
    return 0


async def work(settings: Settings, *, service: str) -> int:
    """Run a service's relay, consumers and timers until cancelled; its health is served beside them.

    Nothing works before the tables are those of this release: on older ones each event would fail, and be parked.
    """
    database = Database(settings.database(service), pool_size=1)
    tables = database_ready(database, service=service)
    apps = {service: _health_app(settings, service=service, database=database, tables=tables)}
    with exporting_spans(), contextlib.closing(listen(host=settings.host, port=settings.port)) as listener:
        async with serving(apps, listener, fallback=front({})):
            await _until_there(tables)
            async with working(works([service]), settings):
                _say(f"{service} works; its health is on port {listener.getsockname()[1]}")
                tune_gc()
                await asyncio.Event().wait()
    return 0


async def migrate(settings: Settings) -> int:
    """Create what is missing: every service's database, its newest tables, the topics, the first administrator."""
    await prepare(settings, services=SERVICES)
    _say("databases, topics and the first administrator are there")
    return 0


async def _until_there(tables: Check) -> None:
    """Wait until the database answers and has the tables; say once why not."""
    said = None
    while (why := await _why_not(tables)) is not None:
        if why != said:
            _log.warning("the worker waits for its database", error=why)
        said = why
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _why_not(tables: Check) -> str | None:
    try:
        return await tables()
    except Exception as error:  # noqa: BLE001 - whatever keeps the database from answering, it is asked again
        return type(error).__name__


def _health_app(settings: Settings, *, service: str, database: Database, tables: Check) -> ServiceApp:
    """Return an app that answers nothing but the worker's health, on the paths of the service's own."""
    app = FastAPI(title=f"Tributary {service} worker", openapi_url=None, docs_url=None, redoc_url=None, telemetry=None)
    checks = {"database": tables, "worker": worker_ready(service)}
    app.include_router(health_router(service, checks, kafka=Kafka.of(settings)), prefix=f"/{service}/v1")
    return ServiceApp(service, app, Edge(app, service=service), [database.close])


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
