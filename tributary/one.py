"""`tributary serve` and `tributary work`: one service's HTTP or worker process; `migrate` before either."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from fastapi import FastAPI

from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings
from shared.runtime.spans import exporting_spans
from shared.storage.database import Database
from shared.web.health import database_ready, health_router, worker_ready
from shared.web.serving import Edge, ServiceApp, listen, tune_gc
from tributary.front import front
from tributary.platform import prepare
from tributary.running import serving, working
from tributary.services import SERVICES, builds, works


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
    """Run a service's relay, consumers and timers until cancelled; its health is served beside them."""
    apps = {service: _health_app(settings, service=service)}
    with exporting_spans(), contextlib.closing(listen(host=settings.host, port=settings.port)) as listener:
        async with serving(apps, listener, fallback=front({})), working(works([service]), settings):
            _say(f"{service} works; its health is on port {listener.getsockname()[1]}")
            tune_gc()
            await asyncio.Event().wait()
    return 0


async def migrate(settings: Settings) -> int:
    """Create what is missing: every service's database, its newest tables, the topics, the first administrator."""
    await prepare(settings, services=SERVICES)
    _say("databases, topics and the first administrator are there")
    return 0


def _health_app(settings: Settings, *, service: str) -> ServiceApp:
    """Return an app that answers nothing but the worker's health, on the paths of the service's own."""
    database = Database(settings.database(service), pool_size=1)
    app = FastAPI(title=f"Tributary {service} worker", openapi_url=None, docs_url=None, redoc_url=None, telemetry=None)
    checks = {"database": database_ready(database, service=service), "worker": worker_ready(service)}
    app.include_router(health_router(service, checks, kafka=Kafka.of(settings)), prefix=f"/{service}/v1")
    return ServiceApp(service, app, Edge(app, service=service), [database.close])


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
