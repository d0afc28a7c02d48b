"""What keeps a process responsive and honest: offloaded work, supervised jobs, settings from our names only."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.risk.main import build
from shared.runtime.jobs import Jobs, Unrecoverable, being_restarted, down_for_good
from shared.runtime.offload import close_offload, offload
from shared.runtime.settings import Settings
from shared.values.ids import new_id
from shared.web import serving
from tests.support.messaging import until
from tests.support.service import bench, settings_for


async def test_heavy_work_leaves_the_loop_free() -> None:
    assert await offload(os.getpid) != os.getpid()
    longest, working = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while working:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    started = time.monotonic()
    assert await offload(sum, range(50_000_000)) == 1_249_999_975_000_000
    took = time.monotonic() - started
    working = False
    await watching
    close_offload()
    # In a thread, this sum would hold the interpreter from its first number to its last.
    assert longest < took / 3


async def test_a_failing_job_is_restarted_and_told_and_one_beyond_help_makes_the_service_unready(
    fresh_database: str, tmp_path: Path
) -> None:
    stop, attempts = asyncio.Event(), 0

    async def flaky() -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionError

    async def hopeless() -> None:
        message = "the topic was lost"
        raise Unrecoverable(message)

    async def both_are_told() -> bool:
        return attempts > 1 and bool(being_restarted("risk")) and bool(down_for_good("risk"))

    async with bench("risk", build, url=fresh_database, home=tmp_path) as risk:
        anybody = httpx.AsyncClient(transport=httpx.ASGITransport(risk.app), base_url="http://test/risk/v1")
        assert (await anybody.get("/health/ready")).status_code == 200
        working = asyncio.create_task(Jobs().supervise({"risk/flaky": flaky, "risk/hopeless": hopeless}, stop=stop))
        await until(both_are_told)
        answer = await anybody.get("/health/ready")
        stop.set()
        await working
        recovered = await anybody.get("/health/ready")
        await anybody.aclose()
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unready",
        "problems": {"risk/hopeless": "the topic was lost"},
        "restarting": {"risk/flaky": "ConnectionError"},
        "broker": "away",
    }
    assert (recovered.status_code, recovered.json()["problems"]) == (200, {})
    assert being_restarted("onboarding") == {}


def test_settings_come_from_our_own_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": "/root", "PORT": "1", "HOST": "elsewhere", "ISSUER": "somebody"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRIBUTARY_PORT", "8123")
    monkeypatch.delenv("TRIBUTARY_HOME", raising=False)
    settings = Settings()
    assert (settings.home, settings.port, settings.host) == (Path(".tributary"), 8123, "127.0.0.1")
    assert settings.issuer == "tributary"


async def test_a_database_that_is_away_is_a_503_that_invites_to_come_again(tmp_path: Path) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    app = build(settings_for(url=nobody, home=tmp_path))
    token = app.fastapi.state.issuer.issue(subject="o", roles=["risk_officer"], party=None, client_id="o")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/risk/v1") as officer:
        answer = await officer.get(f"/ratings/{new_id()}", headers={"authorization": f"Bearer {token}"})
        ready = await officer.get("/health/ready")
    await app.aclose()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert (ready.status_code, set(ready.json()["problems"])) == (503, {"database"})


async def test_a_server_keeps_a_resting_connection_longer_than_clients_do(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[float] = []

    class Watched(serving.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            kept.append(config.timeout_keep_alive)
            super().__init__(config)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(serving, "Server", Watched)
    listener, stop, ready = serving.listen(host="127.0.0.1", port=0), asyncio.Event(), asyncio.Event()
    serve = asyncio.create_task(serving.serve(app, listener=listener, stop=stop, ready=ready))
    await asyncio.wait_for(ready.wait(), 60)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as http:
        assert (await http.get("/")).headers.get("connection") != "close"
    stop.set()
    await serve
    [server_s], client_s = kept, httpx.Limits().keepalive_expiry
    # Were they equal, a request could meet the server's goodbye on its way.
    assert client_s is not None
    assert server_s > 2 * client_s
