"""The README's tour, run as it stands: its blocks of shell on a platform that the story was told on."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.runtime.settings import Settings
from tributary.demo.drive import drive
from tributary.demo.sample import sample_plan
from tributary.platform import Platform, running_platform

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    settings = Settings().model_copy(update={"home": tmp_path / "home", "port": 0, "rail_timeout_seconds": 0.5})
    async with running_platform(settings, durable=False) as running:
        result = await drive(running.origin, home=settings.home, plan=sample_plan(today=datetime.now(UTC).date()))
        assert result.failures == []
        yield running


async def test_the_tour_of_the_readme_is_true(platform: Platform, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    tour = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", "\n".join(blocks)),
        cwd=tmp_path,
        env={
            **os.environ,
            # Where Python has no plain name on the path, the virtual environment's serves.
            "PATH": f"{os.environ['PATH']}:{sys.prefix}/bin",
            "API": platform.origin,
            "TRIBUTARY_HOME": str(platform.settings.home),
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
