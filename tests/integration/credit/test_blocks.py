"""Blocks of lines and of firms: one person stops draws at once, two let them go on (DOMAIN §5, decision 0030)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.credit.domain.blocks import Cause, Target
from services.credit.operations.block_lines import UnknownEnterprise, stop_draws
from shared.events.credit import DrawdownCancellationRequested, LineBlocked
from shared.events.onboarding import ProgrammeLimitChanged
from shared.values.ids import new_id
from tests.integration.credit.world import World, cny


async def _block(world: World, *, role: str = "risk_officer", **body: Any) -> httpx.Response:
    given = {"reason": "court_order", "note": "order served by post", **body}
    async with world.bench.caller(role) as bank:
        return await bank.post("/blocks", json=given)


async def _line_id(world: World, firm: str) -> str:
    line_id: str = (await world.line_of(firm))["line_id"]
    return line_id


async def _blocked(world: World, firm: str, **body: Any) -> str:
    """Block a firm's line; return the block's id."""
    answer = await _block(world, line_ids=[await _line_id(world, firm)], **body)
    assert answer.status_code == 201, answer.text
    (item,) = answer.json()["items"]
    block_id: str = item["block_id"]
    return block_id


async def _lift(world: World, block_id: str) -> httpx.Response:
    async with world.bench.caller("risk_officer") as officer, world.bench.caller("bank_checker") as checker:
        proposed = await officer.post(f"/blocks/{block_id}/lift", json={"reason": "order withdrawn"})
        if proposed.status_code != 201:
            return proposed
        return await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


async def _bars(world: World, firm: str) -> list[str]:
    """Return what a draw is refused for; the line as it is shown must say the same."""
    line = await world.line_of(firm)
    answer = await world.draw(firm, [await world.receivable(firm)], "1.00", line_id=line["line_id"])
    if answer.status_code == 201:
        assert (line["drawable"], line["reasons"]) == (True, [])
        return []
    assert (answer.status_code, answer.json()["code"]) == (409, "line_not_drawable")
    assert (line["drawable"], line["reasons"]) == (False, answer.json()["reasons"])
    reasons: list[str] = answer.json()["reasons"]
    return reasons


async def test_one_person_stops_draws_on_a_line_in_the_commit_that_says_so_and_what_waits_ends(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("5000.00"))
    firm, other = await world.supplier(), await world.supplier()
    held, referred, approved, paid = [await world.held(firm, each) for each in ("10.00", "5000.01", "20.00", "30.00")]
    await world.hear(world.assigned(referred), world.assigned(approved), world.assigned(paid))
    await world.hear(world.disbursed(paid, "30.00"))
    elsewhere = await world.held(other, "40.00")
    # The holds remember the line's terms by now.
    before = await world.line_of(firm)
    await _blocked(world, firm)
    states = [(await world.drawdown(each))["state"] for each in (held, referred, approved, paid, elsewhere)]
    assert states == ["released", "released", "cancelling", "utilised", "held"]
    assert {(await world.drawdown(each))["reason"] for each in (held, referred, approved)} == {"line_blocked"}
    assert (await world.told(approved))[-1] + ".v1" == DrawdownCancellationRequested.type
    after = await world.line_of(firm)
    assert (after["held"]["amount"], after["utilised"]["amount"]) == ("20.00", "30.00")
    # It keeps its share of the programme: what is stopped for a while is not given to others.
    assert (after["cap"], after["reserved"]) == (before["cap"], before["reserved"])
    assert await _bars(world, firm) == ["line_blocked"]
    assert await _bars(world, other) == []
    assert (await world.told(after["line_id"]))[-1] + ".v1" == LineBlocked.type


async def test_r22_two_persons_let_draws_go_on_and_what_the_block_ended_stays_ended(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    held = await world.held(firm, "10.00")
    block = await _blocked(world, firm)
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        proposed = await maker.post(f"/blocks/{block}/lift", json={"reason": "order withdrawn"})
        approval = proposed.json()["approval_id"]
        own = await maker.post(f"/approvals/{approval}/approve")
        assert (own.status_code, own.json()["code"]) == (403, "own_proposal")
        assert await _bars(world, firm) == ["line_blocked"]
        assert (await checker.post(f"/approvals/{approval}/approve")).status_code == 200
    assert await _bars(world, firm) == []
    assert (await world.drawdown(held))["state"] == "released"
    assert (await world.told(await _line_id(world, firm)))[-1] == "line.unblocked"
    again = await _lift(world, block)
    assert (again.status_code, again.json()["code"]) == (409, "block_lifted")
    async with world.bench.caller("risk_officer") as bank:
        (found,) = (await bank.get("/blocks", params={"lifted": True})).json()["items"]
    assert (found["lift_reason"], len(set(found["lifted_by"]))) == ("order withdrawn", 2)


async def test_who_may_not_stop_or_lift_does_neither(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line_id = await _line_id(world, firm)
    for role in ("administrator", "sme", "anchor_checker"):
        party = {} if role == "administrator" else {"party": firm}
        async with world.bench.caller(role, **party) as caller:
            body = {"line_ids": [line_id], "reason": "other", "note": "may not"}
            assert (await caller.post("/blocks", json=body)).status_code == 403
    block = await _blocked(world, firm, role="bank_checker")
    async with world.bench.caller("bank_checker") as checker:
        assert (await checker.post(f"/blocks/{block}/lift", json={"reason": "hurry"})).status_code == 403


async def test_a_firms_block_stops_its_lines_in_every_programme_and_those_it_gets_later(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    first = world.programme
    held = await world.held(firm, "10.00")
    answer = await _block(world, enterprise_ids=[firm], reason="fraud_suspected")
    (block,) = answer.json()["items"]
    assert (block["scope"], block["line_id"], block["enterprise_id"]) == ("firm", None, firm)
    assert (await world.drawdown(held))["reason"] == "firm_blocked"
    assert await _bars(world, firm) == ["firm_blocked"]
    world.programme = new_id()
    await world.hear(world.activated(), world.member(firm), world.agreement(firm))
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"enterprise_id": firm})).json()["items"]
    assert {line["programme_id"]: line["reasons"] for line in lines} == {
        first: ["firm_blocked"],
        world.programme: ["firm_blocked"],
    }
    (later,) = (line["line_id"] for line in lines if line["programme_id"] == world.programme)
    assert "line.blocked" in await world.told(later)
    document = await world.receivable(firm)
    assert (await world.draw(firm, [document], "1.00", line_id=later)).json()["reasons"] == ["firm_blocked"]
    assert (await _lift(world, block["block_id"])).status_code == 200
    assert (await world.told(later))[-1] == "line.unblocked"
    assert (await world.draw(firm, [document], "1.00", line_id=later)).status_code == 201


async def test_said_again_it_changes_nothing_and_the_line_opens_when_its_last_block_is_lifted(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    first = await _blocked(world, firm, reference="2026-17")
    told = await world.told(await _line_id(world, firm))
    assert await _blocked(world, firm, reference="2026-17", role="bank_maker", note="the same order") == first
    assert await world.told(await _line_id(world, firm)) == told
    second = await _blocked(world, firm, reference="2026-18")
    third = await _blocked(world, firm, reason="compliance")
    assert len({first, second, third}) == 3
    for block in (first, second):
        assert (await _lift(world, block)).status_code == 200
        assert await _bars(world, firm) == ["line_blocked"]
    assert (await _lift(world, third)).status_code == 200
    assert await _bars(world, firm) == []
    # What was lifted may have cause to come again.
    assert await _blocked(world, firm, reference="2026-17") != first
    assert await _bars(world, firm) == ["line_blocked"]


async def test_a_batch_blocks_all_it_names_or_nothing(world: World) -> None:
    await world.begin()
    firms = [await world.supplier() for _ in range(3)]
    lines = [await _line_id(world, firm) for firm in firms]
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"line_ids": [lines[0], new_id()]}, 404, "unknown_line"),
        ({"line_ids": [lines[0]], "enterprise_ids": [new_id()]}, 404, "unknown_enterprise"),
        ({"line_ids": [lines[0]], "reason": "no_such_reason"}, 422, "unknown_block_reason"),
        ({"line_ids": []}, 422, "invalid_request"),
        ({"line_ids": [lines[0]], "note": "a\x00b"}, 422, "invalid_request"),
        ({"line_ids": ["x"]}, 422, "invalid_request"),
    ]
    for body, status, code in cases:
        refused = await _block(world, **body)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert [await _bars(world, firm) for firm in firms] == [[], [], []]
    answer = await _block(world, line_ids=[lines[0], lines[0]], enterprise_ids=[firms[0], firms[1]])
    assert len(answer.json()["items"]) == 3
    assert [await _bars(world, firm) for firm in firms] == [["line_blocked", "firm_blocked"], ["firm_blocked"], []]


async def test_a_cause_that_comes_as_an_event_uses_the_same_operation(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line = Target("line", await _line_id(world, firm))
    warnings = [
        Cause(reason="early_warning", by="risk", note="power down by half", reference=each) for each in ("w1", "w2")
    ]
    for _ in range(2):
        async with world.database.transaction() as tx:
            found = await stop_draws(tx, [(line, each) for each in [*warnings, warnings[0]]])
        assert len(found) == len(set(found)) == 2
    assert (await world.told(line.subject)).count("line.blocked") == 2
    with pytest.raises(UnknownEnterprise):
        async with world.database.transaction() as tx:
            await stop_draws(tx, [(line, warnings[0]), (Target("firm", new_id()), warnings[0])])


async def test_late_reports_and_pending_decisions_revive_nothing_that_a_block_ended(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("1000.00"))
    firm = await world.supplier()
    held, referred, approved = [await world.held(firm, each) for each in ("10.00", "1000.01", "20.00")]
    await world.hear(world.assigned(referred), world.assigned(approved))
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        body = {"decision": "approve", "reason": "known customer"}
        approval = (await maker.post(f"/drawdowns/{referred}/decision", json=body)).json()["approval_id"]
        await _blocked(world, firm)
        refused = await checker.post(f"/approvals/{approval}/approve")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_possible_now")
    await world.hear(world.assigned(held))
    assert (await world.drawdown(held))["state"] == "released"
    # The money was on its way: settlement could not stop it, so it is used, and a person hears of it.
    await world.hear(world.disbursed(approved, "20.00"))
    found = await world.drawdown(approved)
    assert (found["state"], found["incident"]) == ("utilised", "disbursed_while_cancelling")


async def test_a_propagation_neither_lifts_a_block_nor_hides_it(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await _blocked(world, firm)
    changed = ProgrammeLimitChanged(
        programme_id=world.programme,
        limit=cny("800000.00"),
        upstream_limit=cny("800000.00"),
        downstream_limit=cny("0.00"),
        reason="review",
    )
    await world.hear(changed, world.rating(firm, cap="500000.00"))
    assert (await world.line_of(firm))["cap"]["amount"] == "500000.00"
    assert await _bars(world, firm) == ["line_blocked"]


async def test_what_if_sees_a_blocked_line_as_it_is_on_both_sides(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    await _blocked(world, firm)
    async with world.bench.caller("risk_officer") as bank:
        path, body = f"/programmes/{world.programme}/what-if", {"changes": [{"change": "limit", "by": "-0.300000"}]}
        found = (await bank.post(path, json=body)).json()
    lines = {line["enterprise_id"]: line for line in found["lines"]}
    for side in ("before", "after"):
        assert lines[firm][side]["reasons"] == ["line_blocked"]
        assert lines[other][side]["reasons"] == []
