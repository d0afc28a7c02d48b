"""Play the story on a running platform."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tributary.demo.client import Refused
from tributary.demo.people import people_of
from tributary.demo.plan import Plan
from tributary.demo.report import Result
from tributary.demo.stage import Hop, Stage, Step, StoryStopped
from tributary.demo.story.deeper import reach_further
from tributary.demo.story.first_draw import draw_on_an_invoice
from tributary.demo.story.intake import take_in
from tributary.demo.story.maturity import come_due
from tributary.demo.story.opening import open_the_house
from tributary.demo.story.rounds import set_off_rounds
from tributary.demo.story.trouble import meet_trouble
from tributary.demo.story.world import World

CHAPTERS: Sequence[Callable[[World], Awaitable[None]]] = (
    open_the_house,
    take_in,
    draw_on_an_invoice,
    reach_further,
    set_off_rounds,
    meet_trouble,
    come_due,
)
_EVENTS_PAGE = 500
_LOOKS, _LOOK_S = 400, 0.15


class NotNew(RuntimeError):
    """The platform has firms already: the story needs a new data folder."""

    code: ClassVar[str] = "not_new"

    def __init__(self) -> None:
        """Say the remedy."""
        super().__init__("The demo's story needs a new data folder: this one holds firms already.")


async def drive(
    origin: str,
    *,
    home: Path,
    plan: Plan,
    told: Callable[[Step], None] = lambda _: None,
) -> Result:
    """Play the story through the HTTP API; NotNew when the platform is in use already."""
    began = time.monotonic()
    timeout = httpx.Timeout(60, connect=5)
    async with httpx.AsyncClient(base_url=origin, timeout=timeout) as http:
        world = await _begin(http, home=home, plan=plan, told=told)
        try:
            for chapter in CHAPTERS:
                await chapter(world)
        except StoryStopped:
            # The step says why; what was reached until then is shown all the same.
            pass
        result = Result(plan.title, world.stage.steps, world.intake)
        await _look_around(world, result)
        result.total_ms = round((time.monotonic() - began) * 1000)
    return result


async def _begin(http: httpx.AsyncClient, *, home: Path, plan: Plan, told: Callable[[Step], None]) -> World:
    people, stage = await people_of(http, home=home), Stage(told=told)
    if (await people.administrator.get("/onboarding/v1/enterprises", limit=1))["items"]:
        raise NotNew
    async with stage.step("the bank's people: maker, checker, risk officer") as step:
        maker = await people.bank("bank maker", "bank_maker")
        checker = await people.bank("bank checker", "bank_checker")
        risk = await people.bank("risk officer", "risk_officer")
        step.say("three persons, each with a token of its own; nobody is maker and checker at once")
    world = World(plan, people, stage, maker, checker, risk)
    stage.look = world.nodes
    return world


async def _look_around(world: World, result: Result) -> None:
    """Read what the bank sees at the end; what a service does not answer is left out."""
    try:
        result.lines = await world.risk.every("/credit/v1/lines")
        result.exposure = _top(await world.nodes())
        result.names = await _names(world, result.lines)
        income = await world.maker.get("/settlement/v1/income")
        result.income = _by_currency(income)
        _trace(result.steps, await _all_events(world))
    except Refused as refused:
        result.steps[-1].say(f"not shown: {refused}")


def _top(nodes: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    order = ("group", "programme", "obligor", "direction", "tier")
    found = [(order.index(level), node_id) for node_id in nodes if (level := node_id.split("/", 1)[0]) in order]
    return [nodes[node_id] for _, node_id in sorted(found)]


async def _names(world: World, lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what a reader calls each node."""
    firms = {world.ids[firm.key]: firm.name for firm in world.plan.firms if firm.key in world.ids}
    names = {f"line/{line['line_id']}": line["enterprise_name"] for line in lines}
    for level in ("group", "obligor"):
        names |= {f"{level}/{enterprise_id}/{world.currency}": name for enterprise_id, name in firms.items()}
    for currency, programme_id in world.programmes.items():
        names[f"programme/{programme_id}"] = currency
        for direction in ("upstream", "downstream"):
            names[f"direction/{programme_id}/{direction}"] = direction
            names |= {f"tier/{programme_id}/{direction}/{tier}": f"{direction} {tier}" for tier in (1, 2)}
    return names


def _by_currency(income: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    items = income.get("items")
    if items is None:
        return {currency: dict(each) for currency, each in income.items()}
    return {each["currency"]: {name: value for name, value in each.items() if name != "currency"} for each in items}


async def _all_events(world: World) -> list[tuple[datetime, str]]:
    """Return the events once the console has caught up: two looks see the same."""
    found = await _events(world)
    for _ in range(_LOOKS):
        await asyncio.sleep(_LOOK_S)
        again = await _events(world)
        if again == found:
            break
        found = again
    return found


async def _events(world: World) -> list[tuple[datetime, str]]:
    """Return every event that the console saw, with the time at which it happened."""
    found: list[tuple[datetime, str]] = []
    after: dict[str, str | int] = {}
    while True:
        page = await world.maker.get("/console/v1/events", limit=_EVENTS_PAGE, **after)
        for each in page["items"]:
            moment = datetime.fromisoformat(each["time"])
            found.append((moment if moment.tzinfo else moment.replace(tzinfo=UTC), each["type"].removesuffix(".v1")))
        if not page["items"] or not page.get("next"):
            return sorted(found)
        after = {"after": page["next"]}


def _trace(steps: Sequence[Step], events: Sequence[tuple[datetime, str]]) -> None:
    """Give each step the events that happened in it, in their order, and the time from the first to the last."""
    for nth, step in enumerate(steps):
        ends = steps[nth + 1].started_at if nth + 1 < len(steps) else datetime.max.replace(tzinfo=UTC)
        mine = [(moment, name) for moment, name in events if step.started_at <= moment < ends]
        first: dict[str, int] = {}
        for moment, name in mine:
            first.setdefault(name, round((moment - mine[0][0]).total_seconds() * 1000))
        step.hops = [Hop(name, count, first[name]) for name, count in Counter(name for _, name in mine).items()]
        step.hops_ms = round((mine[-1][0] - mine[0][0]).total_seconds() * 1000) if mine else 0
