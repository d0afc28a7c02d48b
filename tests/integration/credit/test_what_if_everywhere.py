"""What if of all programmes that a change concerns: exactly what the change then does, and nothing elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.credit.queries import what_if_answer, what_if_reading
from shared.events.envelope import Event
from shared.events.onboarding import EnterpriseSuspended, ProgrammeLimitChanged
from shared.runtime.offload import close_offload
from shared.values.ids import new_id
from tests.integration.credit.basin import Basin, everything, rating
from tests.integration.credit.world import World, cny

A_TO_BB = (300_000, 700_000)
BB_MULTIPLIER = 1_000_000 * 600_000 // 900_000


def _lower(minor: int) -> int:
    return minor * A_TO_BB[0] // A_TO_BB[1]


@pytest.fixture
async def basin(world: World) -> Basin:
    made = Basin(world)
    await made.begin()
    return made


def _cases(basin: Basin) -> dict[str, tuple[list[dict[str, Any]], list[Event], set[str]]]:
    """Return changes to suppose, the facts by which they happen, and the programmes that they concern."""
    world, upper = basin.world, basin.firms["upper"]
    down: dict[str, Any] = {"change": "rating", "notches": 2}
    limit = {name: cny("300000.00") for name in ("limit", "upstream_limit", "downstream_limit")}
    amounts = {name: each.model_dump() for name, each in limit.items()}
    upper_down = rating(upper, "BB", _lower(300_000_00), BB_MULTIPLIER)
    anchor_down = rating(world.anchor, "BB", _lower(5_000_000_00), BB_MULTIPLIER)
    traded = {"change": "trade", "supplier_id": basin.firms["lower"], "buyer_id": upper}
    return {
        "a supplier of three programmes is rated lower": (
            [{**down, "enterprise_id": upper}],
            [upper_down],
            {"first", "second", "sister"},
        ),
        "the head of a group is": (
            [{**down, "enterprise_id": world.anchor}],
            [anchor_down],
            {"first", "second", "sister"},
        ),
        "a whole group is": (
            [{**down, "enterprise_id": world.anchor, "whole_group": True}],
            [anchor_down, rating(basin.sister, "BB", _lower(2_000_000_00), BB_MULTIPLIER)],
            {"first", "second", "sister"},
        ),
        "an anchor that is a distributor elsewhere has another cap": (
            [{"change": "rating", "enterprise_id": basin.sister, "cap": cny("10000.00").model_dump(), "grade": "CCC"}],
            [rating(basin.sister, "CCC", 10_000_00, 1_000_000 * 200_000 // 900_000)],
            {"first", "sister"},
        ),
        "trade changes that reaches three anchors through a supplier": (
            [{**traded, "traded": cny("9000.00").model_dump()}],
            [world.link(basin.firms["lower"], upper, traded="9000.00")],
            {"first", "second", "sister", "far"},
        ),
        "a limit is one programme's own, a rating is not": (
            [
                {"change": "limit", "programme_id": basin.programmes["far"], **amounts},
                {**down, "enterprise_id": basin.firms["other"]},
            ],
            [
                ProgrammeLimitChanged(programme_id=basin.programmes["far"], reason="what if", **limit),
                rating(basin.firms["other"], "BB", _lower(300_000_00), BB_MULTIPLIER),
            ],
            {"first", "far"},
        ),
    }


async def _compared(basin: Basin, changes: Sequence[dict[str, Any]], concerned: set[str]) -> dict[str, Any]:
    before = await basin.there()
    answer = await basin.suppose(*changes)
    named = {basin.programmes[name] for name in concerned}
    assert {each["programme_id"] for each in answer["programmes"]} == named
    assert {line["line_id"]: line["before"] for line in answer["lines"]} == {
        line_id: line for programme_id in named for line_id, line in before[programme_id].items()
    }
    return answer


@pytest.mark.parametrize("nth", range(6))
async def test_what_happens_is_what_was_supposed_and_nothing_happens_elsewhere(basin: Basin, nth: int) -> None:
    changes, events, concerned = list(_cases(basin).values())[nth]
    before = await basin.there()
    answer = await _compared(basin, changes, concerned)
    await basin.world.hear(*events)
    after = await basin.there()
    assert after != before
    supposed = {line["line_id"]: line["after"] for line in answer["lines"]}
    for name, programme_id in basin.programmes.items():
        if name in concerned:
            assert {line_id: supposed[line_id] for line_id in after[programme_id]} == after[programme_id], name
        else:
            assert after[programme_id] == before[programme_id], name


async def test_a_supplier_that_fails_takes_those_behind_it_along_in_programmes_that_it_is_not_in(basin: Basin) -> None:
    upper = basin.firms["upper"]
    failure = {"change": "failure", "enterprise_id": upper}
    answer = await _compared(basin, [failure], {"first", "second", "sister", "far"})
    # What fails for real: it is suspended, worth nothing, and trades no more.
    async with basin.world.database.transaction() as tx:
        await tx.pg.execute("DELETE FROM link WHERE $1 IN (supplier_id, buyer_id)", upper)
    await basin.world.hear(rating(upper, "D", 0, 0), EnterpriseSuspended(enterprise_id=upper, reason="failed"))
    await basin.world.hear(basin.world.link(basin.firms["other"], basin.world.anchor, traded="400000.00"))
    after = {line_id: line for lines in (await basin.there()).values() for line_id, line in lines.items()}
    assert {line["line_id"]: line["after"] for line in answer["lines"]} == after
    assert [each["reasons"] for each in answer["trapped"]] == [["firm_failed", "line_short"]]
    gaps = {each["enterprise_id"]: each for each in answer["liquidity"]}
    assert gaps[upper]["drawn"]["amount"] == "30000.00"
    assert {basin.firms["lower"], basin.firms["remote"]} <= gaps.keys()


async def test_totals_are_those_of_the_programmes_together_and_of_each_alone(basin: Basin) -> None:
    failure = {"change": "failure", "enterprise_id": basin.firms["upper"]}
    answer = await basin.suppose(failure)
    (totals,) = answer["totals"]
    assert (totals["currency"], totals["programmes"], totals["lines"]) == ("CNY", 4, len(answer["lines"]))
    for name in ("limit", "pool", "cap", "reserved", "shortfall"):
        for side in ("before", "after"):
            each = [float(one["totals"][name][side]["amount"]) for one in answer["programmes"]]
            assert float(totals[name][side]["amount"]) == pytest.approx(sum(each)), name
    for one in answer["programmes"]:
        alone = await basin.suppose(failure, programme_ids=[one["programme_id"]])
        assert alone["programmes"] == [one]
        async with basin.world.bench.caller("risk_officer") as bank:
            path = f"/programmes/{one['programme_id']}/what-if"
            single = (await bank.post(path, json={"changes": [failure]})).json()
        assert {name: single["totals"][name] for name in one["totals"]} == one["totals"]


async def test_what_a_firm_can_draw_on_several_lines_is_not_more_than_its_own_cap_leaves(basin: Basin) -> None:
    answer = await basin.suppose({"change": "failure", "enterprise_id": basin.firms["upper"]})
    gap = next(each for each in answer["liquidity"] if each["enterprise_id"] == basin.firms["upper"])
    lines = [line["before"] for line in answer["lines"] if line["enterprise_id"] == basin.firms["upper"]]
    together = sum(float(line["available"]["amount"]) for line in lines)
    # One of its programmes is without recourse: that line does not stand under the firm's own cap.
    assert len(lines) == 3
    assert 0 < float(gap["could_draw_before"]["amount"]) <= together


async def test_it_touches_nothing(basin: Basin) -> None:
    before = await everything(basin.world)
    for changes, _, _ in _cases(basin).values():
        await basin.suppose(*changes, {"change": "failure", "enterprise_id": basin.firms["upper"]})
    assert await everything(basin.world) == before


async def test_line_by_line_tells_all_that_one_document_tells(basin: Basin) -> None:
    failure = {"change": "failure", "enterprise_id": basin.firms["upper"]}
    whole, cut = await basin.suppose(failure), await basin.suppose(failure, limit=2)
    assert cut["lines"] == whole["lines"][:2]
    assert cut["left_off"]["lines"] == len(whole["lines"]) - 2
    asked = json.dumps({"changes": [failure], "limit": 1})
    async with basin.world.bench.caller("risk_officer") as bank:
        answer = await bank.get("/what-if", params={"asked": asked}, headers={"accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    first, *rows = [json.loads(line) for line in answer.text.splitlines()]
    assert first.pop("kind") == "totals"
    assert first == {name: whole[name] for name in first}
    names = {"line": "lines", "frozen": "frozen", "trapped": "trapped", "liquidity": "liquidity"}
    for kind, name in names.items():
        assert [{**row, "kind": kind} for row in whole[name]] == [row for row in rows if row["kind"] == kind]


async def test_another_process_answers_the_same(basin: Basin, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"change": "failure", "enterprise_id": basin.firms["upper"]}
    here = await basin.suppose(failure)
    monkeypatch.setattr(what_if_answer, "_INLINE", 0)
    try:
        assert await basin.suppose(failure) == here
        stranger = {"change": "failure", "enterprise_id": new_id()}
        assert await _refused(basin, stranger) == (422, "change_not_supposable", "it concerns no programme")
        assert (await _refused(basin, failure, programme_ids=[new_id()]))[:2] == (404, "unknown_programme")
    finally:
        close_offload()


async def _refused(basin: Basin, *changes: dict[str, Any], **more: Any) -> tuple[int, str, Any]:
    async with basin.world.bench.caller("risk_officer") as bank:
        answer = await bank.post("/what-if", json={"changes": list(changes), **more})
    assert answer.headers.get("retry-after") == ("1" if answer.status_code == 503 else None)
    return answer.status_code, answer.json()["code"], answer.json().get("reason")


async def test_what_is_too_much_is_refused_and_never_hangs(basin: Basin, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"change": "failure", "enterprise_id": basin.firms["upper"]}
    bounds = {"_MOST_LINES": (422, "what_if_too_large"), "_MOST_PROGRAMMES": (422, "what_if_too_large")}
    for name, told in bounds.items():
        with monkeypatch.context() as patch:
            patch.setattr(what_if_answer, name, 3)
            assert (await _refused(basin, failure))[:2] == told
    with monkeypatch.context() as patch:
        patch.setattr(what_if_answer, "_WITHIN_S", 0.0)
        assert (await _refused(basin, failure))[:2] == (503, "what_if_too_slow")
    with monkeypatch.context() as patch:
        patch.setattr(what_if_answer, "_INLINE", 0)
        patch.setattr(what_if_answer, "_MOST_WAITING", 0)
        assert (await _refused(basin, failure))[:2] == (503, "what_if_busy")


async def test_a_change_that_is_supposable_nowhere_is_refused_with_the_reason(basin: Basin) -> None:
    upper, world = basin.firms["upper"], basin.world
    euros = {"amount": "1.00", "currency": "EUR"}
    refusals: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"change": "limit", "by": "-0.3"}, {}, "say of which programme"),
        ({"change": "max_tier", "max_tier": 2}, {}, "say of which programme"),
        (
            {"change": "limit", "by": "-0.3", "programme_id": world.programme},
            {"programme_ids": [basin.programmes["far"]]},
            "its programme is not among those asked for",
        ),
        ({"change": "rating", "enterprise_id": upper, "cap": euros}, {}, "it concerns no programme"),
        (
            {"change": "rating", "enterprise_id": upper, "notches": 1},
            {"programme_ids": [basin.programmes["far"]]},
            "the firm has no part in the programme",
        ),
    ]
    for change, more, reason in refusals:
        assert await _refused(basin, change, **more) == (422, "change_not_supposable", reason)
    assert (await _refused(basin))[:2] == (422, "invalid_request")
    unknown = {"change": "limit", "by": "-0.3", "programme_id": new_id()}
    assert (await _refused(basin, unknown))[:2] == (404, "unknown_programme")
    async with world.bench.caller("sme", party=upper) as sme:
        answer = await sme.post("/what-if", json={"changes": [{"change": "failure", "enterprise_id": upper}]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("statement", "given", "tables"),
    [
        ("_OPEN", "'p', ARRAY['a', 'b']", ("drawdown",)),
        ("_CONCERNED", "ARRAY['a', 'b'], NULL", ("line",)),
        ("_COUNT", "ARRAY['a', 'b']", ("line",)),
        ("_NODES", "ARRAY['a', 'b']", ("limit_node",)),
        ("_USED", "ARRAY['a', 'b'], 'CNY'", ("line", "limit_node")),
        ("_FIRMS", "ARRAY['a', 'b'], 'CNY'", ("enterprise", "rating")),
        ("_GROUPS", "ARRAY['a', 'b']", ("enterprise",)),
    ],
)
async def test_what_is_read_is_read_by_index(world: World, statement: str, given: str, tables: tuple[str, ...]) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute("SET LOCAL enable_seqscan = off")
        await tx.pg.execute(f"PREPARE asked AS {getattr(what_if_reading, statement)}")
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE asked({given})")
    text = "\n".join(row[0] for row in plan)
    for table in tables:
        assert f"Seq Scan on {table} " not in text, text
