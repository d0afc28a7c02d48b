"""What if counts collateral and guarantees: what they secure of a loan is lost at the share of their kind."""

from __future__ import annotations

from typing import Any

import pytest

from services.credit.queries import covers, securing
from tests.integration.credit.world import OPEN, World, cny


async def _registered(world: World, firm: str, **changes: Any) -> str:
    """Propose, value and register a cover, by two persons each time."""
    body = {
        "enterprise_id": firm,
        "provider_id": firm,
        "kind": "building",
        "asset": "TITLE-7",
        "description": "the plant",
        "secured": cny("50000.00").model_dump(),
        "valid_until": "2030-01-01",
        **changes,
    }
    valued = {
        "step": "value",
        "value": cny("20000.00").model_dump(),
        "prior_charges": cny("0.00").model_dump(),
        "valued_date": OPEN.isoformat(),
        "valuer": "an appraiser",
    }
    async with (
        world.bench.caller("bank_maker", subject="maker") as maker,
        world.bench.caller("bank_checker", subject="checker") as checker,
    ):
        cover_id: str = (await maker.post("/covers", json=body)).json()["cover_id"]
        for step in (valued, {"step": "register", "registry_reference": "R-1"}):
            proposed = await maker.post(f"/covers/{cover_id}/steps", json=step)
            answer = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert answer.status_code == 200, answer.text
    return cover_id


async def _paid(world: World, firm: str, principal: str, *, eligible: str) -> str:
    """Pay out a loan over a receivable of which a credit note left only so much."""
    drawdown = await world.held(firm, principal, amount="100000.00")
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, principal))
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """UPDATE document SET eligible_minor = $2
            WHERE document_id = (SELECT document_id FROM document_use WHERE drawdown_id = $1)""",
            *(drawdown, cny(eligible).minor),
        )
    return drawdown


async def _losses(world: World, *changes: dict[str, Any]) -> tuple[str, str]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post(f"/programmes/{world.programme}/what-if", json={"changes": list(changes)})
    assert answer.status_code == 200, answer.text
    loss = answer.json()["totals"]["expected_loss"]
    return loss["before"]["amount"], loss["after"]["amount"]


async def test_what_a_building_secures_is_lost_at_its_own_share(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await _paid(world, firm, "80000.00", eligible="85000.00")
    # A defaults with 0.15%; with recourse 30% is lost: 80,000.00 × 0.0015 × 0.3.
    assert await _losses(world) == ("36.00", "36.00")
    await _registered(world, firm)
    # 85,000.00 × 0.8 carry 68,000.00, the building 14,000.00 of what is lacking, 12,000.00: of that 10% is lost.
    assert (await _losses(world))[0] == f"{(68_000 * 30 + 12_000 * 10) * 15 / 10_000 / 100:.2f}"
    # An anchor that fails pays nothing: the building, at 14,000.00, stands for all of the loan.
    failure = {"change": "failure", "enterprise_id": world.anchor}
    assert (await _losses(world, failure))[1] == f"{(66_000 * 30 + 14_000 * 10) / 100:.2f}"


async def test_a_guarantee_of_a_firm_that_fails_is_worth_nothing(world: World) -> None:
    await world.begin()
    firm, guarantor = await world.supplier(), await world.supplier()
    await _paid(world, firm, "80000.00", eligible="85000.00")
    await _registered(world, firm, kind="guarantee", asset="G-1", provider_id=guarantor)
    bare, covered = 36.0, (68_000 * 30 + 12_000 * 15) * 15 / 10_000 / 100
    failure = {"change": "failure", "enterprise_id": guarantor}
    assert await _losses(world, failure) == (f"{covered:.2f}", f"{bare:.2f}")
    rated = {"change": "rating", "enterprise_id": guarantor, "notches": 2}
    assert await _losses(world, rated) == (f"{covered:.2f}", f"{covered:.2f}")


async def test_cover_is_shared_with_the_firms_loans_elsewhere_each_yuan_once(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await _paid(world, firm, "80000.00", eligible="85000.00")
    await _registered(world, firm)
    alone = float((await _losses(world))[0])
    first = world.programme
    world.programme = "01900000-0000-7000-8000-000000000001"
    await world.hear(world.activated(), world.member(firm), world.agreement(firm))
    async with world.database.transaction() as tx:
        # An older loan on another line takes the building first.
        await tx.pg.execute(
            """INSERT INTO drawdown SELECT (jsonb_populate_record(w, jsonb_build_object(
                'drawdown_id', '0', 'command_key', '0', 'programme_id', $1::text,
                'line_id', (SELECT line_id FROM line WHERE programme_id = $1)))).* FROM drawdown w""",
            world.programme,
        )
    world.programme = first
    assert float((await _losses(world))[0]) == pytest.approx(36.0)
    assert alone < 36.0


@pytest.mark.parametrize(("statement", "tables"), [("_COVERS", ("cover",)), ("LOANS", ("drawdown", "document_use"))])
async def test_covers_and_the_loans_that_they_secure_are_read_by_index(
    world: World, statement: str, tables: tuple[str, ...]
) -> None:
    asked = getattr(securing, statement, None) or getattr(covers, statement)
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute("SET LOCAL enable_seqscan = off")
        await tx.pg.execute(f"PREPARE asked AS {asked}")
        plan = await tx.pg.fetch("EXPLAIN EXECUTE asked(ARRAY['a', 'b'], 'CNY')")
    text = "\n".join(row[0] for row in plan)
    for table in tables:
        assert f"Seq Scan on {table} " not in text, text
