"""Collateral and guarantees over HTTP: two persons take them through their life, and each yuan secures one loan."""

from __future__ import annotations

from typing import Any

import pytest

from shared.values.ids import new_id
from tests.integration.credit.pledging import VALUED, approve, money, propose, registered, take_step
from tests.integration.credit.world import World


async def _cover_of(world: World, firm: str) -> dict[str, Any]:
    async with world.bench.caller("sme", party=firm) as sme:
        answer = await sme.get(f"/enterprises/{firm}/cover")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_r22_a_cover_is_valued_and_registered_by_two_persons_and_carries_what_its_haircut_leaves(
    world: World,
) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = (await propose(world, firm)).json()["cover_id"]
    valued = await take_step(world, cover_id, "value", **VALUED)
    alone = await approve(world, valued, subject="maker")
    assert alone.json()["code"] == "own_proposal"
    assert (await approve(world, valued)).status_code == 200
    assert (await _cover_of(world, firm))["covers"] == []
    registered = await take_step(world, cover_id, "register", registry_reference="R-1")
    assert (await approve(world, registered)).status_code == 200
    found = await _cover_of(world, firm)
    # 20,000.00 less 30% less 4,000.00 of prior charges.
    assert [each["lending_value"]["amount"] for each in found["covers"]] == ["10000.00"]
    assert found["policy_version"] == "cover/2000-01"
    async with world.bench.caller("risk_officer") as bank:
        told = (await bank.get(f"/covers/{cover_id}")).json()
    assert (told["state"], told["value"]["amount"], told["registry_reference"]) == ("registered", "20000.00", "R-1")


async def test_each_loan_states_what_its_documents_carry_what_cover_does_and_what_nothing_does(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = await registered(world, firm)
    first = await world.held(firm, "88000.00", amount="100000.00")
    second = await world.held(firm, "8000.00", amount="10000.00")
    async with world.database.transaction() as tx:
        # Credit notes took what the documents carry: dilution takes no cover by itself, it is a deficiency (R6).
        for drawdown, eligible in ((first, 8_500_000), (second, 500_000)):
            await tx.pg.execute(
                """UPDATE document SET eligible_minor = $2
                WHERE document_id = (SELECT document_id FROM document_use WHERE drawdown_id = $1)""",
                *(drawdown, eligible),
            )
    found = await _cover_of(world, firm)
    told = {
        each["drawdown_id"]: tuple(each[name]["amount"] for name in ("on_documents", "on_cover", "uncovered"))
        for each in found["drawdowns"]
    }
    assert told == {first: ("68000.00", "8000.00", "12000.00"), second: ("4000.00", "0.00", "4000.00")}
    assert found["drawdowns"][0]["covers"] == [{"cover_id": cover_id, "amount": money("8000.00")}]
    assert found["covers"][0]["left"]["amount"] == "2000.00"
    assert [each["unused_support"]["amount"] for each in found["lines"]] == ["2000.00"]
    alone = await world.drawdown(first)
    assert (alone["on_cover"], alone["covers"]) == (money("8000.00"), found["drawdowns"][0]["covers"])


async def test_a_released_cover_carries_nothing_and_its_rank_is_free_again(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    first = await registered(world, firm)
    second = (await propose(world, other)).json()["cover_id"]
    await approve(world, await take_step(world, second, "value", **VALUED))
    register = {"registry_reference": "R-2"}
    refused = await approve(world, await take_step(world, second, "register", **register))
    assert (refused.status_code, refused.json()["code"], refused.json()["reason"]) == (
        409,
        "cover_step_not_possible",
        "rank_taken",
    )
    assert (await approve(world, await take_step(world, first, "release", reason="paid"))).status_code == 200
    assert (await _cover_of(world, firm))["covers"] == []
    assert (await approve(world, await take_step(world, second, "register", **register))).status_code == 200
    ended = await take_step(world, first, "enforce", reason="too late")
    assert (ended.status_code, ended.json()["reason"]) == (409, "it_is_released")


async def test_charges_of_two_firms_on_one_asset_share_it_by_rank(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    await registered(world, firm, secured=money("7000.00"))
    await registered(world, other, rank=2)
    assert (await _cover_of(world, firm))["covers"][0]["lending_value"]["amount"] == "7000.00"
    assert (await _cover_of(world, other))["covers"][0]["lending_value"]["amount"] == "3000.00"


async def test_a_step_proposed_on_what_has_changed_since_is_not_taken(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = (await propose(world, firm)).json()["cover_id"]
    early = await take_step(world, cover_id, "value", **VALUED)
    later = await take_step(world, cover_id, "value", **{**VALUED, "value": money("30000.00")})
    assert (await approve(world, later)).status_code == 200
    refused = await approve(world, early)
    assert (refused.status_code, refused.json()["reason"]) == (409, "changed_since")


async def test_r23_a_firm_sees_the_cover_of_its_own_loans_only(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = await registered(world, firm)
    async with world.bench.caller("sme", party=firm) as sme:
        assert [each["cover_id"] for each in (await sme.get("/covers")).json()["items"]] == [cover_id]
    stranger = new_id()
    async with world.bench.caller("sme", party=stranger) as other:
        assert (await other.get("/covers")).json()["items"] == []
        for path in (f"/covers/{cover_id}", f"/enterprises/{firm}/cover", f"/covers?enterprise_id={firm}"):
            assert (await other.get(path)).json()["code"] == "foreign_party", path


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"secured": money("0.00")}, 422, "invalid_amount"),
        ({"line_ids": [new_id()]}, 404, "unknown_line"),
        ({"kind": "ship"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_pledged(world: World, changes: dict[str, Any], status: int, code: str) -> None:
    answer = await propose(world, new_id(), **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_valuation_is_in_the_cover_s_currency_and_of_no_unknown_cover(world: World) -> None:
    cover_id = (await propose(world, new_id())).json()["cover_id"]
    euros = {**VALUED, "value": {"amount": "1.00", "currency": "EUR"}}
    assert (await take_step(world, cover_id, "value", **euros)).status_code == 422
    assert (await take_step(world, cover_id, "value", **{**VALUED, "prior_charges": money("-1.00")})).status_code == 422
    unknown = await take_step(world, new_id(), "value", **VALUED)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_cover")
