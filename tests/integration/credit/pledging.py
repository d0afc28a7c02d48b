"""Collateral and guarantees taken through their life over HTTP, by two persons."""

from __future__ import annotations

from typing import Any

import httpx

from shared.values.ids import new_id
from tests.integration.credit.world import OPEN, World


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


async def propose(world: World, firm: str, **changes: Any) -> httpx.Response:
    body = {
        "enterprise_id": firm,
        "provider_id": firm,
        "kind": "building",
        "asset": "TITLE-7",
        "description": "the plant",
        "secured": money("50000.00"),
        "valid_until": "2030-01-01",
        **changes,
    }
    async with world.bench.caller("bank_maker", subject="maker") as maker:
        return await maker.post("/covers", json=body)


async def take_step(world: World, cover_id: str, step: str, **facts: Any) -> httpx.Response:
    async with world.bench.caller("bank_maker", subject="maker") as maker:
        return await maker.post(f"/covers/{cover_id}/steps", json={"step": step, **facts})


async def approve(world: World, proposed: httpx.Response, *, subject: str = "checker") -> httpx.Response:
    assert proposed.status_code == 201, proposed.text
    async with world.bench.caller("bank_checker", subject=subject) as checker:
        return await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


VALUED: dict[str, Any] = {
    "value": money("20000.00"),
    "prior_charges": money("4000.00"),
    "valued_date": OPEN.isoformat(),
    "valuer": "an appraiser",
}


async def registered(world: World, firm: str, **changes: Any) -> str:
    valued = {**VALUED, **changes.pop("valued", {})}
    cover_id: str = (await propose(world, firm, **changes)).json()["cover_id"]
    for step, facts in (("value", valued), ("register", {"registry_reference": f"R-{cover_id[-4:]}"})):
        answer = await approve(world, await take_step(world, cover_id, step, **facts))
        assert answer.status_code == 200, answer.text
    return cover_id


async def second_line(world: World, firm: str, **changes: Any) -> str:
    """Admit a firm to a second programme of the anchor; return its line there."""
    first, world.programme = world.programme, new_id()
    await world.hear(world.activated(**changes), world.member(firm), world.agreement(firm))
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"enterprise_id": firm})).json()["items"]
    (line,) = [each["line_id"] for each in lines if each["programme_id"] != first]
    world.programme = first
    return str(line)
