from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.credit.main import build
from tests.integration.credit.world import World
from tests.support.service import bench


@pytest.fixture
async def world(fresh_database: str, tmp_path: Path) -> AsyncIterator[World]:
    async with bench("credit", build, url=fresh_database, home=tmp_path) as made:
        yield World(made)
