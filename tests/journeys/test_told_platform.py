"""A platform on which the story is told: checked meanwhile, toured by the README's blocks of shell, and left clean."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from shared.runtime.settings import Settings
from tributary.demo.drive import drive
from tributary.demo.report import Result
from tributary.demo.sample import sample_plan
from tributary.platform import Platform, running_platform
from tributary.verify.check import run_checks
from tributary.verify.command import run

README = Path(__file__).resolve().parents[2] / "README.md"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@dataclass
class _Told:
    """The platform until it is stopped, and what the checks found while the story was told."""

    platform: Platform
    stop: AsyncExitStack
    result: Result
    in_flight: int
    checked: dict[str, int]
    violated: list[object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[_Told]:
    home = tmp_path_factory.mktemp("told")
    given = {"home": home, "port": 0, "rail_timeout_seconds": 0.5, "server_url": "", "bootstrap_servers": ""}
    async with AsyncExitStack() as stop:
        settings = Settings().model_copy(update=given)
        platform = await stop.enter_async_context(running_platform(settings, durable=False))
        plan = sample_plan(today=datetime.now(UTC).date())
        story = asyncio.create_task(drive(platform.origin, home=home, plan=plan))
        in_flight, checked, violated = 0, dict[str, int](), list[object]()
        try:
            while not story.done():
                results = await run_checks(platform.settings)
                violated += [{name: each.examples} for name, each in results.items() if each.violations]
                in_flight += sum(each.flying for each in results.values())
                checked = {name: each.checked for name, each in results.items()}
                # The story should not wait for the checks, only be looked at now and then.
                await asyncio.wait({story}, timeout=1)
            yield _Told(platform, stop, await story, in_flight, checked, violated)
        finally:
            story.cancel()


async def test_while_the_story_is_told_nothing_is_violated(told: _Told) -> None:
    assert told.result.failures == []
    assert told.violated == []
    assert told.in_flight > 0, "nothing was in flight: the test shows nothing"
    assert all(told.checked.values()), told.checked


async def test_the_tour_of_the_readme_is_true(told: _Told, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    tour = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", "\n".join(blocks)),
        cwd=tmp_path,
        env={
            **os.environ,
            # Where Python has no plain name on the path, the virtual environment's serves.
            "PATH": f"{os.environ['PATH']}:{sys.prefix}/bin",
            "API": told.platform.origin,
            "TRIBUTARY_HOME": str(told.platform.settings.home),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await tour.communicate()
    said = stdout.decode()
    assert tour.returncode == 0, said[-3000:] + stderr.decode()[-3000:]
    for promised in ("can draw", '"all_in_rate"', '"state":"held"', "utilised", '"registry_reference"', '"paid_out"'):
        assert promised in said, promised
    assert "Another drawdown stands on the document" in said
    assert "I11  audit chain whole" in said


async def test_after_it_stopped_the_command_finds_nothing_violated(
    told: _Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await told.stop.aclose()
    # Nothing runs on the folder any more: the command starts its servers for the time of the check.
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRIBUTARY_HOME", str(told.platform.settings.home))
    status = await asyncio.to_thread(run, json_output=False)
    assert (status, capsys.readouterr().err) == (0, "")
