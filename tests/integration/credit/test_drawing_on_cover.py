"""Drawing on cover: principal above the documents, each yuan of cover once, by all of a firm's lines (DOMAIN §3)."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from services.credit.operations.propagate_due import propagate_due
from shared.events.credit import CoverLendingValueChanged, DrawdownHeld
from shared.events.receivables import ReceivableDiluted
from shared.events.settlement import BusinessDayClosed
from tests.integration.credit.checks import sound
from tests.integration.credit.desk import work
from tests.integration.credit.pledging import VALUED, approve, money, registered, second_line, take_step
from tests.integration.credit.world import OPEN, World, cny


def node(firm: str, line: str | None = None) -> str:
    return f"cover/{firm}/CNY" if line is None else f"cover/{firm}/CNY/{line}"


async def standing(world: World, name: str) -> tuple[str, ...]:
    """Return what a node is sanctioned, what is held and used of it, and what it is short of."""
    told = (await world.nodes())[name]
    return tuple(told[each]["amount"] for each in ("sanctioned", "held", "utilised", "shortfall"))


async def step(world: World, cover_id: str, name: str, **facts: Any) -> None:
    answer = await approve(world, await take_step(world, cover_id, name, **facts))
    assert answer.status_code == 200, answer.text


async def test_cover_carries_what_is_above_the_documents_and_no_more(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    document = await world.receivable(firm)
    refused = await world.draw(firm, [document], "80000.01")
    assert (refused.json()["code"], refused.json()["most"]["amount"]) == ("borrowing_base_exceeded", "80000.00")
    cover_id = await registered(world, firm)
    above = await world.draw(firm, [document], "90000.01")
    assert (above.json()["code"], above.json()["most"]["amount"]) == ("borrowing_base_exceeded", "90000.00")
    held = await world.draw(firm, [document], "87000.00")
    assert (held.status_code, held.json()["on_cover"]["amount"]) == (201, "7000.00")
    drawdown_id = held.json()["drawdown_id"]
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval("SELECT body FROM outbox WHERE subject = $1 AND sequence = 1", drawdown_id)
    said = DrawdownHeld.model_validate_json(body)
    assert said.on_cover == cny("7000.00")
    assert await standing(world, node(firm)) == ("10000.00", "7000.00", "0.00", "0.00")
    refused = await world.draw(firm, [await world.receivable(firm)], "83000.01")
    assert (refused.json()["binding_node"], refused.json()["available"]["amount"]) == (node(firm), "3000.00")
    plain = await world.draw(firm, [await world.receivable(firm)], "80000.00")
    assert "on_cover" not in plain.json()
    assert (await world.drawdown(drawdown_id))["covers"] == [{"cover_id": cover_id, "amount": money("7000.00")}]
    await sound(world)


async def test_r11_repayment_frees_cover_first_and_a_reversal_takes_it_again(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await registered(world, firm)
    held = await world.held(firm, "87000.00")
    await world.hear(world.assigned(held), world.disbursed(held, "87000.00"))
    assert (await world.drawdown(held))["state"] == "utilised"
    await world.hear(world.repaid(held, "5000.00"))
    assert await standing(world, node(firm)) == ("10000.00", "0.00", "2000.00", "0.00")
    await world.hear(world.repaid(held, "50000.00"))
    assert await standing(world, node(firm)) == ("10000.00", "0.00", "0.00", "0.00")
    await world.hear(world.repaid(held, "-55000.00"))
    assert await standing(world, node(firm)) == ("10000.00", "0.00", "7000.00", "0.00")
    await sound(world)


async def test_all_of_a_firm_s_lines_share_its_cover_each_yuan_once(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    first, second = (await world.line_of(firm))["line_id"], await second_line(world, firm)
    await registered(world, firm)
    assert (await world.draw(firm, [await world.receivable(firm)], "86000.00", line_id=first)).status_code == 201
    refused = await world.draw(firm, [await world.receivable(firm)], "84000.01", line_id=second)
    assert (refused.json()["binding_node"], refused.json()["available"]["amount"]) == (node(firm), "4000.00")
    assert (await world.draw(firm, [await world.receivable(firm)], "84000.00", line_id=second)).status_code == 201
    await sound(world)


async def test_cover_for_one_line_only_leaves_the_rest_to_the_others(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    first, second = (await world.line_of(firm))["line_id"], await second_line(world, firm)
    await registered(world, firm, secured=money("6000.00"))
    # Drawn before any cover named a line: brought onto the line's own node when one does.
    assert (await world.draw(firm, [await world.receivable(firm)], "85000.00", line_id=first)).status_code == 201
    await registered(world, firm, asset="PRESS-1", secured=money("4000.00"), line_ids=[first])
    assert await standing(world, node(firm)) == ("10000.00", "5000.00", "0.00", "0.00")
    assert await standing(world, node(firm, first)) == ("10000.00", "5000.00", "0.00", "0.00")
    # The first line's 5,000.00 can stand on its own 4,000.00 and 1,000.00 of what all share: 5,000.00 are left.
    refused = await world.draw(firm, [await world.receivable(firm)], "85000.01", line_id=second)
    assert refused.json()["available"]["amount"] == "5000.00"
    assert (await world.draw(firm, [await world.receivable(firm)], "83000.00", line_id=second)).status_code == 201
    refused = await world.draw(firm, [await world.receivable(firm)], "82000.01", line_id=first)
    assert (refused.json()["binding_node"], refused.json()["available"]["amount"]) == (node(firm, first), "2000.00")
    assert (await world.draw(firm, [await world.receivable(firm)], "82000.00", line_id=first)).status_code == 201
    await sound(world)


async def test_r12_a_cover_that_ends_leaves_loans_as_they_are_and_refuses_new_ones(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    cover_id = await registered(world, firm)
    held, waiting = await world.held(firm, "86000.00"), await world.held(firm, "83000.00")
    await world.hear(world.assigned(held), world.disbursed(held, "86000.00"))
    await step(world, cover_id, "value", **{**VALUED, "value": money("16000.00")})
    # 16,000.00 less 30% less 4,000.00.
    assert await standing(world, node(firm)) == ("7200.00", "3000.00", "6000.00", "1800.00")
    refused = await world.draw(firm, [await world.receivable(firm)], "80000.01")
    assert refused.json()["binding_node"] == node(firm)
    assert (await world.draw(firm, [await world.receivable(firm)], "80000.00")).status_code == 201
    await step(world, cover_id, "release", reason="given back")
    assert await standing(world, node(firm)) == ("0.00", "3000.00", "6000.00", "9000.00")
    refused = await world.draw(firm, [await world.receivable(firm)], "80000.01")
    assert refused.json()["code"] == "borrowing_base_exceeded"
    await world.hear(world.assigned(waiting))
    found = await world.drawdown(waiting)
    assert (found["state"], found["reason"]) == ("referred", "limit_cut_below_use")
    assert (await world.drawdown(held))["state"] == "utilised"
    assert await world.told(cover_id) == [
        *("cover.proposed", "cover.valued", "cover.registered", "cover.valued", "cover.released"),
    ]
    await sound(world)


async def test_cover_falls_on_the_business_day_after_its_last(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    ending = await registered(world, firm, valid_until=OPEN.isoformat())
    lasting = await registered(world, await world.supplier(), asset="PRESS-1")
    await world.held(firm, "86000.00")
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=OPEN + timedelta(days=1)))
    told = await world.told(ending)
    assert (told[-1], told.count("cover.lending_value_changed")) == ("cover.lending_value_changed", 1)
    assert "cover.lending_value_changed" not in await world.told(lasting), "what carries the same says nothing"
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval("SELECT body FROM outbox WHERE subject = $1 ORDER BY sequence DESC LIMIT 1", ending)
    said = CoverLendingValueChanged.model_validate_json(body)
    assert (said.lending_value_before, said.lending_value) == (cny("10000.00"), cny("0.00"))
    assert said.business_date == OPEN + timedelta(days=1)
    assert await standing(world, node(firm)) == ("0.00", "6000.00", "0.00", "6000.00")
    refused = await world.draw(firm, [await world.receivable(firm)], "80000.01")
    assert refused.json()["code"] == "borrowing_base_exceeded"
    await sound(world)


async def test_r6_what_cover_carries_is_no_deficiency_of_the_documents(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await registered(world, firm)
    document = await world.receivable(firm)
    held = (await world.draw(firm, [document], "87000.00")).json()["drawdown_id"]
    await world.hear(world.assigned(held), world.disbursed(held, "87000.00"))
    note = {"receivable_id": document, "reason": "credit note"}
    await world.hear(ReceivableDiluted(**note, by=cny("10000.00"), financeable=cny("90000.00")))
    assert (await world.drawdown(held))["deficiency"]["amount"] == "8000.00"
    await world.hear(world.repaid(held, "15000.00"))
    await world.hear(ReceivableDiluted(**note, by=cny("0.00"), financeable=cny("90000.00")))
    assert (await world.drawdown(held))["deficiency"]["amount"] == "0.00"


async def test_a_quote_tells_what_stands_on_cover_and_an_explanation_what_is_left_now_and_then(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line = (await world.line_of(firm))["line_id"]
    await registered(world, firm)
    document = await world.receivable(firm)
    async with world.bench.caller("sme", party=firm) as sme:
        named = [{"kind": "receivable", "document_id": document}]
        asked = {"line_id": line, "documents": named, "principal": money("84000.00")}
        quote = (await sme.post("/quotes", json=asked)).json()
        before = (await sme.get(f"/lines/{line}/explanation")).json()
        drawn = await world.draw(firm, [document], "84000.00", line_id=line, quote_id=quote["quote_id"])
        now = (await sme.get(f"/lines/{line}/explanation")).json()
        zh = (await sme.get(f"/lines/{line}/explanation", params={"language": "zh"})).json()
        then = (await sme.get(f"/lines/{line}/explanation", params={"as_of": before["as_of"]})).json()
    assert quote["on_cover"]["amount"] == drawn.json()["on_cover"]["amount"] == "4000.00"
    assert before["cover"] == then["cover"] == {"most": money("10000.00"), "left": money("10000.00")}
    assert now["cover"] == {"most": money("10000.00"), "left": money("6000.00")}
    assert "secures up to CNY 10,000.00 of this line's loans beside documents, CNY 6,000.00 of it unused" in now["text"]
    assert "其中尚可使用 CNY 6,000.00" in zh["text"]


async def test_a_product_that_needs_a_pledge_draws_only_against_registered_cover(world: World, folder: Path) -> None:
    name = "revolving_micro"
    document = json.loads((folder / f"products/{name}/2000-01-01.json").read_text(encoding="utf-8"))
    document["values"] |= {"cover": "pledge"}
    (folder / "products/property_loan").mkdir()
    (folder / "products/property_loan/2020-01-01.json").write_text(json.dumps(document), encoding="utf-8")
    await world.begin(products=["receivables_discounting", "property_loan"])
    firm = await world.supplier()
    asked = {"product": "property_loan", "tenor_days": 30}
    refused = await world.draw(firm, [], "100.00", **asked)
    assert (refused.json()["code"], refused.json()["reasons"]) == ("line_not_drawable", ["no_registered_cover"])
    cover_id = await registered(world, firm)
    above = await world.draw(firm, [], "10000.01", **asked)
    assert (above.json()["code"], above.json()["reason"]) == ("borrowing_base_exceeded", "registered_cover")
    drawn = await world.draw(firm, [], "6000.00", **asked)
    assert (drawn.status_code, drawn.json()["on_cover"]["amount"]) == (201, "6000.00")
    found = await world.drawdown(drawn.json()["drawdown_id"])
    assert (found["state"], found["covers"]) == ("approved", [{"cover_id": cover_id, "amount": money("6000.00")}])
    # What the pledge carries, receivables have less of.
    assert (await world.draw(firm, [await world.receivable(firm)], "84000.00")).status_code == 201
    refused = await world.draw(firm, [], "0.01", **asked)
    assert refused.json()["binding_node"] == node(firm)
    await sound(world)


async def test_r10_of_draws_on_two_lines_from_several_processes_exactly_what_cover_carries_is_held(
    world: World,
) -> None:
    await world.begin()
    firm = await world.supplier()
    first, second = (await world.line_of(firm))["line_id"], await second_line(world, firm)
    await registered(world, firm, secured=money("50.00"))
    await registered(world, firm, asset="PRESS-1", secured=money("30.00"), line_ids=[first])
    documents = [await world.receivable(firm, amount="100.00") for _ in range(48)]
    given = {"do": "hold", "party": firm, "principal": 8_500}
    orders = [
        {**given, "key": each, "document": each, "line": (first, second)[nth % 2]} for nth, each in enumerate(documents)
    ]
    done = [each for desk in await work(world.database.url, [orders[::3], orders[1::3], orders[2::3]]) for each in desk]
    assert {each["code"] for each in done if "code" in each} == {"limit_exceeded"}
    held = [each["line"] for each in done if "done" in each]
    # 5.00 each of 50.00 for both and 30.00 for the first line alone.
    assert len(held) == 16
    assert held.count(second) <= 10
    assert await standing(world, node(firm)) == ("80.00", "80.00", "0.00", "0.00")
    await propagate_due(world.database)
    await sound(world)


async def test_r12_draws_race_with_a_valuation_and_with_the_release_of_a_cover(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line = (await world.line_of(firm))["line_id"]
    cover_id = await registered(world, firm, secured=money("90.00"))
    other = await registered(world, firm, asset="PRESS-1", secured=money("60.00"), line_ids=[line])
    low = await take_step(world, cover_id, "value", **{**VALUED, "value": money("5785.72")})
    gone = await take_step(world, other, "release", reason="paid back")
    documents = [await world.receivable(firm, amount="100.00") for _ in range(45)]
    held = [await world.draw(firm, [each], "85.00", line_id=line) for each in documents[:9]]
    given = {"do": "hold", "party": firm, "principal": 8_500, "line": line}
    draws = [{**given, "key": each, "document": each} for each in documents[9:]]
    cancels = [{"do": "cancel", "drawdown": each.json()["drawdown_id"]} for each in held]
    steps = [{"do": "decide", "approval": each.json()["approval_id"]} for each in (low, gone)]
    desks = [draws[:12] + steps[:1] + draws[12:18], cancels + draws[18:24], draws[24:30] + steps[1:] + draws[30:]]
    done = [each for desk in await work(world.database.url, desks) for each in desk]
    refused = {each["code"] for each in done if "code" in each}
    assert refused <= {"limit_exceeded", "borrowing_base_exceeded"}
    sanctioned, on_cover, _, _ = await standing(world, node(firm))
    # 5,785.72 less 30% less 4,000.00 of prior charges, and nothing of the released one.
    assert sanctioned == "50.00"
    async with world.database.reader() as tx:
        open_minor = await tx.pg.fetchval("SELECT count(*) * 500 FROM drawdown WHERE state = 'held'")
    assert int(on_cover.replace(".", "")) == open_minor
    await sound(world)


async def test_two_steps_of_covers_on_one_asset_leave_what_both_came_to(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    first = await registered(world, firm, secured=money("7000.00"))
    await registered(world, other, rank=2, secured=money("9000.00"))
    assert (await standing(world, node(firm)))[0] == "7000.00"
    assert (await standing(world, node(other)))[0] == "3000.00"
    await step(world, first, "release", reason="paid back")
    assert (await standing(world, node(other)))[0] == "9000.00"
    assert date.fromisoformat(VALUED["valued_date"]) == OPEN
