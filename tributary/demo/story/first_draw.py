"""Chapter three: a supplier asks for a price and draws; nobody finances the same invoice twice."""

from __future__ import annotations

from typing import Any

from tributary.demo.client import Refused
from tributary.demo.stage import expect, minor, money
from tributary.demo.story.drawing import draw, paid_out, prove_assignment, quote, say_price
from tributary.demo.story.world import World

_IN_USE = frozenset({"document_in_use", "document_not_eligible"})


async def draw_on_an_invoice(world: World) -> None:
    """Quote, draw, and be refused the second time."""
    key, receivable = world.plan.roles.first, world.slots.main
    document = {"kind": "receivable", "document_id": receivable["receivable_id"]}
    async with world.stage.step("a supplier asks for a price") as step:
        offer = await quote(world, key=key, **document)
        say_price(step, offer)
    async with world.stage.step("it draws: documents assigned, registered, obligor notified, money out") as step:
        before = await world.line(key)
        drawdown = await draw(world, key=key, offer=offer, **document)
        world.loan_id = drawdown["drawdown_id"]
        loan = await paid_out(world, step, world.loan_id)
        await prove_assignment(world, step, world.loan_id)
        after = await world.line(key)
        used = minor(after["utilised"]) - minor(before["utilised"])
        expect(used == minor(loan["principal"]), "the line's use rose by the principal")
        step.say(f"line: {money(before['available'])} → {money(after['available'])} available")
    async with world.stage.step("a second attempt to finance the same invoice is refused") as step:
        refused = await _refused(world, key, offer, document)
        expect(refused.code in _IN_USE, f"the refusal is about the document, not {refused.code}")
        step.facts["refused"] = refused.document
        step.say(f"{refused.code}: {refused.detail}")


async def _refused(world: World, key: str, offer: dict[str, Any], document: dict[str, str]) -> Refused:
    again = {**offer, "quote_id": None}
    try:
        await draw(world, key=key, offer=again, **document)
    except Refused as refused:
        return refused
    expect(holds=False, what="the second financing is refused")
    raise AssertionError
