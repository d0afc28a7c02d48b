"""One real PostgreSQL and one real Kafka for a whole test run, shared by its workers."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

_READY_WITHIN_S = 90
_started: list[subprocess.Popen[bytes]] = []
_templates: set[tuple[str, str]] = set()


async def _serve(folder: Path) -> None:
    """Run the servers until the test run that asked for them is gone."""
    from tributary.embedded.servers import EmbeddedServers

    async with EmbeddedServers(folder, durable=False) as servers:
        addresses = {"postgres": servers.database_url, "kafka": servers.bootstrap_servers}
        part = folder / "addresses.part"
        part.write_text(json.dumps(addresses), encoding="utf-8")
        part.replace(folder / "addresses.json")
        owner = int(sys.argv[2])
        while _alive(owner):
            await asyncio.sleep(0.3)
    shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@asynccontextmanager
async def a_database(server_url: str, name: str) -> AsyncIterator[str]:
    """Make an empty database on the server and yield its URL; it goes with whoever is connected."""
    connection = await asyncpg.connect(server_url)
    await connection.execute(f'CREATE DATABASE "{name}"')
    yield beside(server_url, name)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


async def with_tables(url: str, *, service: str) -> None:
    """Make the database of this URL with a service's newest tables, in the place of an empty one if there is one."""
    server_url, name = beside(url, "postgres"), urlsplit(url).path[1:]
    connection = await asyncpg.connect(server_url)
    template = await _template(connection, server_url, service)
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    await connection.close()


async def _template(connection: asyncpg.Connection[Any], server_url: str, service: str) -> str:
    """Return the name of a service's migrated database, made once a server: a copy costs a fifth of a migration."""
    from shared.storage.database import migrate

    template, building = f"template_{service}", f"building_{service}"
    if (server_url, service) in _templates:
        return template
    await connection.execute("SELECT pg_advisory_lock(hashtext($1))", template)
    if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", template):
        await connection.execute(f'DROP DATABASE IF EXISTS "{building}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{building}"')
        await migrate(url=beside(server_url, building), package=f"services.{service}")
        await connection.execute(f'ALTER DATABASE "{building}" RENAME TO "{template}"')
    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", template)
    _templates.add((server_url, service))
    return template


async def drop_database(server_url: str, name: str) -> None:
    """Drop a database, if it is there, under whoever is connected to it."""
    connection = await asyncpg.connect(server_url)
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await connection.close()


def beside(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def addresses(run_id: str, *, owner: int) -> dict[str, str]:
    """Return the addresses of the run's servers, starting them if this worker is the first to ask."""
    folder = Path(tempfile.gettempdir()) / f"tributary-tests-{run_id}"
    folder.mkdir(mode=0o755, exist_ok=True)
    with _locked(folder / "starting"):
        if not (folder / "started").exists():
            (folder / "started").touch()
            with (folder / "servers.log").open("ab") as log:
                server = subprocess.Popen(
                    [sys.executable, "-W", "ignore", __file__, str(folder), str(owner)],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd=Path(__file__).resolve().parents[2],
                )
                # It ends by itself when the run is over; until then nobody may reap it.
                _started.append(server)
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            found: dict[str, str] = json.loads((folder / "addresses.json").read_text(encoding="utf-8"))
            return found
        time.sleep(0.05)
    message = (folder / "servers.log").read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(message)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(Path(sys.argv[1])))
