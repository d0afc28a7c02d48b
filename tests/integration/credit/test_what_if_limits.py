"""What if a pair had a limit, a cover were worth less or gone, a guarantor failed: exactly what it then comes to."""

from __future__ import annotations

from typing import Any

import pytest

from services.credit.queries import backing
from shared.values.ids import new_id
from tests.integration.credit.pledging import VALUED, money, registered
from tests.integration.credit.test_drawing_on_cover import node, standing, step
from tests.integration.credit.test_pair_limits import limit_pair
from tests.integration.credit.test_pair_limits import standing as use_of
from tests.integration.credit.world import World, cny

SEEN = ("tier", "cap", "reserved", "available", "shortfall", "drawable", "reasons")


async def _suppose(world: World, *changes: dict[str, Any]) -> dict[str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post("/what-if", json={"changes": list(changes)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _refused(world: World, change: dict[str, Any]) -> str:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post("/what-if", json={"changes": [change]})
    assert answer.status_code == 422, answer.text
    return str(answer.json().get("reason") or answer.json()["code"])


async def _there(world: World) -> dict[str, dict[str, Any]]:
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"programme_id": world.programme})).json()["items"]
    return {line["line_id"]: {name: line[name] for name in SEEN} for line in lines}


def _after(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["line_id"]: line["after"] for line in answer["lines"]}


def _pair(world: World, seller: str, limit: str) -> dict[str, Any]:
    return {"change": "pair_limit", "seller_id": seller, "obligor_id": world.anchor, "limit": money(limit)}


async def test_a_first_limit_of_a_pair_counts_what_is_open_between_the_two(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    paid, waiting = await world.held(firm, "300.00"), await world.held(firm, "500.00")
    await world.hear(world.assigned(paid), world.disbursed(paid, "300.00"))
    await world.held(other, "100.00")
    before = await _there(world)
    roomy, tight = (
        await _suppose(world, _pair(world, firm, "1000.00")),
        await _suppose(world, _pair(world, firm, "600")),
    )
    assert await _there(world) == before
    assert roomy["frozen"] == []
    assert [(each["drawdown_id"], each["reasons"]) for each in tight["frozen"]] == [
        (waiting, [f"short:pair/{firm}/{world.anchor}/CNY"])
    ]
    await limit_pair(world, firm, "1000.00")
    assert await _there(world) == _after(roomy)
    # Another limit of the same pair, from the one that it has now.
    lower = await _suppose(world, _pair(world, firm, "600.00"))
    assert lower["frozen"] == tight["frozen"]
    await limit_pair(world, firm, "600.00")
    assert await _there(world) == _after(lower) == _after(tight)
    assert await use_of(world, f"pair/{firm}/{world.anchor}/CNY") == ("500.00", "300.00", "200.00")


async def test_a_cover_that_is_worth_less_freezes_what_waits_on_it_and_gone_secures_nothing(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = await registered(world, firm)
    paid, waiting = await world.held(firm, "86000.00"), await world.held(firm, "83000.00")
    await world.hear(world.assigned(paid), world.disbursed(paid, "86000.00"))
    change = {"change": "cover", "cover_id": cover_id}
    less = await _suppose(world, {**change, "value": money("16000.00")})
    by_share = await _suppose(world, {**change, "by": "-0.200000"})
    gone = await _suppose(world, {**change, "gone": True})
    for answer in (less, by_share, gone):
        assert [(each["drawdown_id"], each["reasons"]) for each in answer["frozen"]] == [
            (waiting, [f"short:{node(firm)}"])
        ]
    assert less["totals"] == by_share["totals"]
    losses = [each["totals"][0]["expected_loss"] for each in (less, gone)]
    was, lower, none = (float(each["amount"]) for each in (losses[0]["before"], losses[0]["after"], losses[1]["after"]))
    # The older loan keeps the 6,000.00 that it has, as long as there is so much.
    assert was == lower < none
    assert await standing(world, node(firm)) == ("10000.00", "3000.00", "6000.00", "0.00"), "nothing was touched"
    await step(world, cover_id, "value", **{**VALUED, "value": money("16000.00")})
    assert (await standing(world, node(firm)))[-1] == "1800.00"
    assert (
        float((await _suppose(world, change | {"by": "0"}))["totals"][0]["expected_loss"]["before"]["amount"]) == lower
    )
    await step(world, cover_id, "release", reason="given back")
    assert await _refused(world, {**change, "gone": True}) == "it is no registered cover"


async def test_a_guarantor_that_fails_takes_its_cover_along_also_where_it_has_no_part(world: World) -> None:
    await world.begin()
    firm, guarantor = await world.supplier(), new_id()
    await world.hear(world.firm(guarantor, name="Guarantor"))
    await registered(world, firm, kind="guarantee", asset="G-1", provider_id=guarantor)
    waiting = await world.held(firm, "86000.00")
    failed = await _suppose(world, {"change": "failure", "enterprise_id": guarantor})
    assert [(each["drawdown_id"], each["reasons"]) for each in failed["frozen"]] == [(waiting, [f"short:{node(firm)}"])]
    # The line itself stands: its documents carry what they did.
    assert _after(failed) == await _there(world)
    assert await _refused(world, {"change": "failure", "enterprise_id": new_id()}) == "it concerns no programme"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"change": "pair_limit", "limit": {"amount": "1.00", "currency": "EUR"}}, "currency_mismatch"),
        ({"change": "pair_limit", "limit": {"amount": "-1.00", "currency": "CNY"}}, "an amount is below zero"),
        ({"change": "cover", "cover_id": new_id(), "gone": True}, "it is no registered cover"),
    ],
)
async def test_what_cannot_be_supposed_of_pairs_and_covers_is_said(
    world: World, change: dict[str, Any], told: str
) -> None:
    await world.begin()
    firm = await world.supplier()
    pair = {"seller_id": firm, "obligor_id": world.anchor} if change["change"] == "pair_limit" else {}
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post(f"/programmes/{world.programme}/what-if", json={"changes": [change | pair]})
    assert answer.status_code == 422
    assert told in {answer.json()["code"], answer.json().get("reason")}
    strangers = {"change": "pair_limit", "seller_id": firm, "obligor_id": new_id(), "limit": cny("1.00").model_dump()}
    assert await _refused(world, strangers) == "it concerns no programme"


@pytest.mark.parametrize("statement", ["SHARING", "GUARANTEED"])
async def test_whom_a_cover_reaches_is_read_by_index(world: World, statement: str) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL enable_seqscan = off")
        plan = await tx.pg.fetch(f"EXPLAIN {getattr(backing, statement)}".replace("$1", "ARRAY['a', 'b']"))
    assert "Seq Scan on cover " not in "\n".join(row[0] for row in plan)
