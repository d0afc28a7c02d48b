"""Goods as security: pledged once, worth less by the day and by what devices say, released as their loan is repaid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.receivables.operations.appraise_goods import revalue_due
from services.receivables.operations.movables_registry import Filing, MovablesRegistry
from services.receivables.operations.register import number_register
from shared.events.credit import DrawdownReleased
from shared.events.settlement import BusinessDayClosed
from shared.runtime.clock import database_now
from tests.integration.receivables import goods_desk as at
from tests.integration.receivables.desk import SECOND, SUPPLIER, Desk, closed, desk, disbursed


@pytest.fixture
async def here(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        await at.opened(made)
        yield made


async def lent(here: Desk, goods_id: str, amount: str = "800.00") -> str:
    """Assign goods to a drawdown of 500.00 whose money went out; return the drawdown's id."""
    held = at.on_goods(here, goods_id, amount)
    await here.hear(held, disbursed(held.drawdown_id))
    assert (await at.lot(here, goods_id))["state"] == "financed"
    return held.drawdown_id


async def worth(here: Desk, goods_id: str) -> tuple[str, str, list[str]]:
    found = await at.lot(here, goods_id)
    return found["value"]["amount"], found["eligible"]["amount"], found["reasons"]


async def test_goods_are_pledged_lent_on_and_released_as_they_are_repaid(here: Desk) -> None:
    goods_id = await at.pledged(here)
    (told,) = await here.events("goods.pledged.v1")
    assert (told["value"]["amount"], told["eligible"]["amount"], told["registry_reference"]) == (
        "1000.00",
        "800.00",
        "MR-00000001",
    )
    drawdown = await lent(here, goods_id)
    assert [line["assets"] for line in here.filings()] == [["goods/yangshan 3/wr001"], [f"pledge/{goods_id}"]]
    assert (await here.read(f"/assignments/{drawdown}"))["notices"][0]["obligor_id"] == here.id(SUPPLIER)
    await here.hear(at.repaid(drawdown, outstanding="300.00"))
    half = await at.lot(here, goods_id)
    assert (half["released"], half["pledged"], half["eligible"]["amount"]) == ("40", "60", "480.00")
    await here.hear(at.repaid(drawdown, outstanding="0.00"), closed(drawdown))
    over = await at.lot(here, goods_id)
    assert (over["state"], over["pledged"], over["devices"]) == ("released", "0", [])
    assert [each["wholly"] for each in await here.events("goods.released.v1")] == [False, True]
    assert [line["kind"] for line in here.filings()] == ["filing", "filing", "discharge", "discharge"]
    entries = await registered(here)
    assert [(each["kind"], each["archive_number"]) for each in entries] == [
        ("registration", goods_id),
        ("registration", drawdown),
        ("discharge", goods_id),
        ("discharge", drawdown),
    ]
    pledge, assignment = entries[:2]
    assert (pledge["transaction"], pledge["total"]["amount"]) == ("pledge_of_goods", "1000.00")
    assert (pledge["collateral"][0]["asset"], assignment["transaction"]) == (
        "goods/yangshan 3/wr001",
        "assignment_of_receivables",
    )


async def registered(here: Desk) -> list[dict[str, Any]]:
    await number_register(here.bench.database)
    async with here.bench.caller("risk_officer") as auditor:
        return [json.loads(line) for line in (await auditor.get("/register")).text.splitlines()]


async def test_a_reversed_repayment_takes_no_goods_back_and_of_fallen_goods_less_is_released(here: Desk) -> None:
    goods_id = await at.pledged(here)
    drawdown = await lent(here, goods_id)
    # Worth 900.00 now, they carry 720.00; 400.00 must stay for the half that is open: 320 of 720 parts may go.
    assert (await at.value(here, goods_id, at.valuation("9.00", source="appraiser"))).status_code == 201
    await here.hear(at.repaid(drawdown, outstanding="250.00"))
    assert (await at.lot(here, goods_id))["released"] == "44.444"
    await here.hear(at.repaid(drawdown, outstanding="500.00", principal="-250.00"))
    assert (await at.lot(here, goods_id))["released"] == "44.444"


