"""S26 over HTTP: each week's gap, of what credit knows and what the firm adds, and the drawdowns that close it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from services.credit.queries import cash_facts
from shared.values.ids import new_id
from tests.integration.credit.pledging import registered, second_line
from tests.integration.credit.world import OPEN, World


def _day(week: int, *, days: int = 0) -> date:
    return OPEN + timedelta(days=7 * week + days)


def _money(amount: str, currency: str = "CNY") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def _flow(day: date, direction: str, amount: str, *, name: str = "wages") -> dict[str, Any]:
    return {"due_date": day.isoformat(), "direction": direction, "amount": _money(amount), "name": name}


async def _needs(world: World, firm: str, *flows: dict[str, Any], opening: str = "0.00", **more: Any) -> dict[str, Any]:
    body = {"opening_balance": _money(opening), "minimum_balance": _money("0.00"), "flows": flows, **more}
    async with world.bench.caller("sme", party=firm) as sme:
        answer = await sme.post(f"/enterprises/{firm}/cash-needs", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _offer_property_loans(folder: Path) -> None:
    document = json.loads((folder / "products/revolving_micro/2000-01-01.json").read_text(encoding="utf-8"))
    document["values"] |= {"cover": "pledge"}
    (folder / "products/property_loan").mkdir()
    (folder / "products/property_loan/2020-01-01.json").write_text(json.dumps(document), encoding="utf-8")


async def test_s26_the_gap_before_an_invoice_is_due_is_closed_by_drawing_on_it(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    invoice = await world.receivable(firm, amount="100000.00", due=_day(8))
    found = await _needs(world, firm, _flow(_day(3), "out", "50000.00"), weeks=10)
    assert [week["gap"]["amount"] for week in found["weeks"]] == ["0.00"] * 3 + ["50000.00"] * 5 + ["0.00"] * 2
    assert found["known_flows"] == [
        {
            "date": _day(8).isoformat(),
            "direction": "in",
            "amount": _money("100000.00"),
            "source": "receivable",
            "reference": invoice,
        }
    ]
    (draw,) = found["drawdowns"]
    assert (draw["documents"], draw["product"]) == ([invoice], "receivables_discounting")
    assert (draw["date"], draw["repaid_date"], draw["maturity_date"]) == (
        _day(3).isoformat(),
        _day(8).isoformat(),
        _day(8, days=5).isoformat(),
    )
    # LPR 3% + 1% risk + 0.6% product + 0.1% new − 0.2% inclusive, and a fee of 0.1%, as a quote says.
    assert draw["rate"] == "0.045000"
    assert draw["paid_out"]["amount"][:7] == "50000.0"
    assert found["uncovered"]["amount"] == "0.00"
    assert {week["gap_with_drawdowns"]["amount"] for week in found["weeks"]} == {"0.00"}
    assert found["assumptions"]


async def test_s26_what_a_quote_then_asks_is_what_the_mix_counted(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    await world.receivable(firm, amount="100000.00", due=_day(8))
    found = await _needs(world, firm, _flow(OPEN, "out", "50000.00"), weeks=10)
    (draw,) = found["drawdowns"]
    body = {
        "line_id": draw["line_id"],
        "documents": [{"kind": "receivable", "document_id": each} for each in draw["documents"]],
        "principal": draw["principal"],
    }
    async with world.bench.caller("sme", party=firm) as sme:
        quote = (await sme.post("/quotes", json=body)).json()
    for name in ("rate", "interest", "fee", "paid_out", "maturity_date"):
        assert quote[name] == draw[name], name


async def test_s26_the_mix_takes_no_more_than_the_line_and_says_what_stays_open(world: World) -> None:
    await world.begin()
    firm = await world.supplier(cap="20000.00")
    await world.receivable(firm, amount="100000.00", due=_day(8))
    found = await _needs(world, firm, _flow(_day(3), "out", "50000.00"), weeks=10)
    (draw,) = found["drawdowns"]
    assert draw["principal"]["amount"] == "20000.00"
    assert found["uncovered"]["amount"] == "30020.00"


async def test_s26_what_cover_carries_above_the_documents_closes_more_of_the_gap_each_yuan_once(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    for week in (8, 9):
        await world.receivable(firm, amount="100000.00", due=_day(week))
    asked = _flow(_day(3), "out", "300000.00")
    bare = await _needs(world, firm, asked, weeks=7)
    assert {each["on_cover"]["amount"] for each in bare["drawdowns"]} == {"0.00"}
    assert sum(float(each["principal"]["amount"]) for each in bare["drawdowns"]) == 160_000.00
    await registered(world, firm)
    found = await _needs(world, firm, asked, weeks=7)
    # 20,000.00 less 30% less 4,000.00 of others: once, however many documents there are.
    assert sum(float(each["on_cover"]["amount"]) for each in found["drawdowns"]) == 10_000.00
    assert sum(float(each["principal"]["amount"]) for each in found["drawdowns"]) == 170_000.00
    for each in found["drawdowns"]:
        body = {
            "line_id": each["line_id"],
            "documents": [{"kind": "receivable", "document_id": name} for name in each["documents"]],
            "principal": each["principal"],
        }
        async with world.bench.caller("sme", party=firm) as sme:
            quote = await sme.post("/quotes", json=body)
        assert quote.status_code == 201, quote.text
        assert quote.json().get("on_cover", _money("0.00")) == each["on_cover"]


async def test_s26_a_product_that_needs_a_pledge_closes_what_registered_cover_still_carries(
    world: World, folder: Path
) -> None:
    _offer_property_loans(folder)
    await world.begin(products=["property_loan"])
    firm = await world.supplier()
    asked = _flow(_day(3), "out", "50000.00")
    assert (await _needs(world, firm, asked, weeks=8))["drawdowns"] == []
    await registered(world, firm)
    drawn = (await _needs(world, firm, asked, weeks=8))["drawdowns"]
    assert max(float(each["principal"]["amount"]) for each in drawn) <= 10_000.00
    assert {each["on_cover"]["amount"] for each in drawn} == {each["principal"]["amount"] for each in drawn} != set()


async def test_s26_cover_for_certain_lines_is_drawn_on_by_each_of_them(world: World, folder: Path) -> None:
    _offer_property_loans(folder)
    await world.begin(products=["property_loan"])
    firm = await world.supplier()
    first, second = (await world.line_of(firm))["line_id"], await second_line(world, firm, products=["property_loan"])
    await registered(world, firm, secured=_money("6000.00"), line_ids=[first])
    await registered(world, firm, asset="PRESS-1", secured=_money("4000.00"), line_ids=[second])
    await registered(world, firm, asset="PRESS-2", secured=_money("500.00"))
    found = await _needs(world, firm, _flow(_day(3), "out", "50000.00"), weeks=4)
    drawn = {each["line_id"]: each["principal"]["amount"] for each in found["drawdowns"]}
    assert drawn.keys() == {first, second}
    assert sum(float(amount) for amount in drawn.values()) == 10_500.00
    assert (float(drawn[first]) <= 6_500.00, float(drawn[second]) <= 4_500.00) == (True, True)


async def test_s26_open_drawdowns_and_what_the_firm_owes_are_counted(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    used = await world.held(firm, "40000.00", amount="100000.00", due=_day(4))
    await world.hear(world.assigned(used), world.disbursed(used, "40000.00"))
    waiting = await world.held(firm, "10000.00", amount="50000.00", due=_day(6))
    owed = await world.receivable(new_id(), amount="7000.00", due=_day(2), obligor_id=firm)
    found = await _needs(world, firm, weeks=12)
    known = {
        (each["source"], each["reference"]): (each["direction"], each["amount"]["amount"])
        for each in found["known_flows"]
    }
    # 33 days at 4.5% on 40,000.00 are 165.00, and 47 on 10,000.00 are 58.75; the fee of 10.00 is kept back.
    assert known == {
        ("surplus_of_a_loan", used): ("in", "59835.00"),
        ("drawdown_paid_out", waiting): ("in", "9990.00"),
        ("surplus_of_a_loan", waiting): ("in", "39941.25"),
        ("payable", owed): ("out", "7000.00"),
    }
    assert found["weeks"][2]["outflow"]["amount"] == "7000.00"
    assert found["drawdowns"] == []


async def test_s26_pure_credit_closes_a_gap_without_any_document(world: World) -> None:
    await world.begin(products=["receivables_discounting", "revolving_micro"])
    firm = await world.supplier()
    found = await _needs(
        world, firm, _flow(_day(1), "out", "5000.00"), _flow(_day(3), "in", "9000.00", name="sale"), weeks=6
    )
    (draw,) = found["drawdowns"]
    assert (draw["product"], draw["documents"], draw["date"], draw["repaid_date"]) == (
        "revolving_micro",
        [],
        _day(1).isoformat(),
        _day(3).isoformat(),
    )
    assert found["uncovered"]["amount"] == "0.00"


async def test_s26_without_a_line_the_gap_is_told_and_nothing_is_proposed(world: World) -> None:
    await world.begin()
    firm = new_id()
    found = await _needs(world, firm, _flow(OPEN, "out", "1.00"), weeks=1)
    assert (found["drawdowns"], found["uncovered"]["amount"], found["largest_gap"]["amount"]) == ([], "1.00", "1.00")


async def test_r23_a_firm_sees_its_own_needs_only_and_the_bank_sees_all(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    body = {"opening_balance": _money("0.00"), "minimum_balance": _money("0.00")}
    async with world.bench.caller("sme", party=new_id()) as other:
        refused = await other.post(f"/enterprises/{firm}/cash-needs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign_party")
    async with world.bench.caller("risk_officer") as bank:
        assert (await bank.post(f"/enterprises/{firm}/cash-needs", json=body)).status_code == 200
    async with world.bench.caller("anchor_maker", party=world.anchor) as anchor:
        assert (await anchor.post(f"/enterprises/{firm}/cash-needs", json=body)).status_code == 403


async def test_flows_are_above_zero_and_of_one_currency(world: World) -> None:
    firm = new_id()
    wrong: list[dict[str, Any]] = [
        {"minimum_balance": _money("0.00", "EUR")},
        {"flows": [{**_flow(OPEN, "in", "1.00"), "amount": _money("1.00", "EUR")}]},
        {"flows": [_flow(OPEN, "out", "0.00")]},
        {"weeks": 27},
    ]
    async with world.bench.caller("sme", party=firm) as sme:
        for change in wrong:
            body = {"opening_balance": _money("0.00"), "minimum_balance": _money("0.00"), **change}
            answer = await sme.post(f"/enterprises/{firm}/cash-needs", json=body)
            assert answer.status_code == 422, answer.text


async def test_what_a_firm_is_owed_and_owes_is_found_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL session_replication_role = replica")
        await tx.pg.execute(
            """INSERT INTO document (document_id, kind, owner_id, obligor_id, currency, eligible_minor, due_date, state)
            SELECT 'd' || n, 'receivable', 'o' || n % 500, 'b' || n % 500, 'CNY', 1, '2026-06-01', 'confirmed'
            FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE document")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for nth, query in enumerate((cash_facts._OWED, cash_facts._OWES)):
            await tx.pg.execute(f"PREPARE owed{nth} AS {query}")
            plan = await tx.pg.fetch(f"EXPLAIN EXECUTE owed{nth}('o1', 'CNY', '2026-03-02')")
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan on document" not in text, text


async def test_s26_the_firm_pays_the_interest_of_a_product_that_says_so_though_the_anchor_pays_for_the_others(
    world: World,
) -> None:
    products = ["receivables_discounting", "pure_credit"]
    await world.begin(interest_payer="anchor", products=products)
    firm = await world.supplier()
    on_invoice = await world.held(firm, "1000.00", amount="10000.00", due=_day(4))
    alone = await world.draw(firm, [], "1000.00", product="pure_credit", tenor_days=28)
    assert alone.status_code == 201, alone.text
    found = await _needs(world, firm, weeks=8)
    ends = {
        each["reference"]: each["amount"]["amount"]
        for each in found["known_flows"]
        if each["source"] in {"loan_maturity", "surplus_of_a_loan"}
    }
    assert ends[on_invoice] == "9000.00"
    assert float(ends[alone.json()["drawdown_id"]]) > 1000
