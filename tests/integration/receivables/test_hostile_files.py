"""What strangers send is refused by name, in bounded time and memory, and the next file is read as if nothing was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.receivables.operations.read_upload import read_files, read_one
from shared.runtime.offload import Confined, OutOfBounds, close_offload
from tests.support import hostile
from tests.support.einvoices import Firm, Sample, cii, ubl

SAMPLE = Sample(Firm("Bolt Supplier GmbH", vat="DE271828180"), Firm("螺栓有限公司"))
LAUGHS = b"<!DOCTYPE x [<!ENTITY a0 'ha'>" + b"".join(
    b"<!ENTITY a%d '%s'>" % (nth, b"&a%d;" % (nth - 1) * 10) for nth in range(1, 12)
)
FETCH = b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    close_offload()


def declared(encoding: str) -> str:
    return ubl(SAMPLE).decode().replace('"UTF-8"', f'"{encoding}"', 1)


HOSTILE_XML = {
    "an entity of ten to the eleventh": LAUGHS + b"]><x>&a11;</x>",
    "a file of the machine": FETCH + b"<x>&e;</x>",
    "the same in UTF-16": FETCH.decode().encode("utf-16") + "<x>&e;</x>".encode("utf-16-le"),
    "a doctype inside an invoice": ubl(SAMPLE).replace(b"<Invoice", FETCH + b"<Invoice", 1),
    "a parameter entity": b'<!DOCTYPE x [<!ENTITY % d SYSTEM "http://127.0.0.1:1/d.dtd">%d;]><x/>',
    "elements a thousand deep": b"<a>" * 200 + b"</a>" * 200,
    "one text of eleven megabytes": b"<a>" + b"x" * (11 * 1024 * 1024) + b"</a>",
    "an invoice of forty megabytes": ubl(SAMPLE).replace(b"Parts", b"x" * (40 * 1024 * 1024)),
}
UNREADABLE = {
    "UTF-16 that is said and is not": declared("UTF-16").encode(),
    "GB18030 that is said to be UTF-8": ubl(SAMPLE).decode().encode("gb18030"),
    "UTF-8 cut inside a character": ubl(SAMPLE)[: ubl(SAMPLE).index("螺".encode()) + 1],
    "an encoding that nobody reads": declared("UTF-7").encode(),
    "zeros": b"\0" * 4096,
    "elements without an end": b"<a " + b"b='1' " * 10,
}


@pytest.mark.parametrize("name", HOSTILE_XML)
async def test_xml_that_attacks_is_refused_as_hostile(name: str) -> None:
    read = await read_one(HOSTILE_XML[name], name=name)
    assert (read.invoice, getattr(read.error, "code", None)) == (None, "hostile_document"), read.error
    assert "root:" not in str(read.error)


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_encoding_that_is_not_the_declared_one_is_refused_as_unreadable(name: str) -> None:
    read = await read_one(UNREADABLE[name], name=name)
    assert (read.invoice, getattr(read.error, "code", None)) == (None, "unreadable_document"), read.error


@pytest.mark.parametrize(("encoding", "bytes_as"), [("GB18030", "gb18030"), ("GBK", "gbk"), ("UTF-16", "utf-16")])
async def test_an_encoding_that_is_declared_rightly_is_read_chinese_names_and_all(encoding: str, bytes_as: str) -> None:
    read = await read_one(declared(encoding).encode(bytes_as), name="a.xml")
    assert read.invoice is not None, read.error
    assert read.invoice.buyer.name == "螺栓有限公司"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (hostile.with_script, "script"),
        (hostile.with_launch, "launch"),
        (hostile.with_hidden_script, "script"),
        (hostile.with_programme, "embedded file"),
        (hostile.encrypted, "encrypted"),
    ],
)
async def test_a_pdf_that_does_or_hides_anything_is_refused_as_hostile(change: object, why: str) -> None:
    read = await read_one(hostile.pdf(cii(SAMPLE), change), name="a.pdf")  # type: ignore[arg-type] # one of the changes
    assert (getattr(read.error, "code", None), getattr(read.error, "why", None)) == ("hostile_document", why)


async def test_a_pdf_whose_attachment_is_a_bomb_or_an_attack_costs_nothing_but_its_refusal() -> None:
    for data in (hostile.pdf(None, hostile.with_bomb), hostile.pdf(FETCH + b"<x>&e;</x>")):
        read = await read_one(data, name="a.pdf")
        assert getattr(read.error, "code", None) in {"hostile_document", "not_an_invoice"}, read.error
    read = await read_one(hostile.pdf(cii(SAMPLE)), name="good.pdf")
    assert read.invoice is not None, read.error


async def test_pdfs_that_are_broken_or_carry_nothing_are_refused_by_name() -> None:
    whole = hostile.pdf(cii(SAMPLE))
    for data in (hostile.pdf(), b"%PDF-1.7", whole[: len(whole) // 2]):
        read = await read_one(data, name="a.pdf")
        assert getattr(read.error, "code", None) in {"not_an_invoice", "unreadable_document"}, read.error


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (hostile.ratio_bomb, "ratio"),
        (hostile.overlapping_bomb, "overlap"),
        (hostile.locked, "encrypted"),
        (lambda: hostile.archive({f"{nth}.xml": b"<a/>" for nth in range(10_001)}, stored=True), "members"),
        (lambda: hostile.archive({"a\x07.xml": b"<a/>"}), "name"),
        (hostile.nameless, "name"),
    ],
)
async def test_an_archive_that_is_a_bomb_is_refused_whole_before_anything_is_unpacked(make: object, why: str) -> None:
    (read,) = await read_files(make(), name="a.zip")  # type: ignore[operator] # one of the makers
    assert (getattr(read.error, "code", None), getattr(read.error, "why", None)) == ("hostile_document", why)


async def test_an_archive_in_an_archive_and_one_that_lies_are_refused_file_by_file() -> None:
    reads = await read_files(hostile.nested_bomb(), name="a.zip")
    assert {getattr(read.error, "code", None) for read in reads} == {"not_an_invoice"}
    (read,) = await read_files(hostile.lying_size(), name="a.zip")
    assert getattr(read.error, "code", None) in {"hostile_document", "unreadable_document"}
    for torn in (b"PK\x03\x04", hostile.archive({"a.xml": ubl(SAMPLE)})[:-30], hostile.archive({})):
        (read,) = await read_files(torn, name="a.zip")
        assert getattr(read.error, "code", None) == "unreadable_document", read.error


async def test_an_archive_whose_file_has_another_name_than_it_says_is_refused_for_that_file() -> None:
    (read,) = await read_files(hostile.named_otherwise_inside(), name="a.zip")
    assert getattr(read.error, "code", None) == "unreadable_document", read.error


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
async def test_an_archive_that_tells_no_encoding_of_its_names_is_read_whatever_it_is(encoding: str) -> None:
    names = ["发票一二三四.xml", "螺栓/发票五.xml"]
    files = {name.encode(encoding): ubl(replace(SAMPLE, number=name)) for name in names}
    reads = await read_files(hostile.named_in_bytes(files), name="a.zip")
    assert [(read.name, read.error) for read in reads] == [(f"a.zip/{name}", None) for name in names]


async def test_many_files_beside_a_large_one_come_in_their_order() -> None:
    files = {f"{nth}.xml": ubl(replace(SAMPLE, number=f"N-{nth}")) for nth in range(12)}
    files["5.xml"] = b"<a>" + b"x" * (20 * 1024 * 1024) + b"</a>"
    files["6.xml"] = files["5.xml"]
    reads = await read_files(hostile.archive(files, stored=True), name="a.zip")
    found = [(read.name, read.invoice.number if read.invoice else getattr(read.error, "code", None)) for read in reads]
    assert found == [(f"a.zip/{nth}.xml", "hostile_document" if nth in {5, 6} else f"N-{nth}") for nth in range(12)]


async def test_good_files_beside_bad_ones_in_an_archive_are_read() -> None:
    files = {"good.xml": ubl(SAMPLE), "attack.xml": FETCH + b"<x>&e;</x>", "sub/twin.xml": cii(SAMPLE), "x.txt": b"hi"}
    reads = await read_files(hostile.archive(files), name="a.zip")
    outcomes = {read.name: getattr(read.error, "code", "taken") for read in reads}
    assert outcomes == {
        "a.zip/good.xml": "taken",
        "a.zip/attack.xml": "hostile_document",
        "a.zip/sub/twin.xml": "taken",
        "a.zip/x.txt": "unreadable_document",
    }


async def test_work_that_passes_its_bound_ends_with_its_process_and_the_next_work_is_done() -> None:
    cell = Confined(processes=1, memory_bytes=256 * 1024 * 1024, seconds=1.0)
    try:
        first = await cell.run(os.getpid)
        assert await cell.run(os.getpid) == first
        started = time.monotonic()
        with pytest.raises(OutOfBounds) as late:
            await cell.run(sum, range(10**12))
        assert late.value.bound == "time"
        # A minute would be a bound too; that it is not the sum's own hours is the point.
        assert time.monotonic() - started < 60
        assert await cell.run(os.getpid) != first
        assert not Path(f"/proc/{first}").exists() or Path(f"/proc/{first}/cmdline").read_bytes() == b""
        with pytest.raises(OutOfBounds) as large:
            await cell.run(bytearray, 1024**3)
        assert large.value.bound == "memory"
        assert await cell.run(len, b"abc") == 3
    finally:
        cell.close()


async def test_an_invoice_of_very_many_lines_is_judged_or_refused_within_the_bound() -> None:
    line = ubl(SAMPLE)
    start, end = line.index(b"<cac:InvoiceLine>"), line.index(b"</Invoice>")
    data = line[:start] + line[start:end] * 3000 + line[end:]
    read = await read_one(data, name="long.xml")
    assert getattr(read.error, "code", None) in {"rules_broken", "hostile_document"}
    assert (await read_one(ubl(replace(SAMPLE, number="2")), name="next.xml")).invoice is not None
