"""The checks are exact while events are in flight: the demo's story is told, and verified at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.runtime.settings import Settings
from tributary.demo.drive import drive
from tributary.demo.sample import sample_plan
from tributary.platform import running_platform
from tributary.verify.check import run_checks
from tributary.verify.command import run


async def test_while_the_story_is_told_and_after_it_stopped_nothing_is_violated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings().model_copy(update={"home": tmp_path, "port": 0, "rail_timeout_seconds": 0.5})
    in_flight, checked = 0, dict[str, int]()
    async with running_platform(settings, durable=False) as platform:
        story = asyncio.create_task(
            drive(platform.origin, home=tmp_path, plan=sample_plan(today=datetime.now(UTC).date()))
        )
        try:
            while not story.done():
                results = await run_checks(platform.settings)
                assert {name: each.examples for name, each in results.items() if each.violations} == {}
                in_flight += sum(each.flying for each in results.values())
                checked = {name: each.checked for name, each in results.items()}
                # The story should not wait for the checks, only be looked at now and then.
                await asyncio.wait({story}, timeout=1)
            assert (await story).failures == []
        finally:
            story.cancel()
    assert in_flight > 0, "nothing was in flight: the test shows nothing"
    assert all(checked.values()), checked
    # Nothing runs on the folder any more: the command starts its servers for the time of the check.
    monkeypatch.setenv("TRIBUTARY_HOME", str(tmp_path))
    status = await asyncio.to_thread(run, json_output=False)
    assert (status, capsys.readouterr().err) == (0, "")
