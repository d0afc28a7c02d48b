"""Between two chapters: firms that owe one another in a round set that off, and none of them needs money for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tributary.demo.client import until
from tributary.demo.stage import Step, expect, money, wire
from tributary.demo.story.world import World

_OBLIGATIONS, _NETTING = "/receivables/v1/obligations", "/settlement/v1/netting"
_OWED = (90_000, 70_000, 50_000)  # whole units of the story's currency


async def set_off_rounds(world: World) -> None:
    """Register a round of debts, net it, have every party accept."""
    async with world.stage.step("suppliers set off what goes round among them") as step:
        debts = await _owe_in_a_round(world)
        settled = await _net(world, step, debts)
        await _check(world, step, debts, settled)


async def _owe_in_a_round(world: World) -> list[str]:
    """Have each debtor register its debt and each creditor say the same; return the receivables."""
    roles = world.plan.roles
    firms = list(dict.fromkeys((roles.first, roles.second, roles.third)))
    issued = await world.open_date()
    debts = []
    for nth, debtor in enumerate(firms):
        creditor = firms[(nth + 1) % len(firms)]
        stated = {
            "debtor_id": world.ids[debtor],
            "creditor_id": world.ids[creditor],
            "amount": wire(world.major(_OWED[nth]), world.currency),
            "number": f"round {nth + 1}",
            "issue_date": issued.isoformat(),
            "due_date": (issued + timedelta(days=30)).isoformat(),
        }
        debt = await (await world.sme(debtor)).post(_OBLIGATIONS, stated)
        said = await (await world.sme(creditor)).post(
            f"/receivables/v1/receivables/{debt['receivable_id']}/acknowledgements"
        )
        expect(said["acknowledged"], "both sides acknowledge the debt")
        debts.append(str(debt["receivable_id"]))
    return debts


async def _net(world: World, step: Step, debts: list[str]) -> dict[str, Any]:
    """Run a netting among the firms, accept for each, and wait until it is settled."""
    legs = [await world.maker.get(f"/receivables/v1/receivables/{each}") for each in debts]
    firms = [leg["obligor_id"] for leg in legs]

    async def known() -> bool | None:
        found = await world.maker.every(f"{_NETTING}/obligations")
        return True if {each["receivable_id"] for each in found if each["is_free"]} >= set(debts) else None

    await until(known, awaited="settlement knows the debts")
    run = await world.maker.command(f"{_NETTING}/runs", {"currency": world.currency, "enterprise_ids": firms})
    expect(len(run["netting_ids"]) == 1, "one proposal holds the round")
    path = f"{_NETTING}/proposals/{run['netting_ids'][0]}"
    for firm in firms:
        await (await world.people.of(firm, "sme")).post(f"{path}/acceptance")

    async def settled() -> dict[str, Any] | None:
        found = await world.maker.get(path)
        return found if found["state"] == "settled" else None

    found = await until(settled, awaited="every leg fell")
    step.facts["netting"] = found
    return found


async def _check(world: World, step: Step, debts: list[str], settled: dict[str, Any]) -> None:
    left = [await world.maker.get(f"/receivables/v1/receivables/{each}") for each in debts]
    fell = {money(leg["amount"]) for leg in settled["all_legs"]}
    expect(len(fell) == 1, "every leg falls by the same amount (R14)")
    expect(left[-1]["state"] == "settled", "the smallest debt is gone")
    step.say(f"{money(settled['cleared'])} of debts cleared without money: each of {len(debts)} fell by {fell.pop()}")
