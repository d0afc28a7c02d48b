"""Debts that go round are set off when every party accepts; nothing that is held by anybody ever is (R14)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.integration.settlement.netting_town import Town, town_at


@pytest.fixture
async def town(fresh_database: str, tmp_path: Path) -> AsyncIterator[Town]:
    """A book, and four firms that know one another."""
    name = f"{urlsplit(fresh_database).path[1:]}_r"
    connection = await asyncpg.connect(fresh_database)
    await connection.execute(f'CREATE DATABASE "{name}"')
    second = urlunsplit(urlsplit(fresh_database)._replace(path=f"/{name}"))
    async with town_at((fresh_database, second), tmp_path) as made:
        await made.found("A", "B", "C", "D")
        yield made
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


async def _round(town: Town) -> list[str]:
    ids = [await town.owe("A", "B", "100.00"), await town.owe("B", "C", "80.00"), await town.owe("C", "A", "60.00")]
    await town.carry()
    return ids


async def test_r14_every_leg_of_a_round_falls_equally_when_the_last_party_accepts(town: Town) -> None:
    debts = await _round(town)
    found = await town.run()
    assert (found["cleared"]["amount"], found["owed"]["amount"]) == ("180.00", "240.00")
    (netting_id,) = found["netting_ids"]
    for firm in ("A", "B"):
        assert (await town.answer(firm, netting_id)).json()["state"] == "proposed"
    await town.carry()
    assert await town.owed(*debts) == ["100.00", "80.00", "60.00"]
    assert (await town.answer("C", netting_id)).json()["state"] == "accepted"
    await town.carry()
    assert await town.owed(*debts) == ["40.00", "20.00", "0.00"]
    settled = await town.netting(netting_id)
    assert (settled["state"], settled["posting_date"]) == ("settled", "2026-01-05")
    offsets = await town.offsets()
    assert sorted(row["receivable_id"] for row in offsets) == sorted(debts)
    assert {row["amount_minor"] for row in offsets} == {60_00}
