"""Lines: they appear by themselves, in whatever order the facts come, and explain themselves."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

from shared.events.envelope import Event
from shared.events.onboarding import ProgrammeLimitChanged
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened
from shared.values.ids import new_id
from tests.integration.credit.world import OPEN, World, cny


def _table(world: World, firms: dict[str, str]) -> list[list[Event]]:
    """Return DOMAIN §3's table as facts, a list per aggregate: within one the order is given, between them not."""
    anchor = world.anchor
    facts: list[list[Event]] = [
        [BusinessDayOpened(open_date=OPEN)],
        [world.firm(anchor, size="large")],
        [world.rating(anchor, cap="5000.00")],
        [
            world.activated(limit=cny("1000.00"), upstream_limit=cny("1000.00"), downstream_limit=cny("1000.00")),
            *(world.member(firms[name]) for name in "ABC"),
            world.member(firms["D"], direction="downstream", support="0.300000"),
        ],
        [world.link(firms["A"], anchor, traded="600.00")],
        [world.link(firms["B"], anchor, traded="300.00")],
        [world.link(firms["C"], firms["A"], traded="400.00")],
        [world.link(new_id(), firms["A"], traded="400.00")],
        [world.link(anchor, firms["D"], traded="150.00")],
    ]
    for name, firm in firms.items():
        facts.append([world.firm(firm, name=name), world.agreement(firm)])
        facts.append([world.rating(firm, cap="450.00" if name == "A" else "5000.00")])
    return facts


def _shuffled(facts: list[list[Event]], seed: int) -> list[Event]:
    dice = random.Random(seed)  # noqa: S311 - shuffling, not secrecy
    queues, order = [list(each) for each in facts], []
    while any(queues):
        order.append(dice.choice([each for each in queues if each]).pop(0))
    return order


@pytest.mark.parametrize("seed", range(3))
async def test_the_domains_table_comes_out_in_whatever_order_the_facts_come(world: World, seed: int) -> None:
    # Ids that sort as the table's letters, for ties go by line id: D's last unit may be C's in another order.
    firms = {name: new_id() for name in "ABCD"}
    await world.hear(*_shuffled(_table(world, firms), seed))
    lines = {name: await world.line_of(firm) for name, firm in firms.items()}
    caps = {name: line["cap"]["amount"] for name, line in lines.items()}
    assert (caps["A"], caps["B"]) in {("450.00", "275.00"), ("450.00", "275.01")}
    total = sum(round(float(cap) * 100) for cap in caps.values())
    assert total == 100_000
    assert abs(float(caps["C"]) - float(caps["D"])) <= 0.01
    assert all(line["drawable"] for line in lines.values()), lines
    assert (lines["C"]["tier"], lines["D"]["direction"]) == (2, "downstream")


async def test_a_line_says_everything_that_it_lacks(world: World) -> None:
    await world.begin()
    firm = new_id()
    await world.hear(world.member(firm))
    line = await world.line_of(firm)
    assert line["reasons"] == ["sme_not_registered", "unrated", "agreement_not_signed", "no_trade_with_the_anchor"]
    await world.hear(world.firm(firm), world.rating(firm), world.link(firm, world.anchor), world.agreement(firm))
    assert (await world.line_of(firm))["reasons"] == []


async def test_a_distributor_without_the_anchors_support_gets_no_line(world: World) -> None:
    await world.begin()
    firm = new_id()
    await world.hear(
        world.firm(firm),
        world.rating(firm),
        world.link(world.anchor, firm),
        world.member(firm, direction="downstream"),
        world.agreement(firm),
    )
    line = await world.line_of(firm)
    assert (line["cap"]["amount"], line["reasons"]) == ("0.00", ["anchor_does_not_support"])


async def test_a_distributor_draws_on_what_it_owes_and_the_group_carries_the_supported_share(world: World) -> None:
    await world.begin()
    firm = new_id()
    await world.hear(
        world.firm(firm),
        world.rating(firm),
        world.link(world.anchor, firm),
        world.member(firm, direction="downstream", support="0.300000"),
        world.agreement(firm),
    )
    document = await world.receivable(world.anchor, obligor_id=firm, amount="100.00")
    answer = await world.draw(firm, [document], "50.01")
    assert answer.status_code == 201, answer.text
    nodes = await world.nodes()
    assert nodes[f"group/{world.anchor}/CNY"]["held"]["amount"] == "15.00"
    assert nodes[f"obligor/{firm}/CNY"]["held"]["amount"] == "50.01"
    assert nodes[f"obligor/{world.anchor}/CNY"]["held"]["amount"] == "0.00"
    await world.hear(world.assigned(answer.json()["drawdown_id"]))
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval("SELECT body::jsonb FROM outbox WHERE type = 'drawdown.approved.v1'")
    assert (body["payee_id"], body["payee_account"]) == (world.anchor, f"ACC-{world.anchor[-4:]}")


async def test_only_lines_that_changed_produce_an_event(world: World) -> None:
    await world.begin()
    first = await world.supplier()
    line = (await world.line_of(first))["line_id"]
    before = await world.told(line)
    await world.hear(world.rating(first))
    assert await world.told(line) == before
    await world.hear(world.rating(first, cap="7.00"))
    assert await world.told(line) == [*before, "line.changed"]


