"""Products as data: what a programme offers, a new one by a file, and drawdowns on the rating alone (DOMAIN §2, §3)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.events.credit import DrawdownApproved, DrawdownHeld
from shared.events.settlement import BusinessDayClosed, DisbursementFailed
from tests.integration.credit.world import OPEN, World, cny

_MICRO = ["receivables_discounting", "revolving_micro", "pure_credit"]


async def _alone(world: World, sme: str, principal: str, **more: Any) -> Any:
    return await world.draw(sme, [], principal, **{"product": "revolving_micro", "tenor_days": 90, **more})


async def test_a_product_is_added_by_a_policy_file(world: World, folder: Path) -> None:
    text = (folder / "products/receivables_discounting/2000-01-01.json").read_text(encoding="utf-8")
    document = json.loads(text)
    document["values"] |= {"advance_rate": "0.300000", "with_recourse": None, "price": "harvest"}
    (folder / "products/harvest_finance").mkdir()
    (folder / "products/harvest_finance/2020-01-01.json").write_text(json.dumps(document), encoding="utf-8")
    (pricing,) = (folder / "pricing").glob("*.json")
    prices = json.loads(pricing.read_text(encoding="utf-8"))
    prices["values"]["product"]["harvest"] = "0.020000"
    pricing.write_text(json.dumps(prices), encoding="utf-8")
    await world.begin(products=["receivables_discounting", "harvest_finance"])
    supplier = await world.supplier()
    usual, other, third = [await world.receivable(supplier) for _ in range(3)]
    assert (await world.draw(supplier, [usual], "80000.00")).json()["product"] == "receivables_discounting"
    above = await world.draw(supplier, [other], "30000.01", product="harvest_finance")
    assert (above.status_code, above.json()["code"]) == (422, "borrowing_base_exceeded")
    drawn = await world.draw(supplier, [third], "30000.00", product="harvest_finance")
    assert drawn.status_code == 201, drawn.text
    assert (drawn.json()["form"], drawn.json()["product"]) == ("purchase", "harvest_finance")
    async with world.database.reader() as tx:
        version = await tx.pg.fetchval("SELECT product_version FROM drawdown WHERE product = 'harvest_finance'")
    assert version == "harvest_finance/2020-01-01"


async def test_a_products_new_version_counts_from_its_day_on_and_its_quota_too(world: World, folder: Path) -> None:
    name = "receivables_discounting"
    document = json.loads((folder / f"products/{name}/2000-01-01.json").read_text(encoding="utf-8"))
    day = OPEN + timedelta(days=1)
    document["valid_from"] = day.isoformat()
    document["values"] |= {"quota": {"CNY": {"*": {"small": "5000.00"}}}, "advance_rate": "0.100000"}
    (folder / f"products/{name}/{day}.json").write_text(json.dumps(document), encoding="utf-8")
    await world.begin()
    supplier = await world.supplier()
    first, second = [await world.receivable(supplier) for _ in range(2)]
    assert (await world.draw(supplier, [first], "70000.00")).status_code == 201
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=day))
    above = await world.draw(supplier, [second], "5000.01")
    assert (above.status_code, above.json()["code"]) == (409, "limit_exceeded")
    assert above.json()["binding_node"].endswith(f"/{name}")
    assert (await world.draw(supplier, [second], "5000.00")).status_code == 201


async def test_a_programme_that_names_no_product_offers_those_of_its_recourse(world: World) -> None:
    await world.begin(recourse=False)
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    answer = await world.draw(supplier, [document], "1000.00")
    assert (answer.json()["product"], answer.json()["form"]) == ("payables_finance", "purchase")
    alone = await world.draw(supplier, [], "1000.00", tenor_days=30)
    assert (alone.status_code, alone.json()["code"]) == (422, "product_not_offered")


async def test_a_line_without_a_product_in_its_direction_is_shown_and_draws_nothing(world: World) -> None:
    await world.begin(products=["distributor_finance"])
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    assert "no_product" in (await world.line_of(supplier))["reasons"]
    answer = await world.draw(supplier, [document], "1000.00")
    assert (answer.status_code, answer.json()["code"]) == (422, "product_not_offered")


async def test_a_drawdown_on_the_rating_alone_is_approved_in_the_commit_that_holds_it(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier(cap="300000.00")
    answer = await _alone(world, supplier, "50000.00")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["state"], body["form"], body["documents"]) == ("held", "loan", [])
    assert body["maturity_date"] == body["due_date"] == "2026-05-31"
    found = await world.drawdown(body["drawdown_id"])
    assert (found["state"], found["product"], found["obligor_id"]) == ("approved", "revolving_micro", supplier)
    assert await world.told(body["drawdown_id"]) == ["drawdown.held", "drawdown.approved"]
    async with world.database.reader() as tx:
        bodies = await tx.pg.fetch("SELECT body FROM outbox WHERE subject = $1 ORDER BY sequence", body["drawdown_id"])
    held, said = DrawdownHeld.model_validate_json(bodies[0][0]), DrawdownApproved.model_validate_json(bodies[1][0])
    assert (held.documents, held.product) == ([], "revolving_micro")
    assert (said.payee_id, said.recourse, said.interest_payer) == (supplier, True, "seller")
    assert (said.principal, said.face) == (cny("50000.00"), cny("50000.00"))


async def test_without_a_document_the_anchor_carries_nothing_and_the_firms_own_cap_all(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier(cap="300000.00")
    answer = await _alone(world, supplier, "50000.00")
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT node_id FROM limit_node WHERE held_minor = 5000000")
    line = (await world.line_of(supplier))["line_id"]
    assert {row["node_id"].split("/")[0] for row in rows} == {
        "programme",
        "direction",
        "tier",
        "line",
        "sme",
        "product",
    }
    assert f"product/{line}/revolving_micro" in {row["node_id"] for row in rows}
    await world.hear(world.disbursed(answer.json()["drawdown_id"], "50000.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "50000.00"


async def test_a_quota_goes_by_size_class_and_refuses_what_is_above_it(world: World) -> None:
    await world.begin(
        products=_MICRO, limit=cny("90000000.00"), upstream_limit=cny("90000000.00"), auto_approve_up_to=cny("1.00")
    )
    supplier = await world.supplier(cap="50000000.00", traded="50000000.00")
    answer = await _alone(world, supplier, "4000000.01")
    assert (answer.status_code, answer.json()["code"]) == (409, "limit_exceeded")
    assert answer.json()["binding_node"].startswith("product/")
    assert answer.json()["available"]["amount"] == "4000000.00"
    held = await _alone(world, supplier, "3000000.00")
    assert (await world.drawdown(held.json()["drawdown_id"]))["state"] == "referred"
    assert (await _alone(world, supplier, "1000000.01")).json()["code"] == "limit_exceeded"
    assert (await _alone(world, supplier, "1000000.00")).status_code == 201


async def test_propagation_gives_a_line_no_more_than_its_products_may_be(world: World) -> None:
    large = cny("90000000.00")
    await world.begin(products=["revolving_micro"], limit=large, upstream_limit=large)
    supplier = await world.supplier(cap="50000000.00", traded="50000000.00")
    assert (await world.line_of(supplier))["cap"]["amount"] == "4000000.00"


async def test_r10_the_line_support_not_used_bounds_what_is_drawn_on_the_rating(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier(cap="100000.00")
    await world.held(supplier, "60000.00")
    over = await _alone(world, supplier, "40000.01")
    assert (over.status_code, over.json()["code"]) == (409, "limit_exceeded")
    assert (await _alone(world, supplier, "40000.00")).status_code == 201


async def test_r10_of_many_draws_at_once_a_quota_takes_exactly_what_it_has(world: World) -> None:
    large = cny("90000000.00")
    await world.begin(products=["revolving_micro"], limit=large, upstream_limit=large, auto_approve_up_to=large)
    supplier = await world.supplier(cap="50000000.00", traded="50000000.00")
    line = (await world.line_of(supplier))["line_id"]
    answers = await asyncio.gather(*(_alone(world, supplier, "700000.00", line_id=line) for _ in range(9)))
    assert sorted(each.status_code for each in answers) == [201] * 5 + [409] * 4
    states = [(await world.drawdown(each.json()["drawdown_id"]))["state"] for each in answers if each.is_success]
    assert states == ["approved"] * 5
    assert (await world.line_of(supplier))["held"]["amount"] == "3500000.00"


async def test_r22_what_is_referred_without_a_document_is_decided_by_two_persons(world: World) -> None:
    await world.begin(products=_MICRO, auto_approve_up_to=cny("100.00"))
    supplier = await world.supplier()
    drawdown = (await _alone(world, supplier, "100.01")).json()["drawdown_id"]
    assert (await world.drawdown(drawdown))["reason"] == "above_automatic_approval"
    async with world.bench.caller("bank_maker", subject="maker") as maker:
        body = {"decision": "approve", "reason": "known customer"}
        proposed = (await maker.post(f"/drawdowns/{drawdown}/decision", json=body)).json()["approval_id"]
        assert (await maker.post(f"/approvals/{proposed}/approve")).status_code == 403
    async with world.bench.caller("bank_checker", subject="checker") as checker:
        assert (await checker.post(f"/approvals/{proposed}/approve")).status_code == 200
    assert await world.told(drawdown) == ["drawdown.held", "drawdown.referred", "drawdown.approved"]


@pytest.mark.parametrize("days", [None, 181, 365])
async def test_a_drawdown_on_the_rating_names_a_tenor_inside_the_bounds(world: World, days: int | None) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier()
    answer = await _alone(world, supplier, "1000.00", tenor_days=days)
    assert (answer.status_code, answer.json()["code"]) == (422, "tenor_not_offered")
    assert (answer.json()["shortest_days"], answer.json()["longest_days"]) == (1, 180)


async def test_r11_a_product_that_does_not_revolve_is_used_up_by_repayment(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier()
    for name, after in (("pure_credit", "3950000.00"), ("revolving_micro", "4000000.00")):
        drawn = (await _alone(world, supplier, "50000.00", product=name)).json()["drawdown_id"]
        await world.hear(world.disbursed(drawn, "50000.00"), world.repaid(drawn, "50000.00"))
        assert await _sanctioned(world, name) == after
        # What propagation sanctions anew remembers it.
        await world.hear(world.rating(supplier))
        assert await _sanctioned(world, name) == after
        await world.hear(world.repaid(drawn, "-20000.00", outstanding="20000.00"))
        assert await _sanctioned(world, name) == {"pure_credit": "3970000.00"}.get(name, after)


async def _sanctioned(world: World, name: str) -> str:
    async with world.database.reader() as tx:
        found = await tx.pg.fetchval("SELECT sanctioned_minor FROM limit_node WHERE node_id LIKE '%/' || $1", name)
    return f"{found / 100:.2f}"


async def test_r23_a_line_says_what_it_offers_to_its_own_firm_and_the_bank(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier, other = await world.supplier(), await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    async with world.bench.caller("sme", party=supplier) as sme:
        items = (await sme.get(f"/lines/{line}/products")).json()["items"]
        purposes = (await sme.get("/purposes")).json()
    assert [each["product"] for each in items] == _MICRO
    assert (items[0]["quota"], items[0]["documents"], items[0]["longest_days"]) == (None, ["receivable"], 180)
    assert (items[1]["quota"]["amount"], items[1]["documents"]) == ("4000000.00", [])
    assert {"code": "wages", "en": "wages and social insurance", "zh": "工资及社保"} in purposes["items"]
    assert purposes["entrusted_above"] == [{"amount": "10000000.00", "currency": "CNY"}]
    async with world.bench.caller("sme", party=other) as sme:
        assert (await sme.get(f"/lines/{line}/products")).status_code == 403


async def test_a_line_on_the_rating_alone_explains_its_quota_too(world: World) -> None:
    await world.begin(products=["revolving_micro"])
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    for language, quota in (("en", "product's quota"), ("zh", "产品限额")):
        async with world.bench.caller("sme", party=supplier) as sme:
            told = (await sme.get(f"/lines/{line}/explanation", params={"language": language})).json()
        assert [each["level"] for each in told["nodes"]][-1] == "product"
        assert quota in told["text"]
        assert told["nodes"][-1]["sanctioned"]["amount"] == "4000000.00"


async def test_a_quote_names_its_product_and_binds_for_it_and_its_tenor_only(world: World) -> None:
    await world.begin(products=_MICRO)
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    asked = {"line_id": line, "documents": [], "principal": cny("1000.00").model_dump()}
    async with world.bench.caller("sme", party=supplier) as sme:
        quote = (await sme.post("/quotes", json={**asked, "product": "revolving_micro", "tenor_days": 90})).json()
        assert (quote["product"], quote["tenor_days"]) == ("revolving_micro", 90)
    for change in ({"tenor_days": 91}, {"product": "pure_credit"}):
        other = await _alone(world, supplier, "1000.00", quote_id=quote["quote_id"], **change)
        assert (other.status_code, other.json()["code"]) == (409, "quote_mismatch")
    assert (await _alone(world, supplier, "1000.00", quote_id=quote["quote_id"])).json()["rate"] == quote["rate"]


async def test_a_quote_shows_what_instalments_would_be_of_a_loan(world: World) -> None:
    await world.begin(products=["pure_credit", "payables_finance"])
    supplier = await world.supplier()
    asked = {
        "line_id": (await world.line_of(supplier))["line_id"],
        "documents": [],
        "principal": cny("1000.00").model_dump(),
        "tenor_days": 90,
        "plan": {"kind": "equal_principal", "instalments": 3},
    }
    bought = {**asked, "documents": [{"kind": "receivable", "document_id": await world.receivable(supplier)}]}
    del bought["tenor_days"]
    async with world.bench.caller("sme", party=supplier) as sme:
        repayment = (await sme.post("/quotes", json=asked)).json()["repayment"]
        refused = await sme.post("/quotes", json=bought)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_plan")
    assert [each["principal"]["amount"] for each in repayment["instalments"]] == ["333.33", "333.33", "333.34"]
    # 31 May is a Sunday: the last date rolls (R15).
    assert [each["due_date"] for each in repayment["instalments"]] == ["2026-04-02", "2026-05-06", "2026-06-01"]
    assert (repayment["kind"], repayment["binding"]) == ("equal_principal", True)


async def test_a_failed_disbursement_releases_and_the_firm_draws_again_under_a_new_key(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    first = (await world.draw(supplier, [document], "1000.00", key="one", subject="erp")).json()["drawdown_id"]
    await world.hear(world.assigned(first), DisbursementFailed(loan_id=first, reason="account_closed"))
    found = await world.drawdown(first)
    assert (found["state"], found["reason"]) == ("released", "account_closed")
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"
    # The old key tells the old story, a new one draws on the same document again.
    assert (await world.draw(supplier, [document], "1000.00", key="one", subject="erp")).json()["drawdown_id"] == first
    second = (await world.draw(supplier, [document], "1000.00", key="two", subject="erp")).json()["drawdown_id"]
    assert second != first
    await world.hear(world.assigned(second), world.disbursed(second, "1000.00"))
    assert (await world.drawdown(second))["state"] == "utilised"
    assert (await world.line_of(supplier))["utilised"]["amount"] == "1000.00"
    assert OPEN.isoformat() < found["maturity_date"]
