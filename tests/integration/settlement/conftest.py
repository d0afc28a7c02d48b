from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.settlement.desk import Desk, desk_at
from tests.integration.settlement.netting_town import Town, town_at
from tests.support.servers import beside, drop_database


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


@pytest.fixture
async def town(fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path) -> AsyncIterator[Town]:
    """A book, and four firms that know one another."""
    second = f"{unique_name}_r"
    async with town_at((fresh_database, beside(postgres_url, second)), tmp_path) as made:
        await made.found("A", "B", "C", "D")
        yield made
    await drop_database(postgres_url, second)
