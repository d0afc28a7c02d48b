"""A generation step by step, as workers carry it; and what may be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from services.credit.consumers import HANDLERS
from services.credit.operations.generations import carry
from services.credit.operations.generations.carry import carry_generations
from services.credit.operations.generations.prepare import lay_beside
from services.credit.operations.propagate_due import propagate_due
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseReinstated, EnterpriseSuspended, ProgrammeLimitChanged
from shared.values.ids import new_id
from shared.values.policies import policy_on
from tests.integration.credit.world import DUE, FAR, OPEN, World, cny

LESS = {"limit": cny("900.00"), "upstream_limit": cny("900.00"), "downstream_limit": cny("900.00")}
_STATE = {
    "line": "SELECT * FROM line_now ORDER BY line_id",
    "node": "SELECT node_id, level, sanctioned_minor, held_minor, utilised_minor FROM limit_node_now ORDER BY node_id",
    "programme": "SELECT programme_id, pool_minor, shortfall_minor FROM programme ORDER BY 1",
    "overuse": "SELECT node_id, until IS NULL FROM overuse ORDER BY 1, 2",
    "line history": "SELECT line_id, count(*) FROM line_history GROUP BY 1 ORDER BY 1",
    "node history": "SELECT node_id, count(*) FROM node_history GROUP BY 1 ORDER BY 1",
    "events": "SELECT subject, count(*) FROM outbox WHERE type = 'line.changed.v1' GROUP BY 1 ORDER BY 1",
}


def under_lock() -> dict[str, Any]:
    """Return the policy that every test's programme names, as it is remembered now; it says `lines_under_lock`."""
    return policy_on("propagation", on=OPEN).values


async def keep(world: World, events: Sequence[Event]) -> None:
    """Handle events of one type and commit; propagate nothing yet."""
    said = [Received(new_id(), e.type, e.topic, e.subject, 9, datetime.now(UTC), "test", None, e) for e in events]
    async with world.database.transaction() as tx:
        await HANDLERS[type(events[0])](tx, said)


async def begun(world: World) -> int:
    """Begin what is due and take its generation, as a worker does; return its number."""
    await propagate_due(world.database)
    async with world.database.transaction() as tx:
        taken = await tx.pg.fetchrow(carry._TAKE, 600.0)
    assert taken is not None
    number: int = taken["number"]
    return number


async def laid_beside(world: World, number: int) -> None:
    await lay_beside(world.database, programme_id=world.programme, number=number)


async def let_go(world: World) -> None:
    """End the claim, as if its worker were gone."""
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE generation SET claimed_until = '-infinity'")


async def carried(world: World) -> None:
    """Carry what there is and what is due, until nothing is."""
    await carry_generations(world.database)
    await propagate_due(world.database)
    await carry_generations(world.database)
    assert not await only(world, "SELECT EXISTS (SELECT FROM generation) OR EXISTS (SELECT FROM due_propagation)")


async def only(world: World, query: str) -> Any:
    async with world.database.reader() as tx:
        return await tx.pg.fetchval(query)


async def state(world: World) -> dict[str, list[dict[str, Any]]]:
    async with world.database.reader() as tx:
        return {noun: [dict(row) for row in await tx.pg.fetch(query)] for noun, query in _STATE.items()}


async def now(world: World) -> str:
    instant: datetime = await only(world, "SELECT clock_timestamp()")
    return instant.isoformat()


async def caps_as_of(world: World, firms: Sequence[str], instant: str) -> list[str]:
    found = []
    async with world.bench.caller("risk_officer") as bank:
        for firm in firms:
            line = (await world.line_of(firm))["line_id"]
            answer = (await bank.get(f"/lines/{line}/explanation", params={"as_of": instant})).json()
            own = next(each for each in answer["nodes"] if each["level"] == "line")
            assert answer["propagation"]["cap"] == own["sanctioned"]
            found.append(own["sanctioned"]["amount"])
    return found


async def seen(world: World, firms: Sequence[str]) -> dict[str, Any]:
    """Return everything that pages, explanations and what-if show of lines."""
    async with world.bench.caller("risk_officer") as bank:
        lines = [await world.line_of(each) for each in firms]
        told = [(await bank.get(f"/lines/{each['line_id']}/explanation")).json() for each in lines]
        programme = (await bank.get(f"/programmes/{world.programme}")).json()
        supposed = await bank.post(f"/programmes/{world.programme}/what-if", json={"changes": []})
    nodes = await world.nodes()
    return {
        "lines": lines,
        "told": [each["text"] for each in told],
        "reserved": programme["reserved"]["amount"],
        "nodes": {name: node["sanctioned"] for name, node in nodes.items() if not name.startswith(("sme", "obligor"))},
        "what if": (supposed.status_code, supposed.json().get("lines")),
    }


async def paper(world: World, firm: str) -> str:
    return await world.receivable(firm)


async def crowd(world: World, random: Random, *, many: int) -> list[str]:
    """Admit many firms in both directions, of all sorts, in tiers; return them."""
    await world.begin(concentration_share=random.choice(["1.000000", "0.200000"]))
    firms = [new_id() for _ in range(many)]
    amounts = ["0.00", "1.00", "70.00", "5000.00", "200000.00", "1000000.00"]
    await world.hear_together([world.firm(each) for each in firms])
    await world.hear_together(
        [world.rating(each, cap=random.choice(amounts)) for each in firms if random.random() < 0.9]
    )
    near = firms[: 1 + many // 2]
    links: list[Event] = []
    for nth, firm in enumerate(firms):
        neighbour = world.anchor if nth < len(near) else random.choice(near)
        pair = (firm, neighbour) if random.random() < 0.7 else (neighbour, firm)
        links.append(world.link(*pair, traded=f"{random.randint(1, 600_000)}.00"))
    await world.hear_together(links)
    await world.hear_together([
        world.agreement(each, committed=random.choice(["0.00", "0.00", "12.34"]), expiry=random.choice([FAR, DUE]))
        for each in firms
    ])  # fmt: skip
    await world.hear_together([
        world.member(each, direction=random.choice(["upstream", "upstream", "downstream"]), support="0.500000")
        for each in firms
    ])  # fmt: skip
    return firms


def moved(world: World, firms: Sequence[str], random: Random) -> Event:
    """Return something that moves a programme's inputs."""
    firm, amount = random.choice(firms), f"{random.randint(1, 5000)}.00"
    return random.choice([
        world.rating(firm, cap=amount, valid_until=random.choice([FAR, OPEN - timedelta(days=1)])),
        world.link(firm, world.anchor, traded=amount),
        EnterpriseSuspended(enterprise_id=firm, reason="watch list"),
        EnterpriseReinstated(enterprise_id=firm, reason="well again"),
        world.agreement(firm, committed=amount, expiry=random.choice([FAR, date(2026, 1, 1)])),
        ProgrammeLimitChanged(programme_id=world.programme, reason="other", **LESS),
    ])  # fmt: skip


async def try_to_draw(world: World, firm: str, random: Random) -> None:
    """Draw, if the line lets it."""
    await world.draw(firm, [await world.receivable(firm)], f"{random.randint(1, 500)}.00")