async def test_r8_a_receipt_of_a_warehouse_stands_once_whoever_brings_it_and_however_it_is_written(here: Desk) -> None:
    goods_id = await at.registered(here)
    assert await at.registered(here) == goods_id
    rewritten: list[dict[str, Any]] = [
        {"receipt_number": "wr 001", "quantity": "90"},
        {"owner_id": here.id(SECOND)},
    ]
    for changes in rewritten:
        async with here.bench.caller("bank_maker") as bank:
            again = await bank.post("/goods", json=at.receipt(here, warehouse="YANGSHAN  3", **changes))
        assert (again.status_code, again.json()["code"]) == (409, "duplicate_receipt")
        assert goods_id not in again.text
    bodies = [at.receipt(here, receipt_number="WR-2", owner=each) for each in (SUPPLIER, SECOND) * 3]
    async with here.bench.caller("bank_maker") as bank:
        answers = await asyncio.gather(*(bank.post("/goods", json=body) for body in bodies))
    assert sorted(each.status_code for each in answers) == [201, 201, 201, 409, 409, 409]


async def test_r8_goods_secure_one_loan_and_what_the_registry_has_is_not_pledged_again(here: Desk) -> None:
    goods_id = await at.pledged(here)
    await lent(here, goods_id)
    await here.hear(at.on_goods(here, goods_id))
    (refused,) = await here.events("assignment.refused.v1")
    assert refused["code"] == "document_in_use"
    other = await at.registered(here, at.receipt(here, receipt_number="WR-9"))
    await at.value(here, other)
    async with here.bench.database.reader() as tx:
        now = await database_now(tx)
    elsewhere = Filing("another bank's", "x", "x", ("goods/yangshan 3/wr9",))
    await MovablesRegistry(here.bench.settings.registry).file([elsewhere], at=now)
    assert (await at.approve(here, await at.propose(here, other, devices=["T-9"]))).status_code == 200
    await at.file(here)
    found = await at.lot(here, other)
    assert (found["state"], found["code"], found["devices"]) == ("registered", "registered_before", [])
    assert [each["code"] for each in await here.events("goods.pledge_refused.v1")] == ["registered_before"]


async def test_r22_two_persons_pledge_and_give_back_and_nothing_that_nobody_valued(here: Desk) -> None:
    goods_id = await at.registered(here)
    assert (await at.propose(here, goods_id)).json()["code"] == "goods_not_valued"
    await at.value(here, goods_id)
    proposed = await at.propose(here, goods_id)
    assert proposed.json()["content"]["eligible"]["amount"] == "800.00"
    assert (await at.approve(here, proposed, subject="maker")).json()["code"] == "own_proposal"
    assert (await at.approve(here, proposed)).status_code == 200
    await at.file(here)
    async with here.bench.caller("bank_maker", subject="maker") as maker:
        given_back = await maker.post(f"/goods/{goods_id}/releases", json={"reason": "not needed"})
    assert (await at.approve(here, given_back)).status_code == 200
    await at.file(here)
    assert (await at.lot(here, goods_id))["state"] == "released"
    # What was given back may be brought again.
    assert await at.registered(here) != goods_id


async def test_a_device_watches_one_lot(here: Desk) -> None:
    await at.pledged(here)
    other = await at.registered(here, at.receipt(here, receipt_number="WR-2"))
    await at.value(here, other)
    refused = await at.approve(here, await at.propose(here, other))
    assert (refused.status_code, refused.json()["code"]) == (409, "device_in_use")
    assert (await at.lot(here, other))["state"] == "registered"


async def test_value_falls_day_by_day_and_credit_is_told_once(here: Desk) -> None:
    goods_id = await at.pledged(here, goods_class="grain")
    assert await revalue_due(here.bench.database) == 0
    for days in (1, 2):
        day = at.DAY + timedelta(days=days)
        await here.hear(BusinessDayClosed(closed_date=day - timedelta(days=1), open_date=day))
        assert await revalue_due(here.bench.database) == 1
        assert await revalue_due(here.bench.database) == 0
    told = await here.events("goods.revalued.v1")
    assert [each["eligible"]["amount"] for each in told] == ["799.20", "798.40"]
    await here.hear(BusinessDayClosed(closed_date=day, open_date=at.DAY + timedelta(days=61)))
    await revalue_due(here.bench.database)
    assert (await worth(here, goods_id))[1:] == ("0.00", ["valuation_stale"])


