"""Chapter five: a payment nobody hears of, and a limit cut below its use."""

from __future__ import annotations

from typing import Any

from tributary.demo.client import Refused, until
from tributary.demo.plan import Firm
from tributary.demo.stage import Step, expect, minor, money, wire
from tributary.demo.story.drawing import draw, loan_in, paid_out, quote, reached
from tributary.demo.story.world import World

_NOSTRO = "BANK-PAYMENTS"
_RAIL_S = 60.0


async def meet_trouble(world: World) -> None:
    """Let one disbursement time out, and cut the programme's limit."""
    async with world.stage.step("a disbursement meets a rail timeout and stays unknown") as step:
        loan = await _time_out(world, step)
    async with world.stage.step("the bank's statement proves that the money went out") as step:
        await _prove(world, step, loan)
    async with world.stage.step("the programme's limit is cut below its use, by four eyes (R12)") as step:
        before = await _limits(world)
        await _cut(world, step)
    async with world.stage.step("it is raised again, and the lines follow") as step:
        await _raise(world, step, before)


async def _time_out(world: World, step: Step) -> dict[str, Any]:
    key, document_id = world.plan.roles.second, world.slots.rail["receivable_id"]
    behaviour = {"account": _account(world, key), "outcome": "silence", "count": 1}
    await world.people.administrator.put("/settlement/v1/rail/behaviours", behaviour)
    offer = await quote(world, key=key, kind="receivable", document_id=document_id)
    drawdown = await draw(world, key=key, offer=offer, kind="receivable", document_id=document_id)
    loan = await loan_in(world, drawdown["drawdown_id"], "unknown", within_s=_RAIL_S)
    held = await reached(world, drawdown["drawdown_id"], "approved")
    step.facts |= {"loan": loan, "drawdown": held}
    step.say(f"{money(held['principal'])} to {world.name(key)}: {loan['state']}; the limits stay held")
    return loan


async def _prove(world: World, step: Step, loan: dict[str, Any]) -> None:
    entry = {
        "entry_id": f"OUT-{loan['end_to_end_id']}",
        "amount": loan["paid_out"],
        "direction": "debit",
        "value_date": (await world.open_date()).isoformat(),
        "reference": "disbursement",
        "end_to_end_id": loan["end_to_end_id"],
    }
    answer = await world.maker.command("/settlement/v1/statements", {"account": _NOSTRO, "entries": [entry]})
    expect(answer["entries"][0]["outcome"] == "disbursed", f"the entry proves the payment: {answer['entries'][0]}")
    await paid_out(world, step, loan["loan_id"])
    step.say(f"statement entry {entry['entry_id']}")


async def _limits(world: World) -> dict[str, int]:
    return {line["enterprise_id"]: minor(line["cap"]) for line in await world.lines()}


async def _change(world: World, limit_minor: int, downstream_minor: int, reason: str) -> None:
    limit = wire(limit_minor, world.currency)
    body = {
        "limit": limit,
        "upstream_limit": limit,
        "downstream_limit": wire(downstream_minor, world.currency),
        "reason": reason,
    }
    proposal = await world.maker.post(f"/onboarding/v1/programmes/{world.programme_id}/limit-changes", body)
    await world.checker.post(f"/onboarding/v1/approvals/{proposal['approval_id']}/approve")


async def _programme_node(world: World) -> dict[str, Any]:
    return dict((await world.nodes())[f"programme/{world.programme_id}"])


async def _cut(world: World, step: Step) -> None:
    used = minor((await _programme_node(world))["utilised"])
    cut = used // 2
    await _change(world, cut, cut, "the anchor is on the watch list")

    async def below() -> dict[str, Any] | None:
        node = await _programme_node(world)
        return node if minor(node["sanctioned"]) == cut else None

    node = await until(below, awaited="the programme's limit is cut")
    expect(minor(node["available"]) == 0, "nothing is available")
    expect(minor(node["shortfall"]) == used - cut, "the shortfall is recorded")
    expect(minor(node["utilised"]) == used, "existing loans are untouched")
    refused = await _refused_draw(world)
    expect(refused.code == "limit_exceeded", f"a new draw is refused by the limit, not {refused.code}")
    step.facts |= {"node": node, "refused": refused.document}
    step.say(f"limit {money(node['sanctioned'])}, used {money(node['utilised'])}, short {money(node['shortfall'])}")
    level = str(refused.document["binding_node"]).split("/", 1)[0]
    step.say(f"a new draw by {world.name(world.plan.roles.first)}: {refused.code}, the {level} binds")


async def _refused_draw(world: World) -> Refused:
    key, document_id = world.plan.roles.first, world.slots.again["receivable_id"]
    line = await world.line(key)
    asked = {"line_id": line["line_id"], "principal": wire(world.major(1), world.currency)}
    try:
        await draw(world, key=key, offer=asked, kind="receivable", document_id=document_id)
    except Refused as refused:
        return refused
    expect(holds=False, what="a new draw is refused")
    raise AssertionError


async def _raise(world: World, step: Step, before: dict[str, int]) -> None:
    limit = world.plan.main.limit_minor
    await _change(world, limit, limit * 3 // 10, "off the watch list")

    async def followed() -> dict[str, int] | None:
        found = await _limits(world)
        return found if found == before else None

    await until(followed, awaited="the lines are what they were")
    step.say(f"limit {money(wire(limit, world.currency))}; {len(before)} lines are what they were")


def _account(world: World, key: str) -> str:
    found: Firm = next(firm for firm in world.plan.firms if firm.key == key)
    return found.account
