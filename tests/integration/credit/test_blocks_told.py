"""What is told of blocks, and to whom: the bank who, when and why, also of the past; the firm that there is one."""

from __future__ import annotations

import json
from typing import Any

from services.credit.domain.blocks import Cause, Target
from services.credit.operations import block_lines, line_terms
from services.credit.operations.block_lines import block
from services.credit.queries.blocks import _NAMED, _OF_FIRM, _OF_LINE, _STANDING, _THEN
from shared.runtime.clock import database_now
from shared.values.ids import new_id
from tests.integration.credit.world import World

_CAUSE = Cause(reason="court_order", by="officer-7", note="served on the seller", reference="(2026) 17")


async def _blocked(world: World, firm: str, **changes: Any) -> tuple[str, str]:
    """Block a firm's line; return the line and the block."""
    line_id: str = (await world.line_of(firm))["line_id"]
    cause = Cause(**{**{name: getattr(_CAUSE, name) for name in Cause.__slots__}, **changes})
    (block_id,) = await block(world.database, targets=[Target("line", line_id)], cause=cause)
    return line_id, block_id


async def _lift(world: World, block_id: str) -> None:
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        approval = (await maker.post(f"/blocks/{block_id}/lift", json={"reason": "withdrawn"})).json()["approval_id"]
        assert (await checker.post(f"/approvals/{approval}/approve")).status_code == 200


async def _now(world: World) -> str:
    async with world.database.reader() as tx:
        return (await database_now(tx)).isoformat()


async def _explained(world: World, line_id: str, **query: str) -> dict[str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.get(f"/lines/{line_id}/explanation", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_bank_reads_who_blocked_a_line_when_and_why_in_both_languages(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line_id, block_id = await _blocked(world, firm)
    async with world.bench.caller("risk_officer") as bank:
        (shown,) = (await bank.get(f"/lines/{line_id}")).json()["blocks"]
    assert (shown["scope"], shown["blocked_by"], shown["reference"]) == ("line", "officer-7", "(2026) 17")
    day = f"{shown['blocked_at'][:10]} {shown['blocked_at'][11:16]}"
    reason = "court or enforcement order"
    english = (await _explained(world, line_id, language="en"))["text"].split("\n")[-2:]
    assert english == [
        "It cannot be drawn now: the line is blocked.",
        f"Since {day} UTC the line is blocked by officer-7, {reason} ((2026) 17): served on the seller",
    ]
    chinese = (await _explained(world, line_id, language="zh"))["text"].split("\n")[-2:]
    assert chinese == [
        "目前不可提款：本额度已冻结。",
        f"自 {day}（UTC）起本额度已冻结，由 officer-7 决定，司法冻结（(2026) 17）：served on the seller",
    ]
    async with world.database.reader() as tx:
        entry = await tx.pg.fetchrow("SELECT actor, action, facts FROM audit WHERE subject = $1", line_id)
    assert entry is not None
    assert (entry["actor"], entry["action"]) == ("officer-7", "line.blocked")
    assert json.loads(entry["facts"])["block_id"] == block_id


async def test_r23_the_firm_sees_that_its_line_is_blocked_and_neither_why_nor_by_whom(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    held = await world.held(firm, "10.00")
    line_id, _ = await _blocked(world, firm, reason="fraud_suspected")
    async with world.bench.caller("sme", party=firm) as sme:
        line = await sme.get(f"/lines/{line_id}")
        why = await sme.get(f"/lines/{line_id}/explanation")
        drawdown = await sme.get(f"/drawdowns/{held}")
        assert (await sme.get("/blocks")).status_code == 403
        assert (await sme.get("/block-reasons")).status_code == 403
    refused = await world.draw(firm, [await world.receivable(firm)], "1.00")
    assert line.json()["reasons"] == ["line_blocked"]
    assert "the line is blocked" in why.json()["text"]
    assert drawdown.json()["reason"] == "line_blocked"
    for answer in (line, why, drawdown, refused):
        assert not any(secret in answer.text for secret in ("officer-7", "fraud", "served on", "(2026) 17"))


async def test_the_past_is_explained_with_the_blocks_that_stood_then(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    before = await _now(world)
    line_id, first = await _blocked(world, firm)
    during = await _now(world)
    (second,) = await block(world.database, targets=[Target("firm", firm)], cause=_CAUSE)
    both = await _now(world)
    await _lift(world, first)
    one = await _now(world)
    await _lift(world, second)
    seen = []
    for instant in (before, during, both, one, await _now(world)):
        found = await _explained(world, line_id, as_of=instant)
        seen.append((found["line"]["reasons"], [each["scope"] for each in found["blocks"]]))
    assert seen == [
        ([], []),
        (["line_blocked"], ["line"]),
        (["line_blocked", "firm_blocked"], ["line", "firm"]),
        (["firm_blocked"], ["firm"]),
        ([], []),
    ]


async def test_blocks_are_listed_page_by_page_of_all_of_a_line_and_of_a_firm(world: World) -> None:
    await world.begin()
    first, second = await world.supplier(), await world.supplier()
    line, on_line = await _blocked(world, first)
    (on_firm,) = await block(world.database, targets=[Target("firm", first)], cause=_CAUSE)
    _, elsewhere = await _blocked(world, second)
    await _lift(world, on_firm)
    async with world.bench.caller("bank_checker") as bank:

        async def listed(**query: Any) -> list[str]:
            found, cursor = [], None
            while True:
                params = {**query, "limit": 1} | ({"cursor": cursor} if cursor else {})
                answer = (await bank.get("/blocks", params=params)).json()
                found += [each["block_id"] for each in answer["items"]]
                cursor = answer["next"]
                if cursor is None:
                    return found

        assert await listed() == [on_line, elsewhere]
        assert await listed(lifted=True) == [on_line, on_firm, elsewhere]
        assert await listed(line_id=line) == [on_line]
        assert await listed(line_id=line, lifted=True) == [on_line, on_firm]
        assert await listed(enterprise_id=first, lifted=True) == [on_line, on_firm]
        assert await listed(enterprise_id=second) == [elsewhere]
        assert await listed(enterprise_id=new_id()) == []
        codes = (await bank.get("/block-reasons")).json()
    assert codes["policy_version"] == "blocks/2000-01"
    assert {"code": "court_order", "en": "court or enforcement order", "zh": "司法冻结"} in codes["items"]


async def test_blocks_are_found_by_index_among_very_many(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO block (block_id, scope, subject, reason, reference, note, policy_version, blocked_by,
                lifted_by, lifted_at, lift_reason)
            SELECT 'b' || n, 'line', 's' || n % 5000, 'other', n::text, '', '', '',
                CASE WHEN n % 50 > 0 THEN ARRAY['a', 'b'] END, CASE WHEN n % 50 > 0 THEN now() END,
                CASE WHEN n % 50 > 0 THEN '' END FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE block")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        read = (_STANDING, _OF_LINE, _OF_FIRM, _NAMED, _THEN, line_terms._READ)
        decided = (block_lines._STANDING, block_lines._LINES, block_lines._FIRM_BLOCKS, block_lines._LIFT)
        for nth, statement in enumerate((*read, *decided)):
            await tx.pg.execute(f"PREPARE listed{nth} AS {statement}")
            arguments = ", ".join(["NULL"] * max(n for n in range(1, 5) if f"${n}" in statement))
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN EXECUTE listed{nth}({arguments})"))
            assert "Seq Scan on block" not in plan, plan
