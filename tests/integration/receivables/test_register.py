"""R9: notices reach the obligor with proof; the register is exported in one order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.receivables.operations.register import number_register
from services.receivables.timers import TIMERS
from shared.events.credit import DrawdownReleased
from shared.events.receivables import Document
from shared.values.ids import new_id
from tests.integration.receivables import order_desk as at
from tests.integration.receivables.desk import (
    ANCHOR,
    SECOND,
    SUPPLIER,
    Desk,
    closed,
    cny,
    desk,
    disbursed,
    enterprise,
    key,
    piece,
    receivable,
)
from tests.support.einvoices import Sample

INVOICE = Sample(SUPPLIER, ANCHOR)
PROOF = "RB123456789CN"


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def notice_of(opened: Desk, *, number: str = "INV-1") -> dict[str, Any]:
    """Have an invoice assigned; return the notice of it."""
    held = opened.held(receivable(await opened.confirmed(replace(INVOICE, number=number))))
    await opened.hear(held)
    notice: dict[str, Any]
    (notice,) = [each for each in (await opened.read("/notices"))["items"] if each["drawdown_id"] == held.drawdown_id]
    return notice


def delivery(notice: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "means": "registered_mail",
        "delivered_at": datetime.now(UTC).isoformat(),
        "digest": notice["digest"],
        "proof": PROOF,
    } | changed


async def record(opened: Desk, notice: dict[str, Any], body: dict[str, Any]) -> httpx.Response:
    async with opened.bench.caller("bank_maker", subject="mary") as bank:
        return await bank.post(f"/notices/{notice['notice_id']}/deliveries", json=body)


async def export(opened: Desk, **params: Any) -> httpx.Response:
    await number_register(opened.bench.database)
    async with opened.bench.caller("risk_officer") as auditor:
        return await auditor.get("/register", params=params)


async def exported(opened: Desk, **params: Any) -> list[dict[str, Any]]:
    answer = await export(opened, **params)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_r9_paying_the_seller_discharges_until_the_notice_reached_the_obligor(opened: Desk) -> None:
    notice = await notice_of(opened)
    assert (notice["delivered_at"], notice["discharged_by_paying"]) == (None, "seller")
    open_ones = await opened.read("/notices?show=undelivered")
    assert [each["notice_id"] for each in open_ones["items"]] == [notice["notice_id"]]
    body = delivery(notice, proof_sha256="a" * 64)
    answer = await record(opened, notice, body)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert (found["recorded_by"], found["proof"], found["discharged_by_paying"]) == ("mary", PROOF, "assignee")
    assert datetime.fromisoformat(found["delivered_at"]) == datetime.fromisoformat(body["delivered_at"])
    assert (await record(opened, notice, body)).json() == found
    (said,) = await opened.events("assignment.notice_delivered.v1")
    assert (said["means"], said["digest"], said["acknowledged"]) == ("registered_mail", notice["digest"], False)
    assert (await opened.read("/notices?show=undelivered"))["items"] == []
    (proof,) = (await opened.read(f"/assignments/{notice['drawdown_id']}"))["notices"]
    assert (proof["means"], proof["proof_sha256"]) == ("registered_mail", "a" * 64)


async def test_r9_an_obligor_acknowledges_the_very_text_and_that_is_proof_of_delivery(opened: Desk) -> None:
    notice = await notice_of(opened)
    path = f"/notices/{notice['notice_id']}/acknowledgements"
    async with opened.maker() as obligor, opened.sme(SECOND) as stranger:
        assert (await obligor.post(path, json={"digest": "0" * 64})).json()["code"] == "other_notice"
        assert (await stranger.post(path, json={"digest": notice["digest"]})).json()["code"] == "foreign_party"
        answer = await obligor.post(path, json={"digest": notice["digest"]})
        assert answer.status_code == 201, answer.text
        found = answer.json()
        assert (await obligor.post(path, json={"digest": notice["digest"]})).json() == found
    assert (found["means"], found["discharged_by_paying"]) == ("platform", "assignee")
    assert found["acknowledged_at"] == found["delivered_at"]
    later = await record(opened, notice, delivery(notice))
    assert (later.status_code, later.json()["code"]) == (409, "delivered_before")
    (said,) = await opened.events("assignment.notice_delivered.v1")
    assert (said["acknowledged"], said["obligor_id"]) == (True, opened.id(ANCHOR))


async def test_an_acknowledgement_after_the_mail_keeps_the_earlier_moment(opened: Desk) -> None:
    notice = await notice_of(opened)
    sent = (await record(opened, notice, delivery(notice))).json()
    async with opened.maker() as obligor:
        path = f"/notices/{notice['notice_id']}/acknowledgements"
        found = (await obligor.post(path, json={"digest": notice["digest"]})).json()
    assert (found["delivered_at"], found["means"]) == (sent["delivered_at"], "registered_mail")
    assert found["acknowledged_at"] > found["delivered_at"]
    assert len(await opened.events("assignment.notice_delivered.v1")) == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"digest": "f" * 64}, "other_notice"),
        ({"digest": "short"}, "invalid_request"),
        ({"delivered_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "invalid_delivery_time"),
        ({"delivered_at": "2026-01-01T00:00:00Z"}, "invalid_delivery_time"),
        ({"delivered_at": "2026-01-01T00:00:00"}, "invalid_request"),
        ({"means": "platform"}, "invalid_request"),
        ({"proof": ""}, "invalid_request"),
        ({"proof": "\x00"}, "invalid_request"),
    ],
)
async def test_a_delivery_that_cannot_be_is_refused(opened: Desk, changed: dict[str, Any], code: str) -> None:
    notice = await notice_of(opened)
    answer = await record(opened, notice, delivery(notice, **changed))
    assert answer.json()["code"] == code
    missing = await record(opened, {**notice, "notice_id": new_id()}, delivery(notice))
    assert missing.json()["code"] == "unknown_notice"
    assert await opened.events("assignment.notice_delivered.v1") == []


async def test_the_register_says_of_each_filing_who_what_how_much_and_how_long_and_when_it_ended(
    opened: Desk,
) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one, "900.00"))
    await opened.hear(held)
    (entry,) = await exported(opened)
    assert (entry["position"], entry["kind"], entry["registration_number"]) == (1, "registration", "MR-00000001")
    assert entry["archive_number"] == held.drawdown_id
    assert entry["assignor"]["name"] == SUPPLIER.name
    assert entry["assignor"]["identifiers"] == {"vat": SUPPLIER.vat}
    assert (entry["obligor"]["name"], entry["obligor"]["identifiers"]) == (ANCHOR.name, {"uscc": ANCHOR.legal})
    assert entry["assignee"] == {"name": "bank"}
    (item,) = entry["collateral"]
    assert item["asset"] == f"receivable/{opened.id(SUPPLIER)}/inv1/2026"
    assert (item["number"], item["issue_date"], item["due_date"]) == ("INV-1", "2026-09-01", "2026-12-01")
    assert item["amount"] == entry["total"] == {"amount": "900.00", "currency": "CNY"}
    assert entry["description"] == "invoice INV-1 of 2026-09-01, due 2026-12-01: 900.00 CNY"
    assert entry["term_months"] >= 1
    await opened.hear(disbursed(held.drawdown_id))
    await opened.hear(closed(held.drawdown_id))
    assert [each["kind"] for each in await exported(opened)] == ["registration", "discharge"]
    (ended,) = await exported(opened, since=1)
    assert (ended["archive_number"], ended["discharge_reason"]) == (held.drawdown_id, "settled")
    assert await exported(opened, view="standing") == []


async def test_the_export_goes_on_where_the_last_one_ended_and_repeats_itself_byte_for_byte(opened: Desk) -> None:
    held = [
        opened.held(receivable(await opened.confirmed(replace(INVOICE, number=f"INV-{nth}")))) for nth in range(1, 5)
    ]
    await opened.hear(*held[:2])
    first = await export(opened)
    assert first.headers["x-register-position"] == "2"
    await opened.hear(*held[2:])
    await opened.hear(DrawdownReleased(drawdown_id=held[0].drawdown_id, reason="cancelled"))
    # A firm that is called otherwise now was called so then.
    await opened.hear(enterprise(opened.id(SUPPLIER), "Renamed GmbH", {"vat": SUPPLIER.vat}))
    following = await export(opened, since=2)
    assert following.headers["x-register-position"] == "5"
    assert (await export(opened)).text == first.text + following.text
    assert [json.loads(line)["position"] for line in following.text.splitlines()] == [3, 4, 5]
    standing = await exported(opened, view="standing")
    assert [each["archive_number"] for each in standing] == [each.drawdown_id for each in held[1:]]
    empty = await export(opened, since=5)
    assert (empty.status_code, empty.text) == (200, "")


async def note(opened: Desk, receivable_id: str, amount: str, reference: str) -> None:
    body = {"amount": {"amount": amount, "currency": "CNY"}, "reason": "returned goods", "reference": reference}
    async with opened.maker() as maker:
        answer = await maker.post(f"/receivables/{receivable_id}/dilutions", json=body, headers=key())
    assert answer.status_code == 201, answer.text


async def test_r6_a_note_on_what_is_registered_amends_what_the_register_states_of_it(opened: Desk) -> None:
    one = await opened.confirmed()
    two = await opened.confirmed(replace(INVOICE, number="INV-2", gross="600.00", prepaid="0.00", payable="600.00"))
    held = opened.held(receivable(one, "900.00"), receivable(two, "600.00"))
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    await opened.hear(enterprise(opened.id(SUPPLIER), "Renamed GmbH", {"vat": SUPPLIER.vat}))
    # 950 is left of which 900 was assigned: what is stated holds.
    await note(opened, one, "50.00", "CN-1")
    await note(opened, one, "150.00", "CN-2")
    await note(opened, two, "600.00", "CN-3")
    filed, first, second = await exported(opened)
    assert [each["kind"] for each in (filed, first, second)] == ["registration", "amendment", "amendment"]
    assert {each["registration_number"] for each in (filed, first, second)} == {"MR-00000001"}
    assert [[item["amount"]["amount"] for item in each["collateral"]] for each in (filed, first, second)] == [
        ["900.00", "600.00"],
        ["800.00", "600.00"],
        ["800.00", "0.00"],
    ]
    assert [each["total"]["amount"] for each in (filed, first, second)] == ["1500.00", "1400.00", "800.00"]
    assert second["description"].endswith("invoice INV-2 of 2026-09-01, due 2026-12-01: 0.00 CNY")
    assert (first["amendment_reason"], first["assignor"]) == ("returned goods", filed["assignor"])
    assert (first["term_months"], first["assignee"]) == (filed["term_months"], filed["assignee"])
    assert await exported(opened, view="standing") == [second]
    rows = list(csv.DictReader(io.StringIO((await export(opened, format="csv", since=1)).text, newline="")))
    assert [(row["kind"], row["amount"], row["amendment_reason"]) for row in rows[:2]] == [
        ("amendment", "800.00", "returned goods"),
        ("amendment", "600.00", "returned goods"),
    ]
    await opened.hear(closed(held.drawdown_id))
    assert [each["kind"] for each in await exported(opened, since=3)] == ["discharge"]
    assert await exported(opened, view="standing") == []


async def test_r6_a_note_on_an_invoice_in_a_registered_orders_place_lowers_what_is_stated_of_the_order(
    opened: Desk,
) -> None:
    order_id = await at.ordered(opened)
    held = opened.held(Document(kind="order", document_id=order_id, amount=cny("1000.00")))
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    invoice_id = await at.invoiced(opened, at.invoice(opened, "INV-1", ("1", "60", "6")))
    async with opened.maker() as maker, opened.checker() as checker:
        body = {"receivable_ids": [invoice_id], "undertaking": "none"}
        proposed = (await maker.post("/confirmations", json=body)).json()
        assert (await checker.post(f"/approvals/{proposed['approval_id']}/approve")).status_code == 200
    assert await opened.state(invoice_id) == "financed"
    await note(opened, invoice_id, "60.00", "CN-1")
    (filed, amendment) = await exported(opened)
    assert (filed["total"]["amount"], amendment["total"]["amount"]) == ("1000.00", "940.00")
    assert [each["document_id"] for each in amendment["collateral"]] == [order_id]


async def test_r6_a_note_on_what_nothing_is_registered_of_enters_nothing(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    await opened.hear(held)
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="cancelled"))
    await note(opened, receivable_id, "50.00", "CN-1")
    assert [each["kind"] for each in await exported(opened)] == ["registration", "discharge"]


async def test_who_exports_the_register_and_how_far_is_in_the_audit_log(opened: Desk) -> None:
    await notice_of(opened)
    await exported(opened, since=1)
    await exported(opened, view="standing", format="jsonl")
    assert (await export(opened, since=9)).status_code == 422
    async with opened.bench.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT actor, facts FROM audit WHERE action = 'register.exported' ORDER BY position")
    told = [{"view": "changes", "since": 1}, {"view": "standing", "since": 0}]
    assert [json.loads(row["facts"]) for row in rows] == [{**each, "position": 1, "format": "jsonl"} for each in told]
    async with opened.bench.caller("risk_officer", subject="auditor") as auditor:
        await auditor.get("/register")
        async with opened.bench.database.reader() as tx:
            found = "SELECT actor FROM audit WHERE action = 'register.exported' ORDER BY position DESC LIMIT 1"
            assert await tx.pg.fetchval(found) == "auditor"


async def test_money_after_release_registers_what_it_takes_again(opened: Desk) -> None:
    held = opened.held(receivable(await opened.confirmed()))
    await opened.hear(held)
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="expired"))
    await opened.hear(disbursed(held.drawdown_id))
    kinds = [each["kind"] for each in await exported(opened)]
    assert kinds == ["registration", "discharge", "registration"]
    (standing,) = await exported(opened, view="standing")
    assert standing["position"] == 3


async def test_a_slice_is_registered_by_its_interval(opened: Desk) -> None:
    voucher = await opened.voucher()
    (whole,) = voucher["slices"]
    await opened.hear(opened.held(piece(whole["slice_id"], "1000.00")))
    (entry,) = await exported(opened)
    assert f"slice [0, 100000) of voucher {voucher['root_id']}: 1000.00 CNY" in entry["description"]


async def test_the_csv_has_one_row_a_document_and_no_formula(opened: Desk) -> None:
    await opened.hear(enterprise(opened.id(SUPPLIER), '=HYPERLINK("x")', {"vat": SUPPLIER.vat}))
    one = await opened.confirmed(replace(INVOICE, number="INV-1"))
    two = await opened.confirmed(replace(INVOICE, number="INV-2"))
    held = opened.held(receivable(one), receivable(two, "500.00"))
    await opened.hear(held)
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="cancelled"))
    answer = await export(opened, format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["kind"], row["item"], row["amount"], row["total"]) for row in rows] == [
        ("registration", "1", "1000.00", "1500.00"),
        ("registration", "2", "500.00", "1500.00"),
        ("discharge", "", "", ""),
    ]
    assert rows[0]["assignor_name"] == '\'=HYPERLINK("x")'
    assert rows[0]["assignor_identifiers"] == f"vat:{SUPPLIER.vat}"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"since": 1}, "unknown_position"),
        ({"since": 2**63 - 1}, "unknown_position"),
        ({"since": -1}, "invalid_request"),
        ({"since": 2**63}, "invalid_request"),
        ({"since": "eyJ"}, "invalid_request"),
        ({"format": "xml"}, "invalid_request"),
        ({"view": "all"}, "invalid_request"),
    ],
)
async def test_a_position_or_form_that_the_register_does_not_know_is_refused(
    opened: Desk, params: dict[str, Any], code: str
) -> None:
    answer = await export(opened, **params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_r23_the_register_is_for_the_banks_people_and_the_worker_numbers_it(opened: Desk) -> None:
    for client in (opened.maker(), opened.sme(SUPPLIER)):
        async with client:
            assert (await client.get("/register")).json()["code"] == "forbidden"
    assert TIMERS["register"].tick is number_register


async def test_the_register_waits_for_what_has_not_committed_and_leaves_no_gap(opened: Desk) -> None:
    held = [
        opened.held(receivable(await opened.confirmed(replace(INVOICE, number=f"INV-{nth}")))) for nth in range(1, 4)
    ]
    async with opened.bench.database.transaction() as tx:
        # An earlier entry is still open in this transaction while later ones commit and are numbered.
        await tx.pg.execute(
            """INSERT INTO assignment (drawdown_id, programme_id, enterprise_id, obligor_id, state, documents,
                registry_reference, registered_at) VALUES ('late', 'p', 'e', 'o', 'assigned', '[]', 'MR', now())"""
        )
        await tx.pg.execute(
            """INSERT INTO register_entry (kind, drawdown_id, reference, at, statement)
            VALUES ('discharge', 'late', 'MR', now(), '{"reason": "released"}')"""
        )
        await _beside(opened.hear(*held[:2]))
        assert [each["position"] for each in await _beside(exported(opened))] == [1, 2]
    await opened.hear(held[2])
    found = await exported(opened, since=2)
    assert [(each["position"], each["archive_number"]) for each in found] == [(3, "late"), (4, held[2].drawdown_id)]


async def _beside(work: Any) -> Any:
    """Run something as another task would: with a transaction of its own beside the one that is open here."""
    return await asyncio.create_task(work, context=Context())
