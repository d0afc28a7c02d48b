"""Temporary increases: more for some business days, then as before (R12)."""

from __future__ import annotations

from datetime import date, timedelta

from shared.events.envelope import Event
from shared.events.onboarding import ProgrammeLimitIncreased
from shared.events.settlement import BusinessDayClosed
from shared.values.ids import new_id
from tests.integration.credit.world import OPEN, World, cny

_FIRST, _LAST = OPEN + timedelta(days=1), OPEN + timedelta(days=3)


def _increase(world: World, *, limit: str = "50000.00", first: date = _FIRST, last: date = _LAST) -> Event:
    return ProgrammeLimitIncreased(
        programme_id=world.programme,
        increase_id=new_id(),
        limit=cny(limit),
        upstream_limit=cny(limit),
        downstream_limit=cny("0.00"),
        valid_from=first,
        valid_until=last,
        reason="the season",
    )


async def _limits(world: World) -> tuple[str, str]:
    async with world.bench.caller("bank_maker") as bank:
        found = (await bank.get(f"/programmes/{world.programme}")).json()
        nodes = (await bank.get(f"/nodes?programme_id={world.programme}")).json()["items"]
    sanctioned = {node["node_id"]: node["sanctioned"]["amount"] for node in nodes}
    assert sanctioned[f"programme/{world.programme}"] == found["limit"]["amount"]
    assert found["agreed_limit"]["amount"] == "1000000.00"
    return found["limit"]["amount"], sanctioned[f"direction/{world.programme}/upstream"]


async def _opens(world: World, day: date) -> None:
    await world.hear(BusinessDayClosed(closed_date=day - timedelta(days=1), open_date=day))


async def test_r12_an_increase_counts_on_its_business_dates_and_on_no_other(world: World) -> None:
    await world.begin()
    await world.hear(_increase(world))
    seen = [await _limits(world)]
    for day in range(1, 5):
        await _opens(world, OPEN + timedelta(days=day))
        seen.append(await _limits(world))
    agreed, more = ("1000000.00", "1000000.00"), ("1050000.00", "1050000.00")
    assert seen == [agreed, more, more, more, agreed]


async def test_r12_what_was_drawn_on_an_increase_stays_and_is_short_when_it_ends(world: World) -> None:
    await world.begin(**dict.fromkeys(("limit", "upstream_limit", "downstream_limit"), cny("50000.00")))
    await world.hear(_increase(world, limit="30000.00", first=OPEN, last=OPEN))
    supplier = await world.supplier()
    await world.held(supplier, "70000.00")
    await _opens(world, _FIRST)
    async with world.bench.caller("bank_maker") as bank:
        found = (await bank.get(f"/programmes/{world.programme}")).json()
    assert (found["limit"]["amount"], found["shortfall"]["amount"]) == ("50000.00", "20000.00")


async def test_two_increases_at_once_add_up_and_one_that_comes_twice_counts_once(world: World) -> None:
    await world.begin()
    first, second = _increase(world, first=OPEN), _increase(world, first=OPEN)
    await world.hear(first, second)
    await world.hear(first)
    assert await _limits(world) == ("1100000.00", "1100000.00")
