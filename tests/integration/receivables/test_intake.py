"""Invoices come in through HTTP: four syntaxes, duplicates, strangers and attackers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, CSV, FACTOR, JSON, SECOND, SUPPLIER, Desk, desk, enterprise
from tests.support.einvoices import Firm, Sample, cii, ubl

INVOICE = Sample(SUPPLIER, ANCHOR)
HEADER = "seller_id,obligor_id,number,document_type,issue_date,due_date,amount,currency,order_reference"


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def as_json(opened: Desk, **changes: Any) -> bytes:
    body = {
        "seller_id": opened.id(SUPPLIER),
        "obligor_id": opened.id(ANCHOR),
        "number": "J-1",
        "issue_date": "2026-09-01",
        "due_date": "2026-12-01",
        "payable": {"amount": "1000.00", "currency": "CNY"},
    }
    return json.dumps({name: value for name, value in {**body, **changes}.items() if value is not ...}).encode()


async def stored(opened: Desk) -> int:
    async with opened.bench.database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT (SELECT count(*) FROM receivable) + (SELECT count(*) FROM outbox)"))


@pytest.mark.parametrize(("write", "syntax"), [(ubl, "ubl"), (cii, "cii")])
async def test_r7_an_invoice_in_either_xml_syntax_is_taken_with_its_payable_not_its_gross(
    opened: Desk, write: Any, syntax: str
) -> None:
    data = write(replace(INVOICE, order="PO-7"))
    answer = await opened.upload(data, file="a.xml")
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "file": "a.xml",
        "receivable_id": answer.json()["receivable_id"],
        "state": "validated",
        "reasons": [],
        "seller_id": opened.id(SUPPLIER),
        "obligor_id": opened.id(ANCHOR),
        "number": "INV-1",
        "document_type": "380",
        "payable": {"amount": "1000.00", "currency": "CNY"},
        "issue_date": "2026-09-01",
        "due_date": "2026-12-01",
        "syntax": syntax,
        "profile": "urn:cen.eu:en16931:2017",
        "original_sha256": sha256(data).hexdigest(),
        "rules": ["EN 16931 1.3.16"],
        "findings": [],
    }
    (registered,) = await opened.events()
    assert (registered["type"], registered["payable"]["amount"]) == ("receivable.registered.v1", "1000.00")


async def test_r8_the_same_invoice_in_another_syntax_channel_or_spelling_is_a_duplicate(opened: Desk) -> None:
    first = await opened.upload(ubl(INVOICE))
    twin = await opened.upload(cii(INVOICE))
    spelt = await opened.upload(ubl(replace(INVOICE, number="inv 1", type_code="384", payable="900.00")))
    typed = await opened.upload(as_json(opened, number="ＩＮＶ－１"), JSON)
    row = f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},Inv1,380,2026-02-01,,5.00,CNY,"
    listed = await opened.upload(f"{HEADER}\n{row}\n".encode(), CSV)
    for answer in (twin, spelt, typed):
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_document")
        assert answer.json()["receivable_id"] == first.json()["receivable_id"]
    assert listed.json()["items"][0] | {"message": ""} == {
        "row": 1,
        "outcome": "duplicate",
        "receivable_id": first.json()["receivable_id"],
        "code": "duplicate_document",
        "message": "",
    }
    assert len((await opened.read("/receivables"))["items"]) == 1


async def test_r8_two_sellers_may_both_have_invoice_001(opened: Desk) -> None:
    for seller in (SUPPLIER, SECOND):
        answer = await opened.upload(ubl(Sample(seller, ANCHOR, number="001")))
        assert (answer.status_code, answer.json()["state"]) == (201, "validated")


async def test_r8_concurrent_copies_leave_one_receivable(opened: Desk) -> None:
    answers = await asyncio.gather(*(opened.upload(write(INVOICE)) for write in (ubl, cii) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 11]
    assert len(await opened.events("receivable.registered.v1")) == 1


async def test_r8_the_same_number_in_another_year_waits_for_a_person(opened: Desk) -> None:
    await opened.taken()
    answer = await opened.upload(ubl(replace(INVOICE, issue_date=date(2025, 9, 1))))
    assert (answer.json()["state"], answer.json()["reasons"]) == ("referred", ["same_number_in_another_year"])


async def test_r8_concurrent_namesakes_of_two_years_see_each_other(opened: Desk) -> None:
    samples = [
        replace(INVOICE, number=f"N{n}", issue_date=date(year, 9, 1)) for n in range(12) for year in (2025, 2026)
    ]
    answers = await asyncio.gather(*(opened.upload(ubl(sample)) for sample in samples))
    assert Counter(answer.json()["state"] for answer in answers) == {"validated": 12, "referred": 12}


async def test_r8_the_same_number_to_another_obligor_waits_and_never_stands_beside_the_first(opened: Desk) -> None:
    first = await opened.taken()
    other = replace(INVOICE, buyer=SECOND)
    answer = await opened.upload(ubl(other))
    assert (answer.status_code, answer.json()["reasons"]) == (201, ["same_number_to_another_obligor"])
    assert (await opened.upload(cii(other))).json()["code"] == "duplicate_document"
    second = answer.json()["receivable_id"]
    async with opened.bench.caller("bank_checker") as checker, opened.maker() as maker:
        accept = {"decision": "accept", "reason": "seller explained"}
        both = await checker.post(f"/receivables/{second}/referral-decisions", json=accept)
        assert (both.status_code, both.json()["code"], both.json()["receivable_id"]) == (
            409,
            "duplicate_document",
            first,
        )
        rejected = await maker.post(f"/receivables/{first}/rejections", json={"reason": "never ordered"})
        assert rejected.json()["state"] == "rejected"
        now = await checker.post(f"/receivables/{second}/referral-decisions", json=accept)
    assert (now.status_code, now.json()["state"]) == (200, "validated")
    (said,) = await opened.events("receivable.accepted.v1")
    assert (said["receivable_id"], said["reason"]) == (second, "seller explained")


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"payee": FACTOR}, ["payee_is_not_the_seller"]),
        ({"type_code": "393"}, ["factored_invoice"]),
        ({"payable": "999.00"}, ["totals_disagree", "rules_broken"]),
    ],
)
async def test_r8_what_may_be_assigned_already_waits_for_a_person_and_cannot_be_confirmed(
    opened: Desk, change: dict[str, Any], reasons: list[str]
) -> None:
    receivable_id = await opened.taken(replace(INVOICE, **change))
    found = await opened.read(f"/receivables/{receivable_id}")
    assert (found["state"], found["reasons"]) == ("referred", reasons)
    async with opened.maker() as maker, opened.bench.caller("bank_checker") as checker:
        early = await maker.post("/confirmations", json={"receivable_ids": [receivable_id], "undertaking": "none"})
        assert (early.status_code, early.json()["code"]) == (409, "not_possible_now")
        body = {"decision": "reject", "reason": "assigned elsewhere"}
        assert (await checker.post(f"/receivables/{receivable_id}/referral-decisions", json=body)).status_code == 200
    assert (await opened.events())[-1]["type"] == "receivable.rejected.v1"


async def test_a_payee_that_is_the_seller_needs_nobody(opened: Desk) -> None:
    answer = await opened.upload(ubl(replace(INVOICE, payee=Firm("Bolt  supplier GMBH"))))
    assert answer.json()["state"] == "validated"


async def test_a_missing_due_date_is_assumed_by_policy_and_said(opened: Desk) -> None:
    answer = await opened.upload(ubl(replace(INVOICE, due_date=None)))
    assert (answer.json()["due_date"], answer.json()["reasons"]) == ("2026-10-01", ["due_date_assumed"])
    assert answer.json()["state"] == "validated"


@pytest.mark.parametrize(
    ("change", "root", "code"),
    [
        ({"type_code": "386"}, "Invoice", "not_financeable"),
        ({"type_code": "SalesInvoice"}, "Invoice", "unknown_document_type"),
        ({"payable": "0.00"}, "Invoice", "nothing_payable"),
        ({"payable": "-5.00"}, "Invoice", "nothing_payable"),
        ({"payable": "9" * 40}, "Invoice", "invalid_amount"),
        ({"payable": "1e5"}, "Invoice", "invalid_amount"),
        ({"payable": "NaN"}, "Invoice", "invalid_amount"),
        ({"payable": "1.001"}, "Invoice", "invalid_amount"),
        ({"currency": "ZZZ"}, "Invoice", "unknown_currency"),
        ({"currency": "XAU"}, "Invoice", "unknown_currency"),
        ({"number": ""}, "Invoice", "unreadable_document"),
        ({"number": "9" * 201}, "Invoice", "unreadable_document"),
        ({"issue_date": "2026-02-30"}, "Invoice", "unreadable_document"),
        ({"issue_date": "9999-12-31"}, "Invoice", "unreadable_document"),
        ({"seller": Firm("Nobody we know")}, "Invoice", "unknown_party"),
        ({"buyer": SUPPLIER}, "Invoice", "seller_is_obligor"),
    ],
)
async def test_a_document_that_cannot_be_financed_is_refused_by_name_and_nothing_is_stored(
    opened: Desk, change: dict[str, Any], root: str, code: str
) -> None:
    answer = await opened.upload(ubl(replace(INVOICE, **change), root=root))
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await stored(opened) == 0


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FETCH = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'<?xml version="1.0"?>\n<!-- c -->' + LAUGHS + b"<x>&b;</x>", "hostile_document"),
        (FETCH + b"<x>&a;</x>", "hostile_document"),
        (FETCH.decode().encode("utf-16") + "<x>&a;</x>".encode("utf-16-le"), "hostile_document"),
        (b"<a>" * 60 + b"</a>" * 60, "hostile_document"),
        (b"<a>" + b" " * (11 * 1024 * 1024) + b"</a>", "hostile_document"),
        (b"<Invoice><cbc:ID>1</Invoice>", "unreadable_document"),
        (b'<?xml version="1.0" encoding="UTF-8"?><Invoice>\xff\xfe</Invoice>', "unreadable_document"),
        (b'<?xml version="1.0" encoding="UTF-7"?><Invoice/>', "unreadable_document"),
        (b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><Invoice/>', "unreadable_document"),
        (b"", "unreadable_document"),
        (b"\x00\x00\x00", "unreadable_document"),
        (b"INVOICE 42, please pay", "unreadable_document"),
        (b"%PDF-1.7 ...", "not_an_invoice"),
        (b"UNB+UNOA:1+A+B", "not_an_invoice"),
        (b"<html><body>pay</body></html>", "not_an_invoice"),
        (b'<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2"/>', "not_an_invoice"),
        (b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"/>', "unknown_document_type"),
    ],
)
async def test_hostile_and_broken_files_are_refused_by_name_and_nothing_is_stored(
    opened: Desk, data: bytes, code: str
) -> None:
    answer = await opened.upload(data)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert await stored(opened) == 0


async def test_other_encodings_that_are_declared_are_read(opened: Desk) -> None:
    named = ubl(replace(INVOICE, order="Größe")).decode().replace('"UTF-8"', '"ISO-8859-1"', 1)
    assert (await opened.upload(named.encode("iso-8859-1"))).status_code == 201
    wide = ubl(replace(INVOICE, number="W-1")).decode().replace('"UTF-8"', '"UTF-16"', 1)
    assert (await opened.upload(wide.encode("utf-16"))).status_code == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payable": {"amount": "-1.00", "currency": "CNY"}}, "nothing_payable"),
        ({"payable": {"amount": "1000.00", "currency": "cny"}}, "unknown_currency"),
        ({"payable": {"amount": "1" * 30, "currency": "CNY"}}, "invalid_amount"),
        ({"payable": {"amount": 1000.0, "currency": "CNY"}}, "unreadable_document"),
        ({"payable": "1000.00"}, "unreadable_document"),
        ({"seller_id": new_id()}, "unknown_party"),
        ({"seller_id": ...}, "unreadable_document"),
        ({"number": "A\u0000B"}, "unreadable_document"),
        ({"number": "A\ud800B"}, "unreadable_document"),
        ({"number": ["x"]}, "unreadable_document"),
        ({"surprise": "x"}, "unreadable_document"),
        ({"document_type": "386"}, "not_financeable"),
        ({"issue_date": "tomorrow"}, "unreadable_document"),
    ],
)
async def test_json_that_says_something_impossible_is_refused_by_name(
    opened: Desk, change: dict[str, Any], code: str
) -> None:
    answer = await opened.upload(as_json(opened, **change), JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert await stored(opened) == 0


@pytest.mark.parametrize("data", [b"{", b"[]", b"1" * 5000, b"[" * 100_000, b'{"a": \xff}', b"null"])
async def test_json_that_is_none_is_refused_by_name(opened: Desk, data: bytes) -> None:
    answer = await opened.upload(data, JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_document")


async def test_a_json_invoice_is_taken(opened: Desk) -> None:
    answer = await opened.upload(as_json(opened), JSON)
    assert (answer.status_code, answer.json()["syntax"]) == (201, "json")
    payee = await opened.upload(as_json(opened, number="J-2", payee=opened.id(FACTOR)), JSON)
    assert payee.json()["reasons"] == ["payee_is_not_the_seller"]


async def test_csv_rows_are_answered_one_by_one(opened: Desk) -> None:
    seller, obligor = opened.id(SUPPLIER), opened.id(ANCHOR)
    rows = [
        f"{seller},{obligor},C-1,380,2026-09-01,2026-12-01,10.00,CNY,PO-1",
        f"{seller},{obligor},c1,,2026-09-02,,10.00,CNY,",
        f"{seller},{obligor},C-2,386,2026-09-01,,10.00,CNY,",
        f"{seller},{new_id()},C-3,,2026-09-01,,10.00,CNY,",
        f"{seller},{obligor},C-4,,2026-09-01,,ten,CNY,",
        f"{seller},{obligor}",
        "",
        f'{seller},{obligor},"C,5",,2026-09-01,,10.00,CNY,',
    ]
    answer = await opened.upload("\n".join([HEADER, *rows]).encode("utf-8-sig"), CSV)
    assert answer.status_code == 200, answer.text
    assert [(each["row"], each["outcome"], each.get("code")) for each in answer.json()["items"]] == [
        (1, "accepted", None),
        (2, "duplicate", "duplicate_document"),
        (3, "refused", "not_financeable"),
        (4, "refused", "unknown_party"),
        (5, "refused", "invalid_amount"),
        (6, "refused", "unreadable_document"),
        (7, "accepted", None),
    ]
    assert len((await opened.read("/receivables"))["items"]) == 2


async def test_a_csv_that_breaks_off_takes_nothing(opened: Desk) -> None:
    row = f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},C-1,380,2026-09-01,,10.00,CNY,"
    for data in (f'{HEADER}\n{row}\n"open', "a,b,c\n1,2,3\n", f"{HEADER}\n{row}\n{'x' * 20_000}\n"):
        answer = await opened.upload(data.encode(), CSV)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_document")
    assert (await opened.upload(b"\xff\xfe\x00", CSV)).json()["code"] == "unreadable_document"
    assert await stored(opened) == 0


async def test_a_thousand_rows_come_in_at_once(opened: Desk) -> None:
    rows = [f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},N{n},,2026-09-01,,10.00,CNY," for n in range(1000)]
    answer = await opened.upload("\n".join([HEADER, *rows]).encode(), CSV)
    assert {each["outcome"] for each in answer.json()["items"]} == {"accepted"}
    assert len(await opened.events("receivable.registered.v1")) == 1000


async def test_a_media_type_nobody_reads_is_refused(opened: Desk) -> None:
    answer = await opened.upload(b"x", {"content-type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_r23_a_party_brings_only_what_it_sells_or_owes(opened: Desk) -> None:
    for firm, status in ((SUPPLIER, 201), (ANCHOR, 409), (SECOND, 403)):
        async with opened.bench.caller("erp", party=opened.id(firm)) as erp:
            answer = await erp.post("/documents", content=ubl(INVOICE), headers={"content-type": "text/xml"})
            claimed = await erp.post(f"/documents?seller_id={opened.id(firm)}", content=ubl(INVOICE), headers=JSON)
        assert answer.status_code == status, answer.text
        assert claimed.status_code in {403, 422}
    assert len(await opened.events()) == 1


async def test_r23_a_party_sees_only_what_it_sells_or_owes(opened: Desk) -> None:
    receivable_id = await opened.taken()
    await opened.taken(Sample(SECOND, FACTOR))
    for firm, many in ((SUPPLIER, 1), (ANCHOR, 1), (SECOND, 1)):
        async with opened.sme(firm) as sme:
            assert len((await sme.get("/receivables")).json()["items"]) == many
            assert (await sme.get(f"/receivables/{receivable_id}")).status_code == (403 if firm is SECOND else 200)


async def test_pages_follow_each_other(opened: Desk) -> None:
    made = [await opened.taken(replace(INVOICE, number=f"P{n}")) for n in range(5)]
    async with opened.sme(SUPPLIER) as sme:
        first = (await sme.get("/receivables?limit=3&state=validated")).json()
        second = (await sme.get(f"/receivables?limit=3&cursor={first['next']}")).json()
        wrong = await sme.get("/receivables?cursor=%00%ff")
    assert [each["receivable_id"] for each in first["items"] + second["items"]] == made
    assert second["next"] is None
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_cursor")


async def test_a_party_is_found_by_identifier_under_any_name_and_by_a_name_only_one_firm_has(opened: Desk) -> None:
    renamed = replace(INVOICE, seller=Firm("Something Else", vat="DE 271.828.180"), buyer=replace(ANCHOR, name="A"))
    assert (await opened.upload(ubl(renamed))).json()["seller_id"] == opened.id(SUPPLIER)
    wrong = replace(INVOICE, number="2", seller=Firm(" bolt  SUPPLIER gmbh", vat="DE123456789"))
    assert (await opened.upload(cii(wrong))).json()["seller_id"] == opened.id(SUPPLIER)
    trading = replace(INVOICE, number="3", seller=Firm("Trading as", trading_name=SUPPLIER.name))
    assert (await opened.upload(cii(trading))).json()["seller_id"] == opened.id(SUPPLIER)
    await opened.hear(enterprise(new_id(), SUPPLIER.name.upper(), {}))
    lost = await opened.upload(ubl(replace(INVOICE, number="4", seller=Firm(SUPPLIER.name))))
    assert (lost.json()["code"], lost.json()["which"], lost.json()["why"]) == ("unknown_party", "seller", "ambiguous")


async def test_bank_operations_may_say_who_the_parties_are(opened: Desk) -> None:
    blank = replace(INVOICE, seller=Firm("XX"), buyer=Firm("XX"))
    assert (await opened.upload(ubl(blank))).json()["code"] == "unknown_party"
    answer = await opened.upload(ubl(blank), seller_id=opened.id(SUPPLIER), obligor_id=opened.id(ANCHOR))
    assert (answer.status_code, answer.json()["seller_id"]) == (201, opened.id(SUPPLIER))
    wrong = await opened.upload(ubl(blank), seller_id="me")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_id")
