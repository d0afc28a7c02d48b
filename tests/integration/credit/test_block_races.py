"""Blocks against holds, approvals and other blocks in several processes: nothing slips through or is said twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from tests.integration.credit.checks import sound
from tests.integration.credit.desk import work
from tests.integration.credit.test_races import DESKS, _free, _lives
from tests.integration.credit.world import World, cny
from tributary.verify import i09_deadlines


async def _on_blocked_lines(world: World) -> list[Any]:
    """Return what waits for its money on a blocked line, as `tributary verify` looks for it."""
    async with world.database.snapshot() as tx:
        return list(await tx.pg.fetch(i09_deadlines._BLOCKED))


async def _told(world: World, line_id: str) -> Counter[str]:
    return Counter(await world.told(line_id))


async def test_draws_of_several_processes_and_a_block_leave_nothing_waiting_on_the_blocked_line(world: World) -> None:
    await world.begin()
    firms = [await world.supplier() for _ in range(3)]
    lines = {firm: (await world.line_of(firm))["line_id"] for firm in firms}
    blocked_line, blocked_firm, open_one = firms
    orders: list[dict[str, Any]] = [
        {"do": "hold", "key": each, "party": firm, "line": lines[firm], "document": each, "principal": 1_000}
        for firm in firms
        for each in await _free(world, firm, 80)
    ]
    # Some are approved already, and stopped; some are on their way while the blocks come.
    early = [await world.held(blocked_line, "10.00") for _ in range(20)]
    await world.hear_together([world.assigned(each) for each in early[:10]])
    orders += [{"do": "approve", "drawdown": each} for each in early[10:]]
    orders += [
        {"do": "block", "scope": "line", "subject": lines[blocked_line]},
        {"do": "block", "scope": "line", "subject": lines[blocked_line]},
        {"do": "block", "scope": "firm", "subject": blocked_firm},
        {"do": "block", "scope": "firm", "subject": blocked_firm, "reference": "2"},
    ]
    dice = random.Random(30)  # noqa: S311 - which process does what, nothing secret
    dice.shuffle(orders)
    done = [each for desk in await work(world.database.url, [orders[n::DESKS] for n in range(DESKS)]) for each in desk]

    refused = Counter(each["code"] for each in done if "code" in each)
    assert refused.keys() <= {"line_not_drawable"}, refused
    blocks = {each["done"] for each in done if each["do"] == "block"}
    assert len(blocks) == 3
    assert await _on_blocked_lines(world) == []
    lives, held = (
        await _lives(world),
        {each["done"]: each["party"] for each in done if each["do"] == "hold" and "done" in each},
    )
    for drawdown_id, party in held.items():
        assert lives[drawdown_id] == (["held"] if party == open_one else ["held", "released"])
    for drawdown_id in early:
        assert lives[drawdown_id] in (["held", "released"], ["held", "approved", "cancellation_requested"])
    assert sum(party == open_one for party in held.values()) == 80
    assert (await _told(world, lines[blocked_line]))["line.blocked"] == 1
    assert (await _told(world, lines[blocked_firm]))["line.blocked"] == 2
    await sound(world)


async def test_draws_while_a_block_is_lifted_and_comes_again_wait_on_no_blocked_line(world: World) -> None:
    await world.begin(limit=cny("900000.00"))
    firm = await world.supplier()
    line = (await world.line_of(firm))["line_id"]
    documents = await _free(world, firm, 60)
    for turn in range(3):
        orders = [
            {"do": "hold", "key": each, "party": firm, "line": line, "document": each, "principal": 1_000}
            for each in documents[turn * 20 : turn * 20 + 20]
        ]
        block = {"do": "block", "scope": "line", "subject": line}
        done = [each for desk in await work(world.database.url, [orders[:10], [block], orders[10:]]) for each in desk]
        assert await _on_blocked_lines(world) == []
        (block_id,) = (each["done"] for each in done if each["do"] == "block")
        async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
            proposed = await maker.post(f"/blocks/{block_id}/lift", json={"reason": "order withdrawn"})
            answer = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert answer.status_code == 200, answer.text
    assert (await _told(world, line))["line.blocked"] == (await _told(world, line))["line.unblocked"] == 3
    await sound(world)
