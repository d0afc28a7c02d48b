"""Health: alive means the loop turns; ready means that the database answers and no job is down for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from fastapi import APIRouter, Request, Response

from shared.messaging.kafka import Kafka
from shared.runtime.jobs import being_restarted, down_for_good
from shared.storage.database import Database
from shared.web.auth import public

_BROKER_ANSWERS_WITHIN_S = 0.5
Check = Callable[[], Awaitable[str | None]]


def health_router(service: str, checks: Mapping[str, Check], *, kafka: Kafka) -> APIRouter:
    """Build the routes `health/live` and `health/ready`; a check returns what is wrong, or None.

    The broker's state and jobs that are being restarted are told, but do not make the service unready: with the
    broker away commands go on, and effects catch up by themselves.
    """
    router = APIRouter(tags=["health"], dependencies=[public()])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/health/ready")
    async def ready(request: Request, response: Response) -> dict[str, object]:
        problems = dict(down_for_good(service))
        if getattr(request.app.state, "stopping", False):
            problems["process"] = "stopping"
        for name, check in checks.items():
            try:
                problem = await check()
            except Exception as error:  # noqa: BLE001 - a check that fails is the answer
                problem = type(error).__name__
            if problem:
                problems[name] = problem
        response.status_code = 503 if problems else 200
        status = "unready" if problems else "ready"
        broker = await broker_state(kafka.bootstrap_servers)
        return {"status": status, "problems": problems, "restarting": being_restarted(service), "broker": broker}

    return router


def database_answers(database: Database) -> Check:
    """Return a check that the database answers."""

    async def check() -> None:
        async with database.reader() as tx:
            await tx.pg.fetchval("SELECT 1")

    return check


async def broker_state(bootstrap_servers: str) -> Literal["reachable", "away"]:
    """Return whether any broker takes connections."""
    for address in bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(_BROKER_ANSWERS_WITHIN_S):
                _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return "reachable"
    return "away"
