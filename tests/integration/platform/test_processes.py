"""Each API and each worker in a process of its own behind one origin: the same platform, and what ends comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shared.runtime.settings import Settings
from shared.web.issuer import Issuer
from tests.support.messaging import until
from tributary.platform import Platform, running_platform
from tributary.services import SERVICES

_FIRM = {"name": "Anchor", "country": "CN", "account": "ACC-1", "size_class": "large"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture
async def platform(home: Path) -> AsyncIterator[Platform]:
    settings = Settings.model_construct(home=home, port=0)
    async with running_platform(settings, durable=False, processes=True) as running:
        yield running


def _pids_of(platform: Platform) -> dict[tuple[str, str], int]:
    """Return (kind, service) → pid of the processes that this test's platform started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(encoding="utf-8").split("\0")
            environment = (path.parent / "environ").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if words[1:3] == ["-m", "tributary"] and f"TRIBUTARY_HOME={platform.settings.home}\0" in environment:
            found[words[3], words[4]] = int(path.parent.name)
    return found


def _tributary(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tributary", *arguments],
        env={**clean, "TRIBUTARY_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_twelve_processes_behave_as_one_platform_and_a_killed_one_comes_back(platform: Platform) -> None:
    pids = _pids_of(platform)
    assert sorted(pids) == sorted((kind, service) for kind in ("serve", "work") for service in SERVICES)
    assert platform.processes == 12
    issuer = Issuer(home=platform.settings.home, issuer="tributary", audience="tributary")
    token = issuer.issue(subject="m", roles=["bank_maker"], party=None, client_id="m")
    async with httpx.AsyncClient(
        base_url=platform.origin, timeout=60, headers={"authorization": f"Bearer {token}"}
    ) as http:
        for service in SERVICES:
            assert (await http.get(f"/{service}/v1/health/ready")).json()["status"] == "ready"
        assert "POST /credit/v1/drawdowns" in (await http.get("/docs")).text
        assert (await http.get("/")).headers["location"] == "/console/"
        lost = await http.get("/nowhere")
        assert (lost.status_code, lost.json()["code"]) == (404, "not_found")

        # A stream through the gateway shows what one service's outbox said and another's inbox took in.
        async with http.stream("GET", "/console/stream") as stream:
            made = await http.post("/onboarding/v1/enterprises", json=_FIRM)
            assert made.status_code == 201, made.text
            async for line in stream.aiter_lines():
                if made.json()["enterprise_id"] in line:
                    break

        os.kill(pids["serve", "onboarding"], signal.SIGKILL)
        os.kill(pids["work", "onboarding"], signal.SIGKILL)

        async def away() -> bool:
            answer = await http.get("/onboarding/v1/enterprises")
            if answer.status_code == 502:
                assert answer.json()["code"] == "service_away"
            return answer.status_code == 502

        await until(away)
        assert (await http.get("/credit/v1/health/ready")).status_code == 200

        async def back() -> bool:
            return (await http.get("/onboarding/v1/enterprises")).status_code == 200

        await until(back, within_s=60)
        second = (await http.post("/onboarding/v1/enterprises", json={**_FIRM, "account": "ACC-2"})).json()

        async def arrived() -> bool:
            events = await http.get("/console/v1/events", params={"limit": 100})
            return any(each["subject"] == second["enterprise_id"] for each in events.json()["items"])

        await until(arrived, within_s=60)


@pytest.mark.parametrize("command", [("serve", "treasury"), ("work", "treasury")])
def test_a_service_that_there_is_not_is_wrong_use(command: tuple[str, str], tmp_path: Path) -> None:
    done = _tributary(*command, home=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "treasury is none of the services: onboarding, receivables, risk, credit, settlement, console.\n"
    )


def test_serving_without_servers_says_what_to_set(tmp_path: Path) -> None:
    done = _tributary("serve", "credit", home=tmp_path)
    assert done.returncode == 1
    assert "set DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS" in done.stderr


def test_migrate_makes_databases_topics_and_the_first_administrator_and_may_run_again(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    servers = {"DATABASE_URL": postgres_url, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}
    for _ in range(2):
        done = _tributary("migrate", home=tmp_path, **servers)
        assert done.returncode == 0, done.stderr
    assert set(json.loads((tmp_path / "administrator.json").read_text())) >= {"client_id", "client_secret"}
