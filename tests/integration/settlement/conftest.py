from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.settlement.desk import Desk, desk_at


@pytest.fixture
async def empty_desk(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(fresh_database, tmp_path) as made:
        yield made


@pytest.fixture
async def desk(empty_desk: Desk) -> Desk:
    """A desk with an open book that knows its parties."""
    await empty_desk.open()
    await empty_desk.know_parties()
    return empty_desk
