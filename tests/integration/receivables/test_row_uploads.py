"""Files of many rows: streamed in and kept as they came, worked through in chunks, each row answered once (R25)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.receivables import queries
from services.receivables.operations import receive_uploads, work_rows
from services.receivables.operations.take_uploads import work_uploads
from services.receivables.queries import _PART
from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, CSV, SECOND, SUPPLIER, Desk, desk, enterprise
from tests.integration.receivables.test_intake import HEADER
from tests.integration.receivables.test_uploads import items, progress

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def row(opened: Desk, number: str, *, amount: str = "10.00", issued: str = "2026-09-01") -> str:
    return f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},{number},,{issued},,{amount},CNY,"


def many(opened: Desk, count: int) -> bytes:
    return "\n".join([HEADER, *(row(opened, f"A{n:05}x", amount=f"{100 + n}.00") for n in range(count))]).encode()


async def sent(opened: Desk, data: bytes, headers: dict[str, str] = CSV) -> dict[str, Any]:
    """Send a file in pieces, as a client does that does not know how long it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 10_000):
            yield data[start : start + 10_000]

    async with opened.bench.caller("bank_maker") as bank:
        answer = await bank.post("/uploads", content=pieces(), headers=headers, params={"file": "rows.csv"})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def count(opened: Desk, table: str) -> int:
    async with opened.bench.database.reader() as tx:
        return int(await tx.pg.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a table of ours


async def test_r25_every_row_is_answered_by_its_number_and_the_file_is_read_back_as_it_came(opened: Desk) -> None:
    await opened.taken()
    data = "\n".join(
        [
            HEADER,
            row(opened, "C-1"),
            row(opened, "c1"),
            row(opened, "INV-1"),
            row(opened, "INV-1", issued="2025-09-01"),
            row(opened, "C-4", amount="ten"),
            "only,two",
            row(opened, "C-7").replace(opened.id(ANCHOR), opened.programme_id),
        ]
    ).encode("utf-8-sig")
    said = await sent(opened, data)
    assert (await progress(opened, said))["state"] == "waiting"
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["total"], after["done"]) == ("done", 7, 7)
    assert [after[name] for name in ("accepted", "referred", "duplicate", "refused")] == [1, 1, 2, 3]
    first = await items(opened, said, limit="4")
    rest = await items(opened, said, limit="4", cursor=first["next"])
    assert [(each["nth"], each["outcome"], each["code"]) for each in (*first["items"], *rest["items"])] == [
        (1, "accepted", None),
        (2, "duplicate", "duplicate_document"),
        (3, "duplicate", "duplicate_document"),
        (4, "referred", None),
        (5, "refused", "invalid_amount"),
        (6, "refused", "unreadable_document"),
        (7, "refused", "unknown_party"),
    ]
    path = said["progress"].removeprefix("/receivables/v1") + "/original"
    async with opened.bench.caller("bank_checker") as bank, opened.sme(SUPPLIER) as sme:
        read = await bank.get(path)
        assert (read.content, after["original_sha256"]) == (data, sha256(data).hexdigest())
        # R23: its rows may be many firms' own; whoever owns one of them does not read the others.
        assert (await sme.get(path)).status_code == 403
        assert (await sme.get(f"/receivables/{first['items'][0]['receivable_id']}")).status_code == 200


async def test_each_row_says_what_a_document_of_its_own_would(opened: Desk) -> None:
    await opened.taken()
    await sent(opened, f"{HEADER}\n{row(opened, 'C-1')}\n{row(opened, 'INV-1', issued='2025-09-01')}".encode())
    await work_uploads(opened.bench.database)
    _, plain, waits = await opened.events("receivable.registered.v1")
    assert plain == {
        "type": "receivable.registered.v1",
        "subject": plain["receivable_id"],
        "receivable_id": plain["receivable_id"],
        "seller_id": opened.id(SUPPLIER),
        "obligor_id": opened.id(ANCHOR),
        "number": "C-1",
        "document_type": "380",
        "syntax": "csv",
        "issue_date": "2026-09-01",
        "due_date": plain["due_date"],
        "payable": {"amount": "10.00", "currency": "CNY"},
        "state": "validated",
        "reasons": ["due_date_assumed"],
        "near_duplicates": [],
    }
    assert (waits["state"], waits["reasons"]) == ("referred", ["due_date_assumed", "same_number_in_another_year"])
    async with opened.bench.database.reader() as tx:
        told = await tx.pg.fetch("SELECT subject, facts FROM audit WHERE action = 'rows.taken'")
    assert [json.loads(each["facts"]) for each in told] == [{"file": "rows.csv", "first_row": 1, "last_row": 2}]


