"""Files of rows: the table that a spreadsheet means, whatever it wrote it in; each row answered by its number (R25)."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.documents import EInvoice, UnreadableDocument
from services.receivables.domain.rows import COLUMNS, HEADERS, Kind, Row, RowFile, encoding_of, template
from shared.values.money import InvalidAmount, Money

HEADER = "seller_id,obligor_id,number,document_type,issue_date,due_date,amount,currency,order_reference"
ROW = "s,o,N-1,380,2026-09-01,2026-12-01,10.50,CNY,"


def rows(data: bytes, *, kind: Kind = "csv", piece_bytes: int = 1_000_000) -> list[Row]:
    """Read a file in pieces of so many bytes; what it says must not depend on where they end."""
    encoding, many = encoding_of(data, kind=kind)
    table = RowFile(kind=kind, encoding=encoding)
    found: list[Row] = []
    for start in range(0, len(data), piece_bytes):
        table.feed(data[start : start + piece_bytes])
        found += table.rows()
    table.feed(b"", last=True)
    found += table.rows()
    assert len(found) == many
    return found


def only(data: bytes) -> EInvoice:
    (row,) = rows(data)
    assert isinstance(row, EInvoice), row
    return row


def table(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode()


CHINESE = ",".join(chinese for chinese, _ in HEADERS.values())
THE_SAME = {
    "plain": table(ROW),
    "with a byte order mark and CRLF": b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROW}\r\n".encode(),
    "semicolons": table(ROW.replace(",", ";"), header=HEADER.replace(",", ";")),
    "tabs": table(ROW.replace(",", "\t"), header=HEADER.replace(",", "\t")),
    "quoted": table('"s","o","N-1","380","2026-09-01","2026-12-01","10.50","CNY",""'),
    "columns in another order, the optional ones left out": table(
        "CNY,10.50,N-1,o,s,2026-09-01,2026-12-01",
        header="currency,amount,number,obligor_id,seller_id,issue_date,due_date",
    ),
    "Chinese, in GB18030, its dates as a spreadsheet writes them": (
        f"{CHINESE}\r\ns,o,N-1,380,2026/9/1,2026年12月1日,10.50,CNY,,\r\n".encode("gb18030")
    ),
    "spaces and blank lines": table("", f"  {ROW}", ",,,,,,,,", "  "),
}


@pytest.mark.parametrize("data", THE_SAME.values(), ids=THE_SAME.keys())
def test_the_same_invoice_however_the_table_is_written(data: bytes) -> None:
    found = only(data)
    assert (found.seller.enterprise_id, found.buyer.enterprise_id, found.number) == ("s", "o", "N-1")
    assert (found.issue_date, found.due_date) == (date(2026, 9, 1), date(2026, 12, 1))
    assert (found.payable, found.document_type) == (Money(1050, "CNY"), "380")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_template_that_is_filled_in_is_read(language: str) -> None:
    filled = template("zh" if language == "zh" else "en") + b"s,o,N-1,380,2026-09-01,,10.50,CNY,,\r\n"
    assert only(filled).number == "N-1"
    assert len(filled.split(b"\r\n")[0].split(b",")) == len(COLUMNS)


def test_a_quoted_cell_may_hold_the_sign_quotes_and_a_new_line() -> None:
    found = only(table('s,o,"N,1 ""a""\nb",380,2026-09-01,,10.50,CNY,'))
    assert found.number == 'N,1 "a" b'


@given(
    numbers=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12), max_size=8),
    piece_bytes=st.integers(1, 40),
)
def test_where_a_piece_ends_changes_nothing(numbers: list[str], piece_bytes: int) -> None:
    quoted = [f's,o,"{number.replace(chr(34), chr(34) * 2)}\n",,2026-09-01,,1.00,CNY,' for number in numbers]
    data = table(*quoted, ROW)
    whole, pieces = rows(data), rows(data, piece_bytes=piece_bytes)
    assert [str(row) for row in pieces] == [str(row) for row in whole]
    assert len(whole) == len(numbers) + 1


def test_r25_a_row_at_fault_is_answered_in_its_place_and_its_neighbours_are_read() -> None:
    found = rows(table(ROW, "s,o", ROW.replace("10.50", "ten"), ROW.replace("2026-09-01", "soon"), ROW))
    assert [type(row) for row in found] == [EInvoice, UnreadableDocument, InvalidAmount, UnreadableDocument, EInvoice]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b,c\n1,2,3\n",
        f"{HEADER},seller_id\n".encode(),
        table(ROW, '"open'),
        table(ROW, "x" * 20_000),
        table(ROW, '"a\n' + "b\n" * 3000 + '",c'),
        b"\xff\xfe\x00",
    ],
    ids=["empty", "another header", "a column twice", "an open quote", "a long line", "an endless row", "no text"],
)
def test_what_is_no_such_table_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        rows(data, piece_bytes=64)


def test_an_open_quote_is_found_while_the_file_is_still_coming() -> None:
    table_ = RowFile(kind="csv", encoding="utf-8-sig")
    table_.feed(table(f'"{ROW}'))

    def go_on() -> None:
        for _ in range(100):
            table_.feed(b"x,y\n" * 1000)
            table_.count()

    with pytest.raises(UnreadableDocument):
        go_on()


def test_json_objects_line_by_line() -> None:
    said = {"seller_id": "s", "obligor_id": "o", "issue_date": "2026-09-01", "number": "发票1"}
    lines = [json.dumps({**said, "payable": {"amount": "1.00", "currency": "CNY"}}, ensure_ascii=False), "", "{}", "["]
    found = rows("\n".join(lines).encode(), kind="ndjson", piece_bytes=7)
    assert [type(row) for row in found] == [EInvoice, UnreadableDocument, UnreadableDocument]
    assert isinstance(found[0], EInvoice)
    assert found[0].number == "发票1"
