"""Files as evidence: what was sent is kept and read back by those who may (R23), what judging found is told, and a ZIP
of many is worked through, document by document (R25)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.receivables import queries
from services.receivables.operations import take_uploads
from services.receivables.operations.take_uploads import work_uploads
from services.receivables.queries import upload_list
from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, CSV, FACTOR, JSON, SECOND, SUPPLIER, Desk, desk
from tests.integration.receivables.test_intake import HEADER, as_json
from tests.support import hostile
from tests.support.einvoices import Firm, Sample, cii, ubl

INVOICE = Sample(SUPPLIER, ANCHOR)
PDF = {"content-type": "application/pdf"}
ZIP = {"content-type": "application/zip"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def originals(opened: Desk) -> int:
    async with opened.bench.database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT count(*) FROM original"))


async def progress(opened: Desk, answer: dict[str, Any]) -> dict[str, Any]:
    return await opened.read(answer["progress"].removeprefix("/receivables/v1"))


async def items(opened: Desk, answer: dict[str, Any], **params: str) -> dict[str, Any]:
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return await opened.read(f"{answer['items'].removeprefix('/receivables/v1')}?{query}")


@pytest.mark.parametrize("kind", ["xml", "pdf"])
async def test_r23_a_file_is_read_back_as_it_came_by_seller_obligor_and_bank_and_nobody_else(
    opened: Desk, kind: str
) -> None:
    data, headers = (ubl(INVOICE), None) if kind == "xml" else (hostile.pdf(cii(INVOICE)), PDF)
    answer = await opened.upload(data, headers, file="a")
    assert answer.status_code == 201, answer.text
    assert answer.json()["original_sha256"] == sha256(data).hexdigest()
    path = f"/receivables/{answer.json()['receivable_id']}/original"
    for caller in (opened.sme(SUPPLIER), opened.maker(), opened.bench.caller("bank_checker")):
        async with caller as client:
            read = await client.get(path)
            assert (read.status_code, read.content) == (200, data)
            assert read.headers["content-disposition"].startswith("attachment")
            assert read.headers["content-type"] == "application/octet-stream"
    async with opened.sme(SECOND) as stranger:
        assert (await stranger.get(path)).status_code == 403


async def test_the_same_bytes_are_kept_once_and_those_of_a_refused_document_not_at_all(opened: Desk) -> None:
    await opened.taken()
    await opened.upload(ubl(INVOICE))
    await opened.upload(cii(INVOICE))
    await opened.upload(ubl(replace(INVOICE, number="X", payable="0.00")))
    assert await originals(opened) == 1
    row = f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},C-1,380,2026-09-01,,10.00,CNY,"
    listed = (await opened.upload(f"{HEADER}\n{row}\n".encode(), CSV)).json()["items"][0]
    async with opened.bench.caller("bank_maker") as bank:
        none = await bank.get(f"/receivables/{listed['receivable_id']}/original")
        typed = (await opened.upload(as_json(opened), JSON)).json()
        kept = await bank.get(f"/receivables/{typed['receivable_id']}/original")
    assert (none.status_code, none.json()["code"]) == (404, "no_original")
    assert kept.content == as_json(opened)


async def test_a_document_that_breaks_fatal_rules_waits_for_a_person_with_every_finding(opened: Desk) -> None:
    nameless = ubl(INVOICE).replace(b"<cbc:Name>Parts</cbc:Name>", b"")
    answer = (await opened.upload(nameless)).json()
    assert (answer["state"], answer["reasons"]) == ("referred", ["rules_broken"])
    found = await opened.read(f"/receivables/{answer['receivable_id']}")
    assert found["findings"] == answer["findings"]
    assert found["rules"] == ["EN 16931 1.3.16"]
    (finding,) = found["findings"]
    assert (finding["rule"], finding["severity"], finding["pack"]) == ("BR-25", "fatal", "EN 16931 1.3.16")
    assert finding["location"].endswith("InvoiceLine[1]")
    assert finding["plain"] == {
        "en": "A line's item has no name (BT-153).",
        "zh": "明细行缺少货物或服务名称（BT-153）。",
    }


async def test_a_document_whose_grammar_or_own_sums_are_wrong_is_refused_with_every_finding(opened: Desk) -> None:
    wrong = ubl(INVOICE).replace(
        b'TaxInclusiveAmount currencyID="CNY">1200.00', b'TaxInclusiveAmount currencyID="CNY">1300.00'
    )
    misbuilt = (
        ubl(INVOICE)
        .replace(b"<cac:PaymentTerms>", b"<cac:PaymentTerm>")
        .replace(b"</cac:PaymentTerms>", b"</cac:PaymentTerm>")
    )
    for data, rule in ((wrong, "BR-CO-15"), (misbuilt, "xsd")):
        answer = await opened.upload(data)
        assert (answer.status_code, answer.json()["code"]) == (422, "rules_broken"), answer.text
        assert rule in answer.json()["rules"]
        assert rule in {each["rule"] for each in answer.json()["findings"]}
    assert await originals(opened) == 0


async def test_r25_a_zip_is_answered_at_once_and_every_file_in_it_by_and_by(opened: Desk) -> None:
    files = {
        "1.xml": ubl(INVOICE),
        "2/twin.xml": cii(INVOICE),
        "3.pdf": hostile.pdf(cii(replace(INVOICE, number="P-1", gross="900.00", prepaid="0.00", payable="900.00"))),
        "4.xml": ubl(replace(INVOICE, number="W-1", payee=FACTOR)),
        "5.xml": b"<note/>",
        "6.xml": ubl(replace(INVOICE, number="S-1", seller=Firm("Nobody we know"))),
        "7.zip": hostile.archive({"a.xml": b"<a/>"}),
    }
    answer = await opened.upload(hostile.archive(files), ZIP, file="many.zip")
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert answer.headers["location"] == said["progress"]
    before = await progress(opened, said)
    assert (before["state"], before["total"], before["done"]) == ("waiting", None, 0)
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["total"], after["done"]) == ("done", 7, 7)
    assert [after[name] for name in ("accepted", "referred", "duplicate", "refused")] == [2, 1, 1, 3]
    found = (await items(opened, said))["items"]
    assert [(each["file"], each["outcome"], each["code"]) for each in found] == [
        ("1.xml", "accepted", None),
        ("2/twin.xml", "duplicate", "duplicate_document"),
        ("3.pdf", "accepted", None),
        ("4.xml", "referred", None),
        ("5.xml", "refused", "not_an_invoice"),
        ("6.xml", "refused", "unknown_party"),
        ("7.zip", "refused", "not_an_invoice"),
    ]
    assert found[1]["receivable_id"] == found[0]["receivable_id"]
    first = await items(opened, said, limit="3")
    rest = await items(opened, said, limit="10", cursor=first["next"])
    assert [each["nth"] for each in (*first["items"], *rest["items"])] == list(range(7))
    async with opened.sme(SUPPLIER) as sme:
        read = await sme.get(f"/receivables/{found[2]['receivable_id']}/original")
        assert read.content == files["3.pdf"]
        # R23: what the bank sent is the bank's to follow.
        assert (await sme.get(said["progress"].removeprefix("/receivables/v1"))).status_code == 403


async def test_an_upload_that_two_workers_find_is_taken_in_once(opened: Desk) -> None:
    files = {f"{nth}.xml": ubl(replace(INVOICE, number=f"N-{nth}")) for nth in range(45)}
    said = (await opened.upload(hostile.archive(files), ZIP)).json()
    await asyncio.gather(*(work_uploads(opened.bench.database) for _ in range(3)))
    after = await progress(opened, said)
    assert (after["state"], after["accepted"], after["done"]) == ("done", 45, 45)
    assert len(await opened.events("receivable.registered.v1")) == 45


async def test_a_worker_that_dies_leaves_the_upload_to_the_next_which_does_nothing_twice(opened: Desk) -> None:
    files = {f"{nth}.xml": ubl(replace(INVOICE, number=f"N-{nth}")) for nth in range(30)}
    said = (await opened.upload(hostile.archive(files), ZIP)).json()
    working = asyncio.create_task(work_uploads(opened.bench.database))
    while (await progress(opened, said))["done"] == 0:
        await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute("UPDATE upload SET held_until = clock_timestamp()")
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["accepted"], after["duplicate"]) == ("done", 30, 0)


async def test_a_zip_that_is_a_bomb_is_refused_by_name_where_its_progress_is_read(opened: Desk) -> None:
    said = (await opened.upload(hostile.ratio_bomb(), ZIP)).json()
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["code"], after["done"]) == ("refused", "hostile_document", 0)
    assert after["message"]


async def test_a_party_follows_its_own_upload_and_an_unknown_one_is_not_found(opened: Desk) -> None:
    async with opened.sme(SUPPLIER) as sme, opened.sme(SECOND) as stranger:
        said = (await sme.post("/documents", content=hostile.archive({"a.xml": ubl(INVOICE)}), headers=ZIP)).json()
        path = said["progress"].removeprefix("/receivables/v1")
        await work_uploads(opened.bench.database)
        assert (await sme.get(path)).json()["accepted"] == 1
        assert (await stranger.get(path)).status_code == 403
        assert (await stranger.get(f"{path}/items")).status_code == 403
        assert (await sme.get(f"/uploads/{new_id()}")).json()["code"] == "unknown_upload"


async def test_r23_the_bank_lists_all_uploads_newest_first_and_nobody_else_does(opened: Desk) -> None:
    async with opened.sme(SUPPLIER) as sme, opened.bench.caller("risk_officer") as bank:
        sent = (await sme.post("/documents", content=hostile.archive({"a.xml": ubl(INVOICE)}), headers=ZIP)).json()
        await work_uploads(opened.bench.database)
        later = (await opened.upload(hostile.archive({"b.xml": b"<note/>"}), ZIP, file="later.zip")).json()
        whole = (await bank.get("/uploads")).json()
        first = (await bank.get("/uploads", params={"limit": 1})).json()
        second = (await bank.get("/uploads", params={"limit": 1, "cursor": first["next"]})).json()
        refused = await sme.get("/uploads")
        nonsense = [await bank.get("/uploads", params=each) for each in ({"limit": "101"}, {"cursor": "%%%"})]
    assert [each["upload_id"] for each in whole["items"]] == [later["upload_id"], sent["upload_id"]]
    assert [(each["state"], each["done"], each["accepted"]) for each in whole["items"]] == [
        ("waiting", 0, 0),
        ("done", 1, 1),
    ]
    assert first["items"] + second["items"] == whole["items"]
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert {each.status_code for each in nonsense} == {422}


async def test_however_many_uploads_there_were_the_next_one_and_its_items_are_found_by_index(opened: Desk) -> None:
    filled = (
        "INSERT INTO original SELECT 'h' || n, 'application/zip', '' FROM generate_series(1, 5000) n",
        """INSERT INTO upload (upload_id, original_sha256, file, actor, state, total, done, refused)
        SELECT 'u' || n, 'h' || n, '', 'a', 'done', 4, 4, 4 FROM generate_series(1, 5000) n""",
        """INSERT INTO upload_item (upload_id, nth, file, outcome)
        SELECT 'u' || n, i, '', 'refused' FROM generate_series(1, 5000) n, generate_series(0, 3) i""",
        "ANALYZE",
    )
    async with opened.bench.database.transaction() as tx:
        for statement in filled:
            await tx.pg.execute(statement)
        plans = [
            "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *values))
            for statement, values in (
                (take_uploads._CLAIM, ()),
                (queries._UPLOAD, ("u7",)),
                (upload_list.ALL_UPLOADS, ("u7", 20)),
                (queries._UPLOAD_ITEMS, ("u7", -1, 100)),
            )
        ]
    for plan in plans:
        assert "Seq Scan" not in plan, plan
