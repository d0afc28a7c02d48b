"""Chapter four: the anchor's credit goes deeper — a voucher to tier 2, a distributor downstream."""

from __future__ import annotations

from typing import Any

from tributary.demo.client import until
from tributary.demo.stage import Step, expect, minor, money, wire
from tributary.demo.story.drawing import draw, paid_out, prove_assignment, quote
from tributary.demo.story.world import World

_VOUCHERS = "/receivables/v1/vouchers"
_PASSED_PERCENT = 40


async def reach_further(world: World) -> None:
    """Issue a voucher, pass a slice on, draw on it; then the distributor."""
    async with world.stage.step("the anchor issues an e-voucher") as step:
        voucher = await _issue(world, step)
    async with world.stage.step("tier 1 passes a slice to tier 2") as step:
        passed = await _pass_on(world, step, voucher)
    async with world.stage.step("tier 2 draws on its slice") as step:
        await _draw_on_slice(world, step, passed["slice_id"])
    async with world.stage.step("the distributor draws; the money goes to the anchor") as step:
        await _draw_downstream(world, step)


async def _issue(world: World, step: Step) -> dict[str, Any]:
    maker = await world.people.of(world.anchor_id, "anchor_maker")
    checker = await world.people.of(world.anchor_id, "anchor_checker")
    receivable_id = world.slots.voucher["receivable_id"]
    proposal = await maker.command(_VOUCHERS, {"programme_id": world.programme_id, "receivable_id": receivable_id})
    await checker.post(f"/receivables/v1/approvals/{proposal['approval_id']}/approve")

    async def issued() -> dict[str, Any] | None:
        found = await world.maker.every(_VOUCHERS)
        return next((each for each in found if each["receivable_id"] == receivable_id), None)

    voucher = await until(issued, awaited="the voucher is issued")
    expect(len(voucher["slices"]) == 1, "one slice covers the whole face")
    step.say(f"face {money(voucher['face'])}, due {voucher['maturity_date']}, over {world.slots.voucher['number']}")
    return voucher


async def _pass_on(world: World, step: Step, voucher: dict[str, Any]) -> dict[str, Any]:
    roles = world.plan.roles
    holder, transferee = await world.sme(roles.first), await world.sme(roles.deep)
    amount_minor = minor(voucher["face"]) * _PASSED_PERCENT // 100
    path = f"{_VOUCHERS}/{voucher['root_id']}/transfers"
    offer = {
        "slice_id": voucher["slices"][0]["slice_id"],
        "amount": wire(amount_minor, world.currency),
        "transferee_id": world.ids[roles.deep],
        "trade_reference": "delivery note 55",
    }
    offered = await holder.command(path, offer)
    accepted = await transferee.command(f"{path}/{offered['transfer_id']}/accept", {})
    live = [each for each in accepted["slices"] if each["state"] == "live"]
    total = sum(each["end_minor"] - each["start_minor"] for each in live)
    expect(total == minor(voucher["face"]), "the slices still make up the face (R13)")
    passed: dict[str, Any] = next(each for each in live if each["holder_id"] == world.ids[roles.deep])
    expect(passed["end_minor"] - passed["start_minor"] == amount_minor, "tier 2 holds what was passed")
    step.facts["slices"] = live
    step.say(f"{money(offer['amount'])} of {money(voucher['face'])} to {world.name(roles.deep)}")
    return passed


async def _draw_on_slice(world: World, step: Step, slice_id: str) -> None:
    roles = world.plan.roles
    between = await world.line(roles.first)
    offer = await quote(world, key=roles.deep, kind="slice", document_id=slice_id)
    drawdown = await draw(world, key=roles.deep, offer=offer, kind="slice", document_id=slice_id)
    await paid_out(world, step, drawdown["drawdown_id"])
    await prove_assignment(world, step, drawdown["drawdown_id"])
    after = await world.line(roles.first)
    expect(after["utilised"] == between["utilised"], "tier 1's line is not used by tier 2's draw")


async def _draw_downstream(world: World, step: Step) -> None:
    key, document_id = world.plan.roles.distributor, world.slots.sale["receivable_id"]
    offer = await quote(world, key=key, kind="receivable", document_id=document_id)
    drawdown = await draw(world, key=key, offer=offer, kind="receivable", document_id=document_id)
    loan = await paid_out(world, step, drawdown["drawdown_id"])
    expect(loan["payee_id"] == world.anchor_id, "the anchor is paid, not the distributor")
    expect(loan["obligor_id"] == world.ids[key], "the distributor owes")
    step.say(f"paid to {world.name(world.plan.main.anchor)}, owed by {world.name(key)}")
