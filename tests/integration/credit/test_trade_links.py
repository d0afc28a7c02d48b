"""Of all trade in a currency a propagation reads what can matter to it: step by step away from the anchor."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random

import pytest

from services.credit.operations import trade_links
from services.credit.operations.programme_facts import Facts, read_facts, read_links
from services.credit.operations.trade_links import read_trade
from shared.events.envelope import Event
from shared.storage.database import Transaction
from shared.values.ids import new_id
from tests.integration.credit.world import World

_PROGRAMME = "SELECT p.*, current_date AS today FROM programme p"


async def _facts(tx: Transaction, *, whole: bool) -> tuple[Facts, int]:
    (programme,) = await tx.pg.fetch(_PROGRAMME)
    links = await read_links(tx, currency="CNY") if whole else (await read_trade(tx, [programme]))["CNY"]
    return await read_facts(tx, programme, links=links), len(links)


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_read_of_trade_reaches_as_far_as_all_of_it(world: World, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a graph, not a secret
    firms = [world.anchor, *(new_id() for _ in range(30))]
    links: dict[str, Event] = {}
    for _ in range(random.randint(20, 90)):
        supplier, buyer = random.sample(firms, 2)
        links[f"{supplier}/{buyer}"] = world.link(supplier, buyer, traded=f"{random.randint(1, 99)}.00")
    await world.begin(max_tier=random.randint(1, 4))
    await world.hear_together(list(links.values()))
    async with world.database.reader() as tx:
        (all_of_it, many), (enough, fewer) = await _facts(tx, whole=True), await _facts(tx, whole=False)
    assert enough.reached == all_of_it.reached
    assert fewer <= many


async def test_the_trade_of_others_is_not_read(world: World) -> None:
    await world.begin()
    await world.supplier()
    strangers = [new_id() for _ in range(4)]
    await world.hear_together([world.link(*pair) for pair in pairwise(strangers)])
    async with world.database.reader() as tx:
        (_, many), (_, fewer) = await _facts(tx, whole=True), await _facts(tx, whole=False)
    assert (many, fewer) == (4, 1)


async def test_a_firms_partners_are_found_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO link (link_id, supplier_id, buyer_id, traded_minor, currency)
            SELECT n, n % 9000, n % 7000, n, 'CNY' FROM generate_series(1, 20000) AS n"""
        )
        await tx.pg.execute("ANALYZE link")
        for statement, index in ((trade_links._SUPPLIERS_OF, "link_buyer"), (trade_links._BUYERS_OF, "link_supplier")):
            asked = re.sub(r"\$2", "ARRAY['7', '8', '9']", re.sub(r"\$1", "'CNY'", statement))
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {asked}"))
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan
