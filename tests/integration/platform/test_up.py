"""`tributary up`, the command itself: one start, one clean stop, nothing left behind, nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.messaging import until
from tributary.addresses import Addresses, read_addresses

_TRIBUTARY = [sys.executable, "-W", "ignore", "-m", "tributary"]
_FIRM = {"name": "Anchor", "country": "CN", "account": "ACC-1", "size_class": "large"}


def _environment(home: Path, *, port: int = 0) -> dict[str, str]:
    unwanted = {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TRIBUTARY_HOME": str(home), "TRIBUTARY_PORT": str(port)}


async def _start(home: Path, *arguments: str, port: int = 0, log: Path | None = None) -> asyncio.subprocess.Process:
    with (log or Path(os.devnull)).open("wb") as stream:
        return await asyncio.create_subprocess_exec(
            *_TRIBUTARY,
            *(arguments or ("up",)),
            env=_environment(home, port=port),
            stdout=asyncio.subprocess.PIPE,
            stderr=stream if log else asyncio.subprocess.PIPE,
        )


async def _until_serving(home: Path, process: asyncio.subprocess.Process, log: Path) -> Addresses:
    async with asyncio.timeout(60):
        while (found := read_addresses(home)) is None or found.pid != process.pid:
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def _up(home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Addresses]]:
    # To a file: a pipe that nobody reads would stop whoever writes a log line.
    log = _log(home)
    process = await _start(home, log=log)
    try:
        yield process, await _until_serving(home, process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _log(home: Path) -> Path:
    return home.with_name(f"{home.name}.log")


async def _sign_in(http: httpx.AsyncClient, credentials: dict[str, Any]) -> dict[str, str]:
    form = {name: credentials[name] for name in ("client_id", "client_secret")}
    answer = await http.post("/onboarding/v1/token", data=form)
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def _maker(http: httpx.AsyncClient, home: Path) -> dict[str, str]:
    administrator = await _sign_in(http, json.loads((home / "administrator.json").read_text()))
    body = {"name": "maker", "roles": ["bank_maker"], "party": None}
    made = await http.post("/onboarding/v1/identities", json=body, headers=administrator)
    return await _sign_in(http, made.json())


def _processes_naming(folder: Path) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


async def test_up_serves_everything_on_one_origin_and_stops_cleanly_within_five_seconds(tmp_path: Path) -> None:
    async with _up(tmp_path) as (process, addresses):
        assert (tmp_path / "addresses.json").stat().st_mode & 0o777 == 0o600
        async with httpx.AsyncClient(base_url=addresses.origin, timeout=60) as http:
            for service in ("onboarding", "receivables", "risk", "credit", "settlement", "console"):
                prefix = f"/{service}/v1"
                assert (await http.get(f"{prefix}/health/ready")).json()["status"] == "ready", service
                assert (await http.get(f"{prefix}/openapi.json")).status_code == 200, service
            docs = await http.get("/docs")
            assert "POST /credit/v1/drawdowns" in docs.text
            assert (await http.get("/")).headers["location"] == "/console/"
            lost = await http.get("/nowhere")
            assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
            maker = await _maker(http, tmp_path)
            async with http.stream("GET", "/console/stream", headers=maker) as stream:
                assert stream.status_code == 200
                asked_at = time.monotonic()
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 60)
                took_s = time.monotonic() - asked_at
    said = _log(tmp_path).read_text()
    assert process.returncode == 0, said
    assert took_s < 5
    assert "Traceback" not in said
    assert f"pages      {addresses.origin}/" in said
    assert read_addresses(tmp_path) is None
    assert _processes_naming(tmp_path) == []


async def test_a_killed_platform_starts_again_with_everything_it_had_confirmed(tmp_path: Path) -> None:
    async with _up(tmp_path) as (process, addresses):
        async with httpx.AsyncClient(base_url=addresses.origin, timeout=60) as http:
            maker = await _maker(http, tmp_path)
            registered = await http.post("/onboarding/v1/enterprises", json=_FIRM, headers=maker)
            assert registered.status_code == 201
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert read_addresses(tmp_path) is None
    async with _up(tmp_path) as (process, addresses):
        async with httpx.AsyncClient(base_url=addresses.origin, timeout=60) as http:
            kept = await http.get(
                f"/onboarding/v1/enterprises/{registered.json()['enterprise_id']}", headers=await _maker(http, tmp_path)
            )
            assert kept.json()["name"] == "Anchor"
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 60) == 0, _log(tmp_path).read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, Addresses]]:
    """Run a platform for the tests that leave it running; yield its folder and where it is."""
    home = tmp_path_factory.mktemp("up") / "first"
    async with _up(home) as (_, addresses):
        yield home, addresses


async def test_commands_go_on_while_kafka_is_away_and_a_server_that_dies_is_started_again(
    lasting: tuple[Path, Addresses],
) -> None:
    home, addresses = lasting
    async with httpx.AsyncClient(base_url=addresses.origin, timeout=30) as http:
        maker = await _maker(http, home)

        async def registered(name: str) -> bool:
            with suppress(httpx.TransportError):
                answer = await http.post("/onboarding/v1/enterprises", json={**_FIRM, "name": name}, headers=maker)
                return answer.status_code == 201
            return False

        async def seen(name: str) -> bool:
            with suppress(httpx.TransportError):
                feed = await http.get("/console/v1/events", params={"limit": 500}, headers=maker)
                return feed.status_code == 200 and name in feed.text
            return False

        os.kill(int((home / "kafka" / "node1" / "pid").read_text()), signal.SIGKILL)
        assert await registered("Without Kafka")
        await until(lambda: seen("Without Kafka"), within_s=60)
        os.kill(int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        await until(lambda: registered("After PostgreSQL"), within_s=60)
        await until(lambda: seen("After PostgreSQL"), within_s=60)


async def test_what_stands_in_the_way_is_one_sentence(lasting: tuple[Path, Addresses], tmp_path: Path) -> None:
    first, addresses = lasting
    port = int(addresses.origin.rpartition(":")[2])
    for home, taken, sentence in (
        (first, 0, f"{first} is in use by another Tributary"),
        (tmp_path / "second", port, f"Port {port} is taken"),
    ):
        process = await _start(home, port=taken)
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1
        assert said.decode().startswith(sentence)
        assert len(said.decode().strip().splitlines()) == 1
    shown = await _start(first, "events", "show", "nothing")
    _, said = await asyncio.wait_for(shown.communicate(), 60)
    assert (shown.returncode, said.decode().strip()) == (1, "No outbox holds an event 'nothing'.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("frobnicate",), "No such command"),
        (("kafka", "up", "--nodes", "2"), "1 or 3 nodes"),
        (("check", "no-such-file.xml"), "does not exist"),
        (("events", "republish", "nobody"), "none of the services"),
    ],
)
async def test_wrong_use_is_status_two(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    process = await _start(tmp_path, *arguments)
    out, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert out == b""


async def test_a_command_without_a_platform_says_so(tmp_path: Path) -> None:
    process = await _start(tmp_path, "events", "tail")
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert said.decode().startswith(f"No Tributary runs on {tmp_path}")


async def test_a_server_of_the_banks_own_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        *_TRIBUTARY, "up", env={**_environment(tmp_path), **away}, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert said.decode().startswith("A server or file is not as it should be: ")
    assert len(said.decode().strip().splitlines()) == 1