async def test_readings_come_in_batches_count_once_and_lower_what_goods_carry(here: Desk) -> None:
    goods_id = await at.pledged(here, goods_class="chilled")
    sent = [at.reading(8, temperature=4, quantity="100"), at.reading(9, temperature="4.5", quantity="90")]
    assert await at.measured(here, *sent, sent[0]) == {"accepted": 2, "known": 1, "refused": []}
    assert await at.measured(here, *sent) == {"accepted": 0, "known": 2, "refused": []}
    assert await worth(here, goods_id) == ("1000.00", "720.00", ["quantity_short"])
    odd = await at.measured(
        here,
        at.reading(9, temperature=5, quantity="90"),
        at.reading(10, device="T-7", temperature=5),
        at.reading(10, temperature="warm"),
        at.reading(10, latitude=31.2304, longitude=121.5737),
        {**at.reading(), "measured_at": "2199-01-01T00:00:00Z", "humidity": 5},
    )
    assert odd["accepted"] == 1
    assert [(each["row"], each["code"]) for each in odd["refused"]] == [
        (1, "reading_conflict"),
        (2, "unknown_device"),
        (3, "invalid_reading"),
        (5, "invalid_reading"),
    ]
    assert await worth(here, goods_id) == ("1000.00", "0.00", ["quantity_short", "out_of_place"])
    back = at.reading(11, latitude=31.2304, longitude=121.4737, quantity=100)
    hot = at.reading(7, temperature=8.01)
    await at.measured(here, back, hot)
    assert await worth(here, goods_id) == ("1000.00", "0.00", ["out_of_bounds"])
    told = [each["reasons"] for each in await here.events("goods.revalued.v1")]
    assert told == [["quantity_short"], ["quantity_short", "out_of_place"], ["out_of_bounds"]]
    page = await here.read(f"/goods/{goods_id}/readings?limit=2")
    rest = await here.read(f"/goods/{goods_id}/readings?limit=100&cursor={page['next']}")
    assert [each["measured_at"][11:13] for each in page["items"] + rest["items"]] == ["11", "10", "09", "08", "07"]


async def test_readings_come_as_ndjson_and_as_a_csv_file_too(here: Desk) -> None:
    goods_id = await at.pledged(here)
    lines = b'{"device": "T-1", "measured_at": "2026-03-02T08:00:00Z", "humidity": 55}\n{"device": 7}\n'
    table = b"device,measured_at,quantity\nT-1,2026-03-02T09:00:00+08:00,99.9\nT-1,2026-03-02T10:00:00+08:00,50\n"
    async with here.bench.caller("bank_maker") as bank:
        first = await bank.post("/goods-readings", content=lines, headers=at.NDJSON)
        second = await bank.post("/goods-readings", content=table, headers=at.CSV)
        third = await bank.post("/goods-readings", content=b"<xml/>", headers={"content-type": "application/xml"})
        fourth = await bank.post("/goods-readings", content=b"device\nT-1\n", headers=at.CSV)
    assert (first.json()["accepted"], [each["row"] for each in first.json()["refused"]]) == (1, [2])
    assert second.json() == {"accepted": 2, "known": 0, "refused": []}
    assert (await worth(here, goods_id))[2] == ["quantity_short"]
    assert (third.status_code, third.json()["code"]) == (415, "unsupported_media_type")
    assert (fourth.status_code, fourth.json()["code"]) == (422, "unreadable_document")


async def test_two_uploads_of_one_lot_at_once_count_every_reading_once(here: Desk) -> None:
    goods_id = await at.pledged(here)
    rows = [at.reading(hour, quantity=str(100 - hour)) for hour in range(20)]
    answers = await asyncio.gather(*(at.measured(here, *rows[start:]) for start in (0, 5, 10, 0)))
    assert sum(each["accepted"] for each in answers) == 20
    assert (await at.lot(here, goods_id))["measured"] == "81"


