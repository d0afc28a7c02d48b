"""Races between processes over one database: nothing lost, nothing double, exactly one of those who ask wins."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextvars import Context
from typing import Any

from services.credit.operations.close_drawdowns import expire_drawdowns
from shared.storage.database import Transaction
from tests.integration.credit.checks import sound
from tests.integration.credit.desk import work
from tests.integration.credit.world import World, cny

DESKS = 3
# Not pg_stat_activity: a transaction sees it as it was when it first looked.
_WAITING = """
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN (
    SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()))
"""


async def _free(world: World, supplier: str, many: int) -> list[str]:
    """Copy in confirmed receivables of a supplier; return their ids."""
    async with world.database.transaction() as tx:
        rows = await tx.pg.fetch(
            """INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state)
            SELECT 'd-' || $1 || lpad(n::text, 6, '0'), 'receivable', $1, $2, 200000, 'CNY', date '2026-06-01',
                'confirmed'
            FROM generate_series(1, $3) n RETURNING document_id""",
            supplier,
            world.anchor,
            many,
        )
    return sorted(row["document_id"] for row in rows)


async def _lives(world: World) -> dict[str, list[str]]:
    """Return what credit said of each drawdown, in order."""
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT subject, type FROM outbox WHERE topic = 'scf.credit.drawdown.v1' ORDER BY subject, sequence"
        )
    lives: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        lives[row["subject"]].append(row["type"].removeprefix("drawdown.").removesuffix(".v1"))
    return lives


async def test_r10_hundreds_of_draws_from_several_processes_on_an_almost_exhausted_limit(world: World) -> None:
    await world.begin(limit=cny("10000.00"), upstream_limit=cny("10000.00"))
    firms = [await world.supplier(traded="100.00") for _ in range(2)]
    lines = {firm: (await world.line_of(firm))["line_id"] for firm in firms}
    documents = {firm: await _free(world, firm, 240) for firm in firms}
    # 73.37 does not divide what a line may use, half of the pool: 68 fit, and a rest that is too small stays.
    orders = [
        {"do": "hold", "key": each, "party": firm, "line": lines[firm], "document": each, "principal": 7_337}
        for firm in firms
        for each in documents[firm]
    ]
    dice = random.Random(5)  # noqa: S311 - which process sends what, nothing secret
    desks: list[list[dict[str, Any]]] = [[] for _ in range(DESKS)]
    for order in orders:
        # Every fourth command is sent by two processes, as after a timeout: R19, it holds once.
        for nth in dice.sample(range(DESKS), 2 if dice.random() < 0.25 else 1):
            desks[nth].append(order)
    for desk in desks:
        dice.shuffle(desk)
    done = [each for desk in await work(world.database.url, desks) for each in desk]

    assert Counter(each.get("code", "held") for each in done).keys() == {"held", "limit_exceeded"}
    held = {each["key"]: each["done"] for each in done if "done" in each}
    assert all(held[each["key"]] == each["done"] for each in done if "done" in each)
    assert len(held) == len(set(held.values())) == 2 * 68
    async with world.database.reader() as tx:
        stored = {row["command_key"]: row["drawdown_id"] for row in await tx.pg.fetch("SELECT * FROM drawdown")}
        events = await tx.pg.fetchval("SELECT count(*) FROM outbox WHERE type = 'drawdown.held.v1'")
    assert stored == held
    assert events == len(held)
    nodes = await world.nodes()
    assert nodes[f"programme/{world.programme}"]["held"]["amount"] == "9978.32"
    assert {nodes[f"line/{line}"]["held"]["amount"] for line in lines.values()} == {"4989.16"}
    await sound(world)


async def test_of_cancel_approve_and_expire_in_several_processes_exactly_one_is_first(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = await _free(world, supplier, 90)
    held = [(await world.draw(supplier, [each], "10.00", line_id=line)).json()["drawdown_id"] for each in documents]
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE drawdown SET expires_at = clock_timestamp() WHERE drawdown_id = ANY($1)", held[:60])
    expiry = [{"do": "expire"}]
    # While those end, others draw on the same documents: whoever comes after an end finds them free again.
    again = [
        {"do": "hold", "key": f"{n}/{each}", "party": supplier, "line": line, "document": each, "principal": 1_000}
        for each in documents
        for n in range(2)
    ]
    cancel, approve = (
        [{"do": what, "drawdown": drawdown_id} for drawdown_id in held] for what in ("cancel", "approve")
    )
    desks = [cancel + again[::2], expiry + approve, again[1::2] + expiry]
    done = [each for desk in await work(world.database.url, desks) for each in desk]

    refused = Counter(each["code"] for each in done if "code" in each)
    assert refused.keys() <= {"not_possible_now", "document_in_use"}, refused
    cancelled = {each["drawdown"]: each["done"] for each in done if each["do"] == "cancel" and "done" in each}
    lives = await _lives(world)
    for drawdown_id in held:
        life, was = lives[drawdown_id], cancelled.get(drawdown_id)
        match life:
            case ["held", "released"]:
                assert was in {None, "released"}
            case ["held", "approved", "cancellation_requested"]:
                assert was == "cancelling"
            case _:
                assert (life, was) == (["held", "approved"], None)
    assert all(lives[drawdown_id] != ["held", "released"] or drawdown_id in cancelled for drawdown_id in held[60:])
    async with world.database.reader() as tx:
        twice = """SELECT count(*) FROM (SELECT e->>'document_id' FROM drawdown, jsonb_array_elements(documents) e
            WHERE state NOT IN ('released', 'repaid') GROUP BY 1 HAVING count(*) > 1) t"""
        assert await tx.pg.fetchval(twice) == 0
        states = Counter(row["state"] for row in await tx.pg.fetch("SELECT state FROM drawdown"))
    drawn = {each["done"] for each in done if each["do"] == "hold" and "done" in each}
    assert sum(states.values()) == len(held) + len(drawn)
    assert all(lives[drawdown_id] == ["held"] for drawdown_id in drawn)
    await sound(world)


async def test_expiry_looks_at_the_databases_clock_again_once_it_has_the_locks(world: World) -> None:
    await world.begin()
    drawdown = await world.held(await world.supplier(), "10.00")
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE drawdown SET expires_at = clock_timestamp()")
    async with world.database.transaction() as tx:
        await tx.pg.execute("SELECT FROM limit_node ORDER BY level, node_id FOR NO KEY UPDATE")
        expiring = asyncio.create_task(expire_drawdowns(world.database), context=Context())
        await _until_it_waits(tx)
        # It has found the drawdown and waits for its nodes; meanwhile a referral gives it more time.
        await tx.pg.execute("UPDATE drawdown SET expires_at = clock_timestamp() + interval '1 hour'")
    assert await expiring == 0
    assert (await world.drawdown(drawdown))["state"] == "held"


async def _until_it_waits(tx: Transaction) -> None:
    async with asyncio.timeout(60):
        while not await tx.pg.fetchval(_WAITING):
            await asyncio.sleep(0.01)