async def test_json_lines_come_in_like_rows(opened: Desk) -> None:
    said = {"seller_id": opened.id(SUPPLIER), "obligor_id": opened.id(ANCHOR), "issue_date": "2026-09-01"}
    lines = [
        json.dumps({**said, "number": f"J{n}", "payable": {"amount": f"{n}.50", "currency": "CNY"}}) for n in (1, 2)
    ]
    answer = await sent(opened, "\n".join([*lines, "[]"]).encode(), NDJSON)
    await work_uploads(opened.bench.database)
    after = await progress(opened, answer)
    assert (after["state"], after["accepted"], after["refused"]) == ("done", 2, 1)


async def test_r19_a_worker_that_dies_between_two_chunks_leaves_the_rest_to_the_next_which_does_nothing_twice(
    opened: Desk,
) -> None:
    said = await sent(opened, many(opened, 5000))
    working = asyncio.create_task(work_uploads(opened.bench.database))
    while (await progress(opened, said))["done"] == 0:
        await asyncio.sleep(0.005)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    between = await progress(opened, said)
    assert 0 < between["done"] < 5000
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute("UPDATE upload SET held_until = clock_timestamp()")
    await asyncio.gather(*(work_uploads(opened.bench.database) for _ in range(2)))
    after = await progress(opened, said)
    assert (after["state"], after["accepted"], after["duplicate"], after["refused"]) == ("done", 5000, 0, 0)
    assert await count(opened, "receivable") == await count(opened, "upload_item") == 5000
    assert len(await opened.events("receivable.registered.v1")) == 5000


async def test_r8_the_same_rows_in_two_files_at_once_are_one_claim_each(opened: Desk) -> None:
    data = many(opened, 1500)
    answers = [await sent(opened, each) for each in (data, data + b"\n", data)]
    await asyncio.gather(*(work_uploads(opened.bench.database) for _ in range(3)))
    found = [await progress(opened, said) for said in answers]
    assert [each["done"] for each in found] == [1500] * 3
    assert sum(each["accepted"] for each in found) == await count(opened, "receivable") == 1500
    assert sum(each["duplicate"] for each in found) == 3000
    # The same bytes are kept once, whoever sends them.
    assert await count(opened, "original") == 2
    assert await count(opened, "original_part") == 2


async def test_a_row_that_cannot_be_stored_costs_its_neighbours_nothing(opened: Desk) -> None:
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute("ALTER TABLE receivable ADD CHECK (number <> 'A00077x')")
    said = await sent(opened, many(opened, 150))
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["accepted"], after["refused"]) == ("done", 149, 1)
    async with opened.bench.database.reader() as tx:
        (refused,) = await tx.pg.fetch("SELECT nth, code FROM upload_item WHERE outcome = 'refused'")
    assert (refused["nth"], refused["code"]) == (78, "not_stored")


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\xff\xff", b"x" * 33 * 1024 * 1024], ids=["header", "text", "line"])
async def test_a_file_that_is_no_such_table_is_refused_as_a_whole_where_its_progress_is_read(
    opened: Desk, data: bytes
) -> None:
    said = await sent(opened, data)
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["code"], after["done"]) == ("refused", "unreadable_document", 0)
    assert await count(opened, "receivable") == 0


async def test_a_table_without_rows_is_done(opened: Desk) -> None:
    async with opened.bench.caller("erp", party=opened.id(SUPPLIER)) as erp:
        template = await erp.get("/uploads/template", params={"language": "zh"})
    assert (template.status_code, "发票号码" in template.text) == (200, True)
    said = await sent(opened, template.content)
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["total"], after["done"]) == ("done", 0, 0)


