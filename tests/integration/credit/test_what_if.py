"""What if over HTTP: it says what the change would do, exactly as the change then does it, and touches nothing."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from services.credit.domain.what_if import Failed
from services.credit.queries import Asked, Wish, what_if_answer
from shared.events.envelope import Event
from shared.events.onboarding import ProgrammeLimitChanged
from shared.events.risk import RatingRecorded
from shared.runtime.offload import close_offload
from shared.values.ids import new_id
from shared.values.rates import MILLION, rate_text, share_of
from tests.integration.credit.basin import everything
from tests.integration.credit.world import FAR, World, cny

SEEN = ("tier", "cap", "reserved", "available", "shortfall", "drawable", "reasons")


async def _what_if(world: World, *changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post(f"/programmes/{world.programme}/what-if", json={"changes": list(changes), **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _refused(world: World, *changes: dict[str, Any]) -> tuple[int, str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.post(f"/programmes/{world.programme}/what-if", json={"changes": list(changes)})
    body = answer.json()
    return answer.status_code, body["code"], body.get("reason")


async def _there(world: World) -> dict[str, dict[str, Any]]:
    """Return the lines as they are, by firm."""
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"programme_id": world.programme})).json()["items"]
    return {line["enterprise_id"]: {name: line[name] for name in SEEN} for line in lines}


def _side(answer: dict[str, Any], side: str) -> dict[str, dict[str, Any]]:
    return {line["enterprise_id"]: line[side] for line in answer["lines"]}


def _rating(firm: str, grade: str, cap_minor: int, multiplier: int) -> Event:
    return RatingRecorded(
        enterprise_id=firm,
        grade=grade,
        cap=cny(f"{cap_minor // 100}.{cap_minor % 100:02}"),
        multiplier=rate_text(multiplier),
        risk_spread="0.010000",
        reasons=["test"],
        valid_until=FAR,
        policy_version="officer",
    )


async def _river(world: World, dice: random.Random) -> list[str]:
    """Make a programme with lines in two tiers, some drawn on; return its suppliers."""
    await world.begin(limit=cny("900000.00"), upstream_limit=cny("800000.00"), max_tier=3)
    firms = [await world.supplier(traded=f"{dice.randint(1, 9)}00000.00") for _ in range(3)]
    firms += [
        await world.supplier(traded=f"{dice.randint(1, 9)}0000.00", buyer_id=dice.choice(firms)) for _ in range(3)
    ]
    for firm in dice.sample(firms, 3):
        available = float((await world.line_of(firm))["available"]["amount"])
        drawdown = await world.held(firm, f"{min(available, 70_000.0) / 2:.2f}")
        if dice.random() < 0.5:
            await world.hear(world.assigned(drawdown))
    return firms


@pytest.mark.parametrize("seed", range(3))
async def test_no_changes_are_exactly_what_is_there(world: World, seed: int) -> None:
    await _river(world, random.Random(seed))  # noqa: S311 - a story, not secrecy
    answer = await _what_if(world)
    assert _side(answer, "before") == _side(answer, "after") == await _there(world)
    assert answer["frozen"] == answer["trapped"] == answer["liquidity"] == []
    for name, pair in answer["totals"].items():
        if "before" in pair:
            assert pair["before"] == pair["after"], name
    assert answer["totals"]["expected_loss_change"]["amount"] == "0.00"


def _changes(world: World, firms: list[str], dice: random.Random) -> list[tuple[dict[str, Any], list[Event]]]:
    """Return changes to suppose, each with the facts by which it happens."""
    firm, other, new = firms[0], firms[-1], new_id()
    cut = {"limit": 900_000_00, "upstream_limit": 800_000_00, "downstream_limit": 500_000_00}
    amounts = {name: cny(f"{share_of(amount=minor, millionths=700_000) // 100}.00") for name, minor in cut.items()}
    traded = f"{dice.randint(1, 99)}0000.00"
    joins = {
        "change": "member",
        "enterprise_id": new,
        "direction": "upstream",
        "trades_with": firm,
        "traded": cny(traded).model_dump(),
        "cap": cny("400000.00").model_dump(),
        "multiplier": "0.500000",
        "committed": cny("390000.00").model_dump(),
    }
    anchor_cap = 5_000_000_00 * 50_000 // 700_000
    return [
        (
            {"change": "rating", "enterprise_id": firm, "notches": 2},
            [_rating(firm, "BB", 1_000_000_00 * 300_000 // 700_000, MILLION * 600_000 // 900_000)],
        ),
        (
            {"change": "rating", "enterprise_id": firm, "cap": cny("12345.67").model_dump(), "multiplier": "0.250000"},
            [_rating(firm, "A", 12_345_67, 250_000)],
        ),
        (
            {"change": "rating", "enterprise_id": world.anchor, "notches": 4},
            [_rating(world.anchor, "CCC", anchor_cap, MILLION)],
        ),
        (
            {"change": "limit", "by": "-0.300000"},
            [ProgrammeLimitChanged(programme_id=world.programme, reason="what if", **amounts)],
        ),
        (
            {"change": "trade", "supplier_id": firm, "buyer_id": world.anchor, "traded": cny(traded).model_dump()},
            [world.link(firm, world.anchor, traded=traded)],
        ),
        (
            {"change": "trade", "supplier_id": other, "buyer_id": world.anchor, "traded": cny("1.00").model_dump()},
            [world.link(other, world.anchor, traded="1.00")],
        ),
        (
            joins,
            [
                world.firm(new),
                _rating(new, "A", 400_000_00, 500_000),
                world.link(new, firm, traded=traded),
                world.agreement(new, committed="390000.00"),
                world.member(new),
            ],
        ),
    ]


@pytest.mark.parametrize("nths", [(0,), (1,), (2,), (3,), (4,), (5,), (6,), (0, 3), (6, 4), (2, 5), (3, 1, 6)])
async def test_the_changes_made_for_real_give_what_was_supposed(world: World, nths: tuple[int, ...]) -> None:
    dice = random.Random(nths[0])  # noqa: S311 - a story, not secrecy
    known = _changes(world, await _river(world, dice), dice)
    changes, events = [known[nth][0] for nth in nths], [event for nth in nths for event in known[nth][1]]
    before = await _there(world)
    answer = await _what_if(world, *changes)
    assert {firm: side for firm, side in _side(answer, "before").items() if side} == before
    await world.hear(*events)
    after = await _there(world)
    assert after != before
    assert _side(answer, "after") == after


async def test_many_lines_are_compared_off_the_loop_to_the_same_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    firms = await _river(world, random.Random(2))  # noqa: S311 - a story, not secrecy
    change = {"change": "failure", "enterprise_id": firms[0]}
    here = await _what_if(world, change)
    monkeypatch.setattr("services.credit.queries.what_if_answer._INLINE", 1)
    try:
        assert await _what_if(world, change) == here
    finally:
        close_offload()


async def test_off_the_loop_it_may_compute_for_long_between_two_statements(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    firms = await _river(world, random.Random(2))  # noqa: S311 - a story, not secrecy
    # Under load, ten thousand lines once took it longer than the ten seconds that a transaction may stand still.
    monkeypatch.setattr("shared.storage.database._IDLE_S", 0.001)
    asked = Asked([Failed(firms[0])], [world.programme])
    answered = await asyncio.to_thread(
        what_if_answer._apart, world.bench.database.url, asked, Wish("one", 100), within_s=30.0
    )
    assert isinstance(answered, bytes), answered.error()
    assert json.loads(answered)["lines"]


async def test_it_touches_nothing(world: World) -> None:
    firms = await _river(world, random.Random(1))  # noqa: S311 - a story, not secrecy
    before = await everything(world)
    for change, _ in _changes(world, firms, random.Random(1)):  # noqa: S311 - a story, not secrecy
        await _what_if(world, change, {"change": "failure", "enterprise_id": firms[1]})
    assert await everything(world) == before


async def test_a_supplier_that_fails_traps_what_it_drew_and_cuts_off_those_beyond_it(world: World) -> None:
    await world.begin()
    first, second = await world.supplier(traded="500000.00"), await world.supplier(traded="500000.00")
    beyond = await world.supplier(traded="100000.00", buyer_id=first)
    used, waits = await world.held(first, "1000.00"), await world.held(first, "200.00")
    await world.hear(world.assigned(used), world.disbursed(used, "1000.00"))
    answer = await _what_if(world, {"change": "failure", "enterprise_id": first})
    after = _side(answer, "after")
    assert after[first]["reasons"][0] == "sme_suspended"
    assert "no_trade_with_the_anchor" in after[beyond]["reasons"]
    assert after[second]["drawable"]
    assert [(each["drawdown_id"], each["reasons"]) for each in answer["trapped"]] == [
        (used, ["firm_failed", "line_short"])
    ]
    assert [each["drawdown_id"] for each in answer["frozen"]] == [waits]
    gap = next(each for each in answer["liquidity"] if each["enterprise_id"] == first)
    assert (gap["drawn"]["amount"], gap["frozen"]["amount"]) == ("1000.00", "200.00")
    assert gap["cannot_roll_in_90_days"]["amount"] == "0.00"
    assert answer["lines"][0]["enterprise_id"] in {first, beyond}
    assert float(answer["totals"]["expected_loss_change"]["amount"]) > 0


async def test_an_anchor_two_notches_down_freezes_what_its_cap_no_longer_carries(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    await world.hear(world.rating(world.anchor, cap="1000.00"))
    waits = await world.held(supplier, "800.00")
    answer = await _what_if(world, {"change": "rating", "enterprise_id": world.anchor, "notches": 2})
    (frozen,) = answer["frozen"]
    assert frozen["drawdown_id"] == waits
    assert f"short:group/{world.anchor}/CNY" in frozen["reasons"]
    assert answer["totals"]["frozen"]["amount"] == "800.00"
    assert answer["risk_policy"] == "risk_weights/2000-01"


async def test_a_deeper_tier_opens_lines_that_stood_too_far_away(world: World) -> None:
    await world.begin(max_tier=1)
    first = await world.supplier()
    second = await world.supplier(buyer_id=first, traded="100000.00")
    assert (await world.line_of(second))["reasons"] == ["no_trade_with_the_anchor"]
    answer = await _what_if(world, {"change": "max_tier", "max_tier": 2})
    line = _side(answer, "after")[second]
    assert (line["tier"], line["drawable"], line["available"]["amount"] != "0.00") == (2, True, True)
    assert answer["lines"][-1]["enterprise_id"] == second
    assert float(answer["lines"][-1]["loses"]["amount"]) < 0


async def test_what_cannot_be_supposed_is_refused_with_the_reason(world: World) -> None:
    await world.begin()
    supplier, stranger = await world.supplier(), new_id()
    money = cny("1.00").model_dump()
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"change": "failure", "enterprise_id": stranger}, "the firm has no part in the programme"),
        ({"change": "rating", "enterprise_id": supplier, "grade": "ZZ"}, "the policy does not know the grade"),
        (
            {"change": "trade", "supplier_id": stranger, "buyer_id": supplier, "by": "0.1"},
            "the two firms do not trade: say how much they would",
        ),
        (
            {
                "change": "member",
                "enterprise_id": supplier,
                "direction": "upstream",
                "trades_with": world.anchor,
                "traded": money,
            },
            "the firm has a line already",
        ),
    ]
    for change, reason in refusals:
        assert await _refused(world, change) == (422, "change_not_supposable", reason)
    euros = {"change": "limit", "limit": {"amount": "1.00", "currency": "EUR"}}
    assert (await _refused(world, euros))[:2] == (422, "currency_mismatch")
    assert (await _refused(world, {"change": "limit", "by": "-1.1"}))[:2] == (422, "invalid_rate")
    assert (await _refused(world, {"change": "weather"}))[:2] == (422, "invalid_request")
    async with world.bench.caller("risk_officer") as bank:
        missing = await bank.post(f"/programmes/{new_id()}/what-if", json={"changes": []})
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_programme")


async def test_r23_only_the_bank_may_suppose_and_a_page_may_ask_by_reading(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    asked = json.dumps({"changes": [{"change": "limit", "by": "-0.5"}], "limit": 1})
    path = f"/programmes/{world.programme}/what-if"
    async with world.bench.caller("sme", party=supplier) as sme:
        for answer in (await sme.get(path, params={"asked": asked}), await sme.post(path, content=asked)):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    async with world.bench.caller("risk_officer") as bank:
        read = await bank.get(path, params={"asked": asked})
        assert read.json() == await _what_if(world, {"change": "limit", "by": "-0.5"}, limit=1)
        broken = await bank.get(path, params={"asked": "{"})
        wrong = await bank.get(path, params={"asked": '{"changes": [{"change": "weather"}]}'})
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_body")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
