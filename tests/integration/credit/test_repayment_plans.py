"""A drawdown under a repayment plan: what its product allows, what the quote binds, what the others hear (R3, R15)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.events.credit import DrawdownApproved, DrawdownHeld
from shared.events.settlement import LoanClosed, LoanCured, LoanOverdue
from tests.integration.credit.world import DUE, OPEN, World, cny

_PLAN = {"kind": "equal_instalments", "instalments": 3}


async def _draw(world: World, supplier: str, principal: str = "30000.00", **more: Any) -> Any:
    return await world.draw(
        supplier, [], principal, **{"product": "revolving_micro", "tenor_days": 90, "plan": _PLAN, **more}
    )


async def _quote(world: World, supplier: str, **more: Any) -> dict[str, Any]:
    asked = {
        "line_id": (await world.line_of(supplier))["line_id"],
        "documents": [],
        "principal": cny("30000.00").model_dump(),
        "product": "revolving_micro",
        "tenor_days": 90,
        "plan": _PLAN,
        **more,
    }
    async with world.bench.caller("sme", party=supplier) as sme:
        answer = await sme.post("/quotes", json=asked)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _borrower(world: World) -> str:
    await world.begin(products=["receivables_discounting", "revolving_micro"])
    return await world.supplier(cap="300000.00")


async def test_a_quoted_plan_binds_and_travels_with_the_drawdown_to_whoever_bills_it(world: World) -> None:
    supplier = await _borrower(world)
    quote = await _quote(world, supplier)
    answer = await _draw(world, supplier, quote_id=quote["quote_id"])
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["repayment"] == quote["repayment"]
    instalments = body["repayment"]["instalments"]
    assert (body["maturity_date"], body["due_date"]) == ("2026-06-01", "2026-06-01")
    assert instalments[-1]["due_date"] == body["maturity_date"]
    # Equal to the cent, up to what the last one takes of the rounding.
    assert len({each["total"]["amount"] for each in instalments[:-1]}) == 1
    assert (await world.drawdown(body["drawdown_id"]))["repayment"] == body["repayment"]
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT body FROM outbox WHERE subject = $1 ORDER BY sequence", body["drawdown_id"])
    held = DrawdownHeld.model_validate_json(rows[0][0])
    said = DrawdownApproved.model_validate_json(rows[1][0])
    assert held.plan == said.plan
    assert said.plan is not None
    assert (said.plan.kind, said.plan.early_repayment) == ("equal_instalments", "shorten")
    assert sum(each.principal.minor for each in said.plan.instalments) == said.principal.minor
    assert said.plan.instalments[-1].due_date == said.maturity_date
    # The limits hold the principal in full, whenever it is repaid.
    assert (await world.line_of(supplier))["held"]["amount"] == "30000.00"


async def test_a_plan_costs_less_interest_than_a_bullet_and_the_all_in_rate_looks_at_what_is_outstanding(
    world: World,
) -> None:
    supplier = await _borrower(world)
    plan, bullet, none = [await _quote(world, supplier, plan=each) for each in (_PLAN, {"kind": "bullet"}, None)]
    assert float(plan["interest"]["amount"]) < float(bullet["interest"]["amount"]) * 0.75
    # The fee weighs more on what is lent for less long.
    assert plan["all_in_rate"] >= bullet["all_in_rate"]
    assert (bullet["interest"], bullet["all_in_rate"]) == (none["interest"], none["all_in_rate"])
    assert [each["due_date"] for each in bullet["repayment"]["instalments"]] == [bullet["maturity_date"]]
    assert "repayment" not in none


@pytest.mark.parametrize(
    "other",
    [
        {"plan": None},
        {"plan": {"kind": "equal_principal", "instalments": 3}},
        {"plan": {"kind": "equal_instalments", "instalments": 2}},
    ],
)
async def test_a_drawdown_under_another_plan_than_the_quotes_is_refused(world: World, other: dict[str, Any]) -> None:
    supplier = await _borrower(world)
    quote = await _quote(world, supplier)
    refused = await _draw(world, supplier, quote_id=quote["quote_id"], **other)
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_mismatch")
    # The number of instalments that follows from the period is the same plan, said or not.
    same = await _draw(world, supplier, quote_id=quote["quote_id"], plan={"kind": "equal_instalments"})
    assert same.status_code == 201, same.text


async def test_a_bullet_is_a_drawdown_as_any_other(world: World) -> None:
    supplier = await _borrower(world)
    bullet = (await _draw(world, supplier, plan={"kind": "bullet"})).json()
    plain = (await _draw(world, supplier, plan=None)).json()
    assert bullet["maturity_date"] == plain["maturity_date"] == "2026-05-31"
    assert "repayment" not in bullet
    assert (await world.drawdown(bullet["drawdown_id"]))["repayment"] is None


async def test_a_product_says_by_which_plans_and_for_how_long_it_is_repaid(world: World, folder: Path) -> None:
    file = folder / "products/revolving_micro/2000-01-01.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["values"]["plans"] |= {"kinds": ["interest_only"], "longest_days": 60, "period_months": None}
    file.write_text(json.dumps(document), encoding="utf-8")
    supplier = await _borrower(world)
    refusals = [
        await _draw(world, supplier),
        await _draw(world, supplier, plan={"kind": "interest_only", "instalments": 3}),
        await _draw(world, supplier, plan={"kind": "interest_only"}, tenor_days=60),
    ]
    assert [(each.status_code, each.json()["code"]) for each in refusals] == [
        (422, "plan_not_offered"),
        (422, "plan_not_offered"),
        (422, "invalid_plan"),
    ]
    assert [each.json().get("reason") for each in refusals[:2]] == ["not_this_kind", "longer_than_its_plans"]
    drawn = await _draw(world, supplier, plan={"kind": "interest_only", "instalments": 2}, tenor_days=60)
    principals = [each["principal"]["amount"] for each in drawn.json()["repayment"]["instalments"]]
    assert principals == ["0.00", "30000.00"]


async def test_where_an_obligor_pays_its_documents_there_is_no_plan(world: World) -> None:
    supplier = await _borrower(world)
    document = await world.receivable(supplier)
    refused = await world.draw(supplier, [document], "1000.00", plan=_PLAN)
    assert (refused.status_code, refused.json()["code"]) == (422, "plan_not_offered")


async def test_r11_each_repaid_principal_is_available_again_and_a_cured_delay_opens_the_line(world: World) -> None:
    supplier = await _borrower(world)
    drawdown_id = (await _draw(world, supplier)).json()["drawdown_id"]
    await world.hear(world.disbursed(drawdown_id, "30000.00"), world.repaid(drawdown_id, "9900.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "20100.00"
    overdue = LoanOverdue(
        loan_id=drawdown_id, days_past_due=4, outstanding=cny("20100.00"), overdue=cny("10200.00"), due_date=DUE
    )
    await world.hear(overdue)
    assert (await world.line_of(supplier))["drawable"] is False
    await world.hear(world.repaid(drawdown_id, "10000.00"), LoanCured(loan_id=drawdown_id, cured_date=OPEN))
    line = await world.line_of(supplier)
    assert (line["drawable"], line["utilised"]["amount"]) == (True, "10100.00")
    await world.hear(world.repaid(drawdown_id, "10100.00"), LoanClosed(loan_id=drawdown_id, closed_date=OPEN))
    assert (await world.drawdown(drawdown_id))["state"] == "repaid"
    assert (await world.line_of(supplier))["utilised"]["amount"] == "0.00"


async def test_a_firms_cash_needs_count_each_instalment_when_it_is_due(world: World) -> None:
    supplier = await _borrower(world)
    drawn = (await _draw(world, supplier, plan={"kind": "equal_principal", "instalments": 3})).json()
    await world.hear(world.disbursed(drawn["drawdown_id"], "30000.00"), world.repaid(drawn["drawdown_id"], "10000.00"))
    asked = {"opening_balance": cny("0.00").model_dump(), "minimum_balance": cny("0.00").model_dump(), "weeks": 26}
    async with world.bench.caller("sme", party=supplier) as sme:
        answer = await sme.post(f"/enterprises/{supplier}/cash-needs", json=asked)
    flows = [each for each in answer.json()["known_flows"] if each["source"] == "loan_instalment"]
    owed = drawn["repayment"]["instalments"][1:]
    assert [(each["date"], each["direction"], each["amount"]) for each in flows] == [
        (each["due_date"], "out", each["total"]) for each in owed
    ]