async def test_a_batch_of_facts_propagates_a_programme_once(world: World) -> None:
    await world.begin()
    suppliers = [await world.supplier() for _ in range(3)]
    before = len(await world.told(world.programme))
    await world.hear_together([world.rating(each, cap="10.00") for each in suppliers])
    assert len(await world.told(world.programme)) == before + 1


@pytest.mark.parametrize(("last", "drawable"), [(date(2026, 3, 3), True), (date(2026, 3, 2), False)])
async def test_a_rating_ends_with_its_last_business_day(world: World, last: date, *, drawable: bool) -> None:
    await world.begin()
    supplier = await world.supplier()
    await world.hear(world.rating(supplier, valid_until=last))
    assert (await world.line_of(supplier))["drawable"]
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=date(2026, 3, 3)))
    line = await world.line_of(supplier)
    assert line["drawable"] is drawable
    assert line["reasons"] == ([] if drawable else ["rating_expired"])


async def test_a_day_that_changes_nothing_propagates_nothing(world: World) -> None:
    await world.begin()
    await world.supplier()
    before = await world.told(world.programme)
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=date(2026, 3, 3)))
    assert await world.told(world.programme) == before


async def test_an_explanation_derives_what_is_available_node_by_node(world: World) -> None:
    await world.begin(limit=cny("5000.00"), upstream_limit=cny("900.00"))
    supplier = await world.supplier(cap="3000.00")
    line = await world.line_of(supplier)
    assert (line["available"]["amount"], line["binding_node"]) == ("900.00", f"direction/{world.programme}/upstream")
    async with world.bench.caller("bank_maker") as bank, world.bench.caller("sme", party=supplier) as sme:
        whole = (await bank.get(f"/lines/{line['line_id']}/explanation")).json()
        own = (await sme.get(f"/lines/{line['line_id']}/explanation")).json()
    assert min(int(node["available"]["amount"][:-3]) for node in whole["nodes"]) == 900
    assert [node["level"] for node in whole["nodes"]] == [
        "group",
        "obligor",
        "programme",
        "direction",
        "tier",
        "sme",
        "line",
    ]
    assert whole["propagation"]["bounds"]["rating_cap"]["amount"] == "3000.00"
    assert "can draw CNY 900.00" in whole["text"]
    # What others use of shared limits is not the supplier's to see (R23).
    shared = [node for node in own["nodes"] if "utilised" not in node]
    assert {node["level"] for node in shared} == {"group", "obligor", "programme", "direction", "tier"}


async def test_r23_a_party_sees_its_own_lines_and_drawdowns_only(world: World) -> None:
    await world.begin()
    first, second = await world.supplier(), await world.supplier()
    drawdown = await world.held(first, "1.00")
    line = await world.line_of(first)
    async with world.bench.caller("sme", party=second) as sme:
        assert {each["enterprise_id"] for each in (await sme.get("/lines")).json()["items"]} == {second}
        assert (await sme.get("/drawdowns")).json()["items"] == []
        paths: list[tuple[str, dict[str, Any]]] = [
            (f"/lines/{line['line_id']}", {}),
            (f"/lines/{line['line_id']}/explanation", {}),
            ("/lines", {"enterprise_id": first}),
            (f"/drawdowns/{drawdown}", {}),
            ("/drawdowns", {"enterprise_id": first}),
            ("/documents", {"enterprise_id": first}),
        ]
        for path, params in paths:
            answer = await sme.get(path, params=params)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party"), path
        for path in (f"/nodes?programme_id={world.programme}", f"/programmes/{world.programme}", "/referrals"):
            assert (await sme.get(path)).json()["code"] == "forbidden"


async def test_every_list_is_paged_by_its_key(world: World) -> None:
    await world.begin()
    suppliers = [await world.supplier() for _ in range(3)]
    for _ in range(2):
        await world.held(suppliers[0], "1.00")
    async with world.bench.caller("bank_maker") as bank:
        for path, count in (
            ("/lines?", 3),
            ("/drawdowns?", 2),
            (f"/documents?enterprise_id={suppliers[0]}&", 2),
            (f"/nodes?programme_id={world.programme}&", 15),
        ):
            whole = (await bank.get(f"{path}limit=100")).json()
            assert len(whole["items"]) == count, path
            found, cursor = [], ""
            while cursor is not None:
                page = (await bank.get(f"{path}limit=1&cursor={cursor}")).json()
                found += page["items"]
                cursor = page["next"]
            assert found == whole["items"], path
        for cursor in ("%00", "AA==", "a", "é"):
            answer = await bank.get(f"/lines?cursor={cursor}")
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), cursor
        for name in ("enterprise_id", "programme_id"):
            answer = await bank.get(f"/lines?{name}=%00")
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_id"), name
        missing = await bank.get(f"/programmes/{new_id()}")
        assert (missing.status_code, missing.json()["code"]) == (404, "unknown_programme")


async def test_r12_a_programme_below_its_floors_shows_its_shortfall(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    await world.held(supplier, "50000.00")
    cut = cny("20000.00")
    await world.hear(
        ProgrammeLimitChanged(
            programme_id=world.programme, limit=cut, upstream_limit=cut, downstream_limit=cut, reason="cut"
        )
    )
    async with world.bench.caller("bank_maker") as bank:
        found = (await bank.get(f"/programmes/{world.programme}")).json()
    amounts = {name: found[name]["amount"] for name in ("limit", "pool", "reserved", "shortfall")}
    assert amounts == {"limit": "20000.00", "pool": "20000.00", "reserved": "50000.00", "shortfall": "30000.00"}
