"""Health: alive means the loop turns; ready means that the process can do what it is for.

An API: its database answers and has the tables of this release, or newer ones. A worker: its relay and its inbox have
been up besides. Both: no job of theirs in this process is down for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Literal

import asyncpg
from fastapi import APIRouter, Request, Response

from shared.messaging.kafka import Kafka
from shared.runtime.jobs import being_restarted, down_for_good, not_up_yet
from shared.storage.database import Database
from shared.web.auth import public

_BROKER_ANSWERS_WITHIN_S, _CHECKED_WITHIN_S = 0.5, 2.0
_REVISION = re.compile(r"^(revision|down_revision)\b[^=]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)
Check = Callable[[], Awaitable[str | None]]


def health_router(service: str, checks: Mapping[str, Check], *, kafka: Kafka) -> APIRouter:
    """Build the routes `health/live` and `health/ready`; a check returns what is wrong, or None.

    The broker's state and jobs that are being restarted are told, but do not make the service unready: with the
    broker away commands go on, and effects catch up by themselves.
    """
    router = APIRouter(tags=["health"], dependencies=[public()])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """Say that the process runs."""
        return {"status": "alive"}

    @router.get("/health/ready")
    async def ready(request: Request, response: Response) -> dict[str, object]:
        """Say whether it can do its work: 200, or 503 with what is wrong; what is being restarted, and the broker."""
        problems = dict(down_for_good(service))
        if getattr(request.app.state, "stopping", False):
            problems["process"] = "stopping"
        for name, check in checks.items():
            try:
                async with asyncio.timeout(_CHECKED_WITHIN_S):
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


def database_ready(database: Database, *, service: str) -> Check:
    """Return a check that the database answers and is migrated to the newest revision that this release knows.

    A revision that this release does not know is a newer one: during a rolling upgrade the tables are ahead.
    """
    ours = _revisions(service)
    newest = ours.keys() - set(ours.values())

    async def check() -> str | None:
        try:
            async with database.reader() as tx:
                found = await tx.pg.fetchval("SELECT version_num FROM alembic_version")
        except asyncpg.UndefinedTableError:
            found = None
        if found is not None and (found in newest or found not in ours):
            return None
        return f"is at revision {found}, this release needs {', '.join(sorted(newest))}: run `tributary migrate`"

    return check


def worker_ready(service: str) -> Check:
    """Return a check that a service's relay and inbox in this process have been up."""

    async def check() -> str | None:
        return not_up_yet(service)

    return check


def _revisions(service: str) -> dict[str, str | None]:
    """Return each migration of a service with the one before it, without loading any."""
    found: dict[str, str | None] = {}
    for file in files(f"services.{service}").joinpath("migrations", "versions").iterdir():
        if file.name.endswith(".py"):
            said = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
            found[said["revision"]] = said.get("down_revision")
    return found


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
