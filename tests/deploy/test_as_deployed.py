"""A service as the manifests run it: migrated by one role, run by another that gets into its own database alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from tests.support.manifests import ROOT, named
from tests.support.messaging import until
from tributary.embedded.processes import free_ports
from tributary.embedded.servers import EmbeddedServers
from tributary.healthy import unready
from tributary.services import SERVICES

_CLUSTER = named("overlays/production", "Cluster", "tributary-postgres")["spec"]
_PASSWORD = "only-for-this-test"


def _url(servers: EmbeddedServers, *, role: str, database: str = "postgres") -> str:
    where = urlsplit(servers.database_url)
    return f"postgresql://{role}:{_PASSWORD}@{where.hostname}:{where.port}/{database}"


async def _as_the_operator_would(servers: EmbeddedServers) -> None:
    """Make the manifest's roles and databases, then let in whom its rules let in (this PostgreSQL knows no TLS)."""
    connection = await asyncpg.connect(servers.database_url)
    try:
        owner = _CLUSTER["bootstrap"]["initdb"]["owner"]
        await connection.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{_PASSWORD}'")
        for role in _CLUSTER["managed"]["roles"]:
            rights = f"LOGIN PASSWORD '{_PASSWORD}' IN ROLE {', '.join(role['inRoles'])}"
            await connection.execute(f"CREATE ROLE {role['name']} {rights}")
        for service in SERVICES:
            await connection.execute(f"CREATE DATABASE tributary_{service} OWNER {owner}")
        rules = "".join(f"{rule}\n".replace("hostssl", "host") for rule in _CLUSTER["postgresql"]["pg_hba"])
        file = Path(await connection.fetchval("SHOW hba_file"))
        file.write_text(rules, encoding="utf-8")
        assert await connection.fetchval("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == 0
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _environment(servers: EmbeddedServers, *, role: str, home: Path, port: int) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": _url(servers, role=role),
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "TRIBUTARY_HOME": str(home),
        "TRIBUTARY_PORT": str(port),
    }


async def _ended(environment: dict[str, str], *module: str) -> tuple[int | None, str]:
    """Run a module to its end; return its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


@asynccontextmanager
async def _process(environment: dict[str, str], *arguments: str, log: Path) -> AsyncIterator[None]:
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tributary", *arguments, cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.timeout(300)
async def test_a_service_runs_on_the_rights_of_the_manifests_and_knows_its_health_in_either_role(
    tmp_path: Path,
) -> None:
    home, logs = tmp_path / "home", tmp_path
    async with EmbeddedServers(tmp_path / "servers", durable=False) as servers:
        await _as_the_operator_would(servers)
        migrated = await _ended(
            _environment(servers, role="tributary_migrate", home=home, port=0), "tributary", "migrate"
        )
        assert migrated[0] == 0, migrated[1]
        # What each API signs and verifies tokens with is there before any of them starts.
        assert (home / "keys" / "issuer.json").exists()
        serve, work = (
            _environment(servers, role="tributary_onboarding", home=home, port=port) for port in free_ports(2)
        )
        async with (
            _process(serve, "serve", "onboarding", log=logs / "serve.log"),
            _process(work, "work", "onboarding", log=logs / "work.log"),
        ):
            for environment in (serve, work):
                port = int(environment["TRIBUTARY_PORT"])
                await until(partial(_ready, port), within_s=90)
                # As the container's health check asks it.
                assert await _ended(environment, "tributary.healthy") == (0, "")
            token = await _token(int(serve["TRIBUTARY_PORT"]), home=home)
            assert token.status_code == 200, token.text
        await _rights_end_at_the_services_own_tables(servers)


async def _ready(port: int) -> bool:
    return await asyncio.to_thread(unready, port=port) == []


async def _token(port: int, *, home: Path) -> httpx.Response:
    held = json.loads((home / "administrator.json").read_text(encoding="utf-8"))
    async with httpx.AsyncClient(trust_env=False) as http:
        form = {"grant_type": "client_credentials", **held}
        return await http.post(f"http://127.0.0.1:{port}/onboarding/v1/token", data=form)


async def _rights_end_at_the_services_own_tables(servers: EmbeddedServers) -> None:
    refused = asyncpg.InvalidAuthorizationSpecificationError
    for role, database in (("tributary_credit", "tributary_settlement"), ("tributary_credit", "postgres")):
        with pytest.raises(refused):
            await asyncpg.connect(_url(servers, role=role, database=database))
    with pytest.raises(refused):
        await asyncpg.connect(servers.database_url)
    connection = await asyncpg.connect(_url(servers, role="tributary_credit", database="tributary_credit"))
    try:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
        for statement in ("CREATE TABLE mine (n int)", "DROP TABLE outbox", "TRUNCATE outbox", "CREATE DATABASE mine"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
