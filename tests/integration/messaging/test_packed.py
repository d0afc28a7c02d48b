"""Columns sent as one text come apart in the server as they were."""

from __future__ import annotations

import pytest

from shared.storage.database import Database, packed, unpacked


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["", ""], [None], ["a", None, ""], ["NULL", "null", "{}", 'a"b', "\\", "\t\n", "发票", "x,y"]],
    ids=["none", "an empty one", "two empty ones", "an absent one", "all three", "what arrays would have to quote"],
)
async def test_texts_come_apart_as_they_were(empty_database: str, texts: list[str | None]) -> None:
    database = Database(empty_database, pool_size=1)
    async with database.reader() as tx:
        assert await tx.pg.fetchval(f"SELECT {unpacked(1)}", packed(texts)) == texts
        numbers = await tx.pg.fetchval(f"SELECT {unpacked(1, 'bigint')}", packed(["7", None, "-9000000000"]))
        assert numbers == [7, None, -9_000_000_000]
    await database.close()


async def test_a_separator_inside_a_text_moves_no_other(empty_database: str) -> None:
    database = Database(empty_database, pool_size=1)
    async with database.reader() as tx:
        found = await tx.pg.fetchval(f"SELECT {unpacked(1)}", packed(["a\x1fb", "c"]))
    assert found == ["a b", "c"]
    await database.close()
