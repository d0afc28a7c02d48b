"""`tributary verify`: a figure an invariant, and exit status 1 on any violation."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from tributary.addresses import NoPlatform, connected
from tributary.embedded.servers import EmbeddedServers
from tributary.verify.check import INVARIANTS, run_checks
from tributary.verify.result import Result


def run(*, json_output: bool) -> int:
    """Check, print, and return the exit status."""
    configure_logging(level="ERROR")
    try:
        results = asyncio.run(_check(Settings()))
    except (OSError, KafkaError, SQLAlchemyError) as error:
        sys.stderr.write(f"The servers cannot be reached ({type(error).__name__}); nothing was verified.\n")
        return 1
    if json_output:
        document = {"invariants": {name: result.wire() for name, result in results.items()}}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(table(results))
    violated = [f"{name} ({result.violations})" for name, result in results.items() if result.violations]
    if violated:
        sys.stderr.write(f"Violated: {', '.join(violated)}.\n")
        return 1
    return 0


def table(results: Mapping[str, Result]) -> str:
    """Return a line an invariant, its examples and notes below it."""
    lines = [f"{'':4} {'invariant':34} {'violations':>10} {'checked':>9} {'in flight':>9} {'oldest':>8}"]
    for name, result in results.items():
        title = INVARIANTS[name].NAME
        figures = f"{result.violations:>10} {result.checked:>9} {result.flying:>9} {result.oldest_s:>6.1f} s"
        lines.append(f"{name:4} {title:34} {figures}")
        lines += [f"       {sentence}" for sentence in (*result.examples, *result.notes)]
    return "\n".join(lines) + "\n"


async def _check(settings: Settings) -> dict[str, Result]:
    async with _servers(settings) as (found, stopped):
        return await run_checks(found, stopped=stopped)


@asynccontextmanager
async def _servers(settings: Settings) -> AsyncIterator[tuple[Settings, bool]]:
    """Find the servers of a running platform; start those of a stopped one for the time of the check."""
    try:
        found = connected(settings)
    except NoPlatform:
        if not (settings.home / "postgres" / "data").exists():
            raise
        missing = {"with_postgres": not settings.server_url, "with_kafka": not settings.bootstrap_servers}
        async with EmbeddedServers(settings.home, **missing) as servers:
            own = {
                "server_url": settings.server_url or servers.database_url,
                "bootstrap_servers": settings.bootstrap_servers or servers.bootstrap_servers,
            }
            yield settings.model_copy(update=own), True
    else:
        yield found, False