async def test_of_a_file_that_breaks_off_nothing_is_kept_but_that_it_did(opened: Desk) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 600_000
        raise ConnectionResetError

    async with opened.bench.caller("bank_maker") as bank:
        assert (await bank.post("/uploads", content=pieces(), headers=CSV)).status_code == 503
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(receive_uploads._RECEIVING, "silent", "", None, "somebody")
        await tx.pg.execute(receive_uploads._PART, "silent", 0, b"x")
        await tx.pg.execute("UPDATE upload SET held_until = clock_timestamp() WHERE upload_id = 'silent'")
    await work_uploads(opened.bench.database)
    async with opened.bench.database.reader() as tx:
        found = await tx.pg.fetch("SELECT state, code, done FROM upload")
    assert [tuple(each) for each in found] == [("refused", "broken_off", 0)] * 2
    assert await count(opened, "original_part") == await count(opened, "original") == 0


async def test_what_is_no_rows_is_not_streamed(opened: Desk) -> None:
    async with opened.bench.caller("bank_maker") as bank, opened.sme(SECOND) as sme:
        answer = await bank.post("/uploads", content=b"x", headers={"content-type": "application/zip"})
        assert (answer.status_code, answer.json()["supported"][-1]) == (415, "text/csv")
        foreign = await sme.post("/uploads", content=many(opened, 1), headers=CSV)
        await work_uploads(opened.bench.database)
        found = (await sme.get(foreign.json()["items"].removeprefix("/receivables/v1"))).json()["items"]
    # R23: a party brings only what it sells or owes.
    assert [each["code"] for each in found] == ["foreign_party"]


async def test_however_large_the_files_were_their_parts_are_found_by_index(opened: Desk) -> None:
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(
            "INSERT INTO original_part SELECT 'p' || n, i, 'x' FROM generate_series(1, 2000) n, generate_series(0, 9) i"
        )
        await tx.pg.execute("ANALYZE original_part")
        for statement in (_PART, work_rows._PART):
            plan = "\n".join(line[0] for line in await tx.pg.fetch(f"EXPLAIN {statement}", "p7", 3))
            assert "original_part_pkey" in plan, plan
    assert queries._PART == work_rows._PART


async def test_a_row_that_writes_a_letter_where_an_orders_number_belongs_is_taken_and_cites_nothing(
    opened: Desk,
) -> None:
    letter = "".join(chr(0x4E00 + nth * 7919 % 20_000) for nth in range(1000))
    said = await sent(opened, f"{HEADER}\n{row(opened, 'L-1')}{letter}\n{row(opened, 'M-9', amount='7.00')}\n".encode())
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["accepted"]) == ("done", 2)
    assert await count(opened, "citation") == 0


async def test_a_row_whose_names_are_no_text_says_so_and_costs_its_neighbours_nothing(opened: Desk) -> None:
    good = json.dumps(
        {
            "seller_id": opened.id(SUPPLIER),
            "obligor_id": opened.id(ANCHOR),
            "number": "G-1",
            "issue_date": "2026-09-01",
            "payable": {"amount": "10.00", "currency": "CNY"},
        }
    )
    bad = (r'{"\u0000": 1}', r'{"\ud800": 1}', r'{"number": "\u0000"}', "[]")
    data = "\n".join([good, *bad]).encode()
    said = await sent(opened, data, NDJSON)
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["accepted"], after["refused"]) == ("done", 1, 4)
    codes = {each["code"] for each in (await items(opened, said))["items"] if each["outcome"] == "refused"}
    assert codes == {"unreadable_document"}


async def test_r8_however_many_firms_have_one_name_a_chunk_takes_no_more_locks_than_a_server_has(opened: Desk) -> None:
    await opened.hear(*(enterprise(new_id(), SUPPLIER.name, {}) for _ in range(60)))
    said = await sent(opened, many(opened, 500))
    await work_uploads(opened.bench.database)
    after = await progress(opened, said)
    assert (after["state"], after["accepted"]) == ("done", 500)
