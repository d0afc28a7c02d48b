"""Chapter one: people, firms, ratings, the book, the programmes, who may draw."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from shared.values.money import MAX_MINOR
from tributary.demo.client import Refused
from tributary.demo.plan import Firm, ProgrammePlan
from tributary.demo.stage import Step, expect, money, wire
from tributary.demo.story.world import World

# grade, weight multiplier, spread, share of the programme's limit
_ANCHOR_RATING = ("AA", "1.000000", "0.004000")
_GRADES = (("A", "1.000000", "0.008000"), ("BBB", "1.000000", "0.012000"), ("BB", "0.900000", "0.018000"))
_AT_ONCE = 8
# Ratings and line agreements run this long from the story's date; an agreement is signed at most as long before it.
_TERM = timedelta(days=730)


async def open_the_house(world: World) -> None:
    """Register everybody, rate them, open the book, start the programmes."""
    async with world.stage.step("the anchor and its group, its suppliers over two tiers, its distributor") as step:
        await _register_firms(world, step)
    async with world.stage.step("the risk officer rates them") as step:
        await _rate(world, step)
    async with world.stage.step("the book is opened before the earliest invoice") as step:
        opened = await world.maker.post("/settlement/v1/book", {"opening_date": world.plan.opening.isoformat()})
        expect(opened["open_date"] == world.plan.opening.isoformat(), "the book is open on the day asked for")
        step.say(f"open on {opened['open_date']}")
    async with world.stage.step("a programme is proposed; its proposer may not approve it; another does") as step:
        for programme in world.all_programmes:
            await _start_programme(world, step, programme)
    async with world.stage.step("members are admitted, trade is evidenced, line agreements are signed") as step:
        for programme in world.all_programmes:
            await _admit(world, step, programme)


async def _register_firms(world: World, step: Step) -> None:
    heads = [firm for firm in world.plan.firms if firm.group is None]
    rest = [firm for firm in world.plan.firms if firm.group is not None]
    for group in (heads, rest):
        for begin in range(0, len(group), _AT_ONCE):
            await asyncio.gather(*(_register(world, firm) for firm in group[begin : begin + _AT_ONCE]))
    anchors = {programme.anchor for programme in world.all_programmes}
    for key in sorted(anchors):
        for role in ("anchor_maker", "anchor_checker", "erp"):
            await world.people.of(world.ids[key], role)
    roles, anchor = world.plan.roles, next(each for each in world.plan.firms if each.key == world.plan.main.anchor)
    step.say(
        f"{len(world.plan.firms)} firms; anchor {anchor.name}"
        f"{f' of {world.name(anchor.group)}' if anchor.group else ''}; "
        f"tier 1: {', '.join(world.name(key) for key in (roles.first, roles.second, roles.third))}; "
        f"tier 2: {world.name(roles.deep)}; distributor: {world.name(roles.distributor)}"
    )
    world.note_lack(step, "firms")


async def _register(world: World, firm: Firm) -> None:
    body: dict[str, Any] = {
        "name": firm.name,
        "country": firm.country,
        "legal_identifiers": dict(firm.identifiers),
        "size_class": firm.size_class,
        "account": firm.account,
        "group_head_id": world.ids[firm.group] if firm.group else None,
    }
    world.ids[firm.key] = (await world.maker.post("/onboarding/v1/enterprises", body))["enterprise_id"]


async def _rate(world: World, step: Step) -> None:
    firms = {firm.key: firm for firm in world.plan.firms}
    count = 0
    for programme in world.all_programmes:
        head = firms[programme.anchor].group
        for key in [programme.anchor, *([head] if head else [])]:
            await _post_rating(world, key, programme, _ANCHOR_RATING, min(MAX_MINOR, 5 * programme.limit_minor))
            count += 1
        for nth, (key, _) in enumerate(programme.members):
            await _post_rating(world, key, programme, _GRADES[nth % len(_GRADES)], programme.limit_minor // 2)
            count += 1
    step.say(f"{count} ratings, each with its reasons")


async def _post_rating(
    world: World, key: str, programme: ProgrammePlan, grade: tuple[str, str, str], cap_minor: int
) -> None:
    body = {
        "enterprise_id": world.ids[key],
        "grade": grade[0],
        "cap": wire(cap_minor, programme.currency),
        "multiplier": grade[1],
        "risk_spread": grade[2],
        "reasons": ["accounts of three years", "no court enforcement", "trades with the anchor"],
        "valid_until": _far(world),
    }
    await world.risk.post("/risk/v1/ratings", body)


async def _start_programme(world: World, step: Step, programme: ProgrammePlan) -> None:
    name, terms = f"{world.name(programme.anchor)} {programme.currency}"[:200], _terms(programme)
    body = {"name": name, "anchor_id": world.ids[programme.anchor], "terms": terms}
    proposed = await world.maker.post("/onboarding/v1/programmes", body)
    path = f"/onboarding/v1/approvals/{proposed['approval_id']}/approve"
    try:
        await world.maker.post(path)
    except Refused as refused:
        expect(refused.code == "own_proposal", f"the proposer is refused for being the proposer, not {refused.code}")
    else:
        expect(holds=False, what="the proposer's own approval is refused")
    await world.checker.post(path)
    world.programmes[programme.currency] = proposed["programme_id"]
    collects = terms["collection_account"]
    step.say(f"{name}: limit {money(terms['limit'])}, collected on {collects}; own approval refused: own_proposal")


def _terms(programme: ProgrammePlan) -> dict[str, Any]:
    limit = programme.limit_minor
    return {
        "currency": programme.currency,
        "limit": wire(limit, programme.currency),
        "upstream_limit": wire(limit, programme.currency),
        "downstream_limit": wire(limit * 3 // 10, programme.currency),
        "issuance_limit": wire(limit // 4, programme.currency),
        "max_tier": 2,
        "advance_rate": "0.800000",
        "concentration_share": "0.500000",
        "max_tenor_days": 180,
        "buffer_days": 5,
        "grace_days": 3,
        "recourse": True,
        "interest_payer": "seller",
        "pricing_policy": "pricing",
        "propagation_policy": "propagation",
        "auto_approve_up_to": wire(limit // 5, programme.currency),
        "cut_off": "17:00:00",
        "zone": "Asia/Shanghai",
        "collection_account": f"COLLECT-{programme.currency}",
    }


async def _admit(world: World, step: Step, programme: ProgrammePlan) -> None:
    programme_id = world.programmes[programme.currency]
    for key, direction in programme.members:
        support = "1.000000" if direction == "downstream" else "0"
        body: dict[str, Any] = {"enterprise_id": world.ids[key], "direction": direction, "anchor_support": support}
        await world.maker.post(f"/onboarding/v1/programmes/{programme_id}/members", body)
    for trade in programme.trades:
        body = {
            "supplier_id": world.ids[trade.supplier],
            "buyer_id": world.ids[trade.buyer],
            "traded": wire(trade.traded_minor, programme.currency),
            "contract": f"C-{trade.supplier}-{trade.buyer}"[:200],
        }
        await world.maker.post("/onboarding/v1/links", body)
    members = [key for key, _ in programme.members]
    for begin in range(0, len(members), _AT_ONCE):
        await asyncio.gather(*(_sign(world, key, programme) for key in members[begin : begin + _AT_ONCE]))
    supported = [world.name(key) for key, direction in programme.members if direction == "downstream"]
    step.say(f"{programme.currency}: {len(members)} members, {len(programme.trades)} links")
    if supported:
        step.say(f"{', '.join(supported)} with the anchor's full support")


async def _sign(world: World, key: str, programme: ProgrammePlan) -> None:
    sme = await world.sme(key)
    body = {
        "programme_id": world.programmes[programme.currency],
        "signed_date": max(world.plan.opening, world.plan.story_date - _TERM).isoformat(),
        "expiry_date": _far(world),
        "committed": wire(0, programme.currency),
    }
    await sme.post(f"/onboarding/v1/enterprises/{world.ids[key]}/line-agreements", body)


def _far(world: World) -> str:
    return (world.plan.story_date + _TERM).isoformat()
