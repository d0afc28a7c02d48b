"""Chapter six: due dates, a part paid on time, the rest after grace, and the line revolves."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tributary.demo.client import until
from tributary.demo.stage import Step, expect, minor, money, wire
from tributary.demo.story.drawing import assigned, draw, loan_in, paid_out, quote, reached
from tributary.demo.story.world import World

_PART_PERCENT = 30
_LATE_DAYS = 10


async def come_due(world: World) -> None:
    """Close days to maturity, collect in two parts, draw again."""
    due = date.fromisoformat(world.slots.main["due_date"])
    payable = minor(world.slots.main["payable"])
    async with world.stage.step("business days are closed up to the due date; the anchor pays a part") as step:
        days = await world.close_days(up_to=due - timedelta(days=1))
        step.say(f"{days} days closed")
        loan = await loan_in(world, world.loan_id, "disbursed")
        part = min(payable * _PART_PERCENT // 100, minor(loan["outstanding"]) // 2)
        await _pay_part(world, step, part)
    async with world.stage.step("days go on past maturity and grace; the rest comes late, with a penalty") as step:
        loan = await loan_in(world, world.loan_id, "disbursed")
        late = date.fromisoformat(loan["maturity_date"]) + timedelta(days=loan["grace_days"] + _LATE_DAYS)
        days = await world.close_days(up_to=late - timedelta(days=1))
        step.say(f"{days} days closed; open is {await world.open_date()}")
        await _pay_rest(world, step, payable - part)
    async with world.stage.step("the line revolves: a new draw succeeds") as step:
        await _draw_again(world, step)


async def _pay_part(world: World, step: Step, part: int) -> None:
    before = await loan_in(world, world.loan_id, "disbursed")
    entry = await _collect(world, part, "part")
    expect(minor(entry["interest"]) > 0, "interest is paid before principal")
    expect(minor(entry["penalty"]) == 0, "nothing is late yet")
    step.facts |= {"before": before, "entry": entry, "value_date": str(await world.open_date())}
    after = await _repaid(world, minor(before["outstanding"]) - minor(entry["principal"]))
    _say_waterfall(step, entry)
    step.say(f"outstanding {money(before['outstanding'])} → {money(after['outstanding'])}")


async def _pay_rest(world: World, step: Step, rest: int) -> None:
    before = await loan_in(world, world.loan_id, "disbursed")
    expect(before["days_past_due"] > 0, "the loan is past due")
    line = await world.line(world.plan.roles.first)
    entry = await _collect(world, rest, "rest")
    expect(minor(entry["penalty"]) > 0, "a penalty is due after grace")
    expect(entry["principal"] == before["outstanding"], "all principal is repaid")
    expect(minor(entry["surplus"]) > 0, "with recourse the surplus is the seller's (R17)")
    step.facts |= {"before": before, "entry": entry, "value_date": str(await world.open_date())}
    await reached(world, world.loan_id, "repaid")
    await loan_in(world, world.loan_id, "closed")
    await assigned(world, world.loan_id, "settled")
    after = await world.line(world.plan.roles.first)
    freed = minor(line["utilised"]) - minor(after["utilised"])
    expect(freed == minor(entry["principal"]), "the principal is available again (R11)")
    step.say(f"{before['days_past_due']} days past due")
    _say_waterfall(step, entry)
    step.say(f"surplus to {world.name(world.plan.roles.first)}: {money(entry['surplus'])}")
    step.say(f"line: {money(line['available'])} → {money(after['available'])} available")


async def _collect(world: World, amount_minor: int, label: str) -> dict[str, Any]:
    entry = {
        "entry_id": f"IN-{label}",
        "amount": wire(amount_minor, world.currency),
        "direction": "credit",
        "value_date": (await world.open_date()).isoformat(),
        "reference": world.loan_id,
        "end_to_end_id": None,
    }
    account = f"COLLECT-{world.currency}"
    answer = await world.maker.command("/settlement/v1/statements", {"account": account, "entries": [entry]})
    found: dict[str, Any] = answer["entries"][0]
    expect(found["outcome"] == "collected", f"the payment is matched to the loan: {found}")
    parts = ("costs", "penalty", "interest", "principal", "surplus", "excess")
    total = sum(minor(found[name]) for name in parts if found.get(name))
    expect(total == amount_minor, "the allocations add up to the receipt (R5)")
    return found


async def _repaid(world: World, outstanding: int) -> dict[str, Any]:
    """Return the drawdown once credit has reinstated what was repaid."""

    async def look() -> dict[str, Any] | None:
        found = await world.maker.get(f"/credit/v1/drawdowns/{world.loan_id}")
        return found if minor(found["outstanding"]) == outstanding else None

    return await until(look, awaited="credit reinstates the repaid principal")


def _say_waterfall(step: Step, entry: dict[str, Any]) -> None:
    parts = ("costs", "penalty", "interest", "principal")
    step.say(", ".join(f"{name} {money(entry[name])}" for name in parts if entry.get(name) and minor(entry[name])))


async def _draw_again(world: World, step: Step) -> None:
    key, document_id = world.plan.roles.first, world.slots.again["receivable_id"]
    offer = await quote(world, key=key, kind="receivable", document_id=document_id)
    drawdown = await draw(world, key=key, offer=offer, kind="receivable", document_id=document_id)
    await paid_out(world, step, drawdown["drawdown_id"])
    line = await world.line(key)
    step.say(f"line: {money(line['utilised'])} used, {money(line['available'])} available")