async def test_assigned_goods_with_which_something_is_wrong_are_withdrawn_before_the_money_goes(here: Desk) -> None:
    goods_id = await at.pledged(here)
    held = at.on_goods(here, goods_id)
    await here.hear(held)
    await at.measured(here, at.reading(quantity="10"))
    (withdrawn,) = await here.events("assignment.withdrawn.v1")
    assert (withdrawn["drawdown_id"], withdrawn["reason"]) == (held.drawdown_id, "goods: quantity_short")
    await here.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="documents_withdrawn"))
    assert (await at.lot(here, goods_id))["state"] == "pledged"
    # Money that went out all the same takes the goods again.
    await here.hear(disbursed(held.drawdown_id))
    assert (await at.lot(here, goods_id))["assigned_to"] == held.drawdown_id


async def test_r23_a_firm_sees_and_moves_its_own_goods_only(here: Desk) -> None:
    goods_id = await at.pledged(here)
    async with here.sme(SECOND) as other, here.bench.caller("erp", party=here.id(SECOND)) as erp:
        assert (await other.get("/goods")).json()["items"] == []
        seen = await other.get(f"/goods/{goods_id}")
        taken = await other.post("/goods", json=at.receipt(here, receipt_number="WR-3"))
        said = await erp.post("/goods-readings", json={"readings": [at.reading(quantity="1")]})
        gone = await other.post(f"/goods/{goods_id}/rejections", json={"reason": "mine now"})
    assert [each.status_code for each in (seen, taken, gone)] == [403, 403, 403]
    assert [each["code"] for each in said.json()["refused"]] == ["unknown_device"]
    async with here.sme(SUPPLIER) as own:
        assert [each["goods_id"] for each in (await own.get("/goods")).json()["items"]] == [goods_id]
        assert (await own.post(f"/goods/{goods_id}/valuations", json=at.valuation())).status_code == 403


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"goods_class": "furniture"}, 422, "unknown_goods_class"),
        ({"condition": "shiny"}, 422, "unknown_condition"),
        ({"due_date": "2026-03-01"}, 422, "invalid_due_date"),
        ({"currency": "XAU"}, 422, "unknown_currency"),
        ({"quantity": "0"}, 422, "unreadable_document"),
        ({"quantity": "1.2345"}, 422, "invalid_request"),
        ({"longitude": None}, 422, "invalid_reading"),
        ({"latitude": "91"}, 422, "invalid_reading"),
        ({"owner_id": "01900000-0000-7000-8000-000000000000"}, 422, "unknown_party"),
        ({"colour": "red"}, 422, "invalid_request"),
        ({"item": "a\u0000b"}, 422, "invalid_request"),
    ],
)
async def test_a_receipt_that_says_nonsense_is_refused_with_a_stable_code(
    here: Desk, changes: dict[str, Any], status: int, code: str
) -> None:
    async with here.bench.caller("bank_maker") as bank:
        answer = await bank.post("/goods", json=at.receipt(here, **changes))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_valuation_that_says_nonsense_is_refused_and_the_same_words_again_are_one(here: Desk) -> None:
    goods_id = await at.registered(here)
    for _ in range(2):
        assert (await at.value(here, goods_id)).status_code == 201
    assert len((await at.lot(here, goods_id))["valuations"]) == 1
    for body, status, code in (
        (at.valuation("11.00"), 409, "duplicate_valuation"),
        (at.valuation(days=1), 422, "valued_in_the_future"),
        (at.valuation("0.00"), 422, "invalid_amount"),
        (at.valuation("90000000000000.00", source="dreamer"), 422, "invalid_amount"),
        ({**at.valuation(), "unit_value": {"amount": "1.00", "currency": "EUR"}}, 422, "currency_mismatch"),
        (at.valuation(condition="shiny"), 422, "unknown_condition"),
    ):
        answer = await at.value(here, goods_id, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await at.value(here, "01900000-0000-7000-8000-000000000000")).json()["code"] == "unknown_goods"
    assert (await at.propose(here, goods_id, bounds={"temperature": ["9", "1"]})).json()["code"] == "invalid_reading"
    async with here.sme(SUPPLIER) as own:
        for _ in range(2):
            assert (await own.post(f"/goods/{goods_id}/rejections", json={"reason": "sold"})).status_code == 200
    assert (await at.value(here, goods_id, at.valuation("2.00"))).json()["code"] == "not_possible_now"
