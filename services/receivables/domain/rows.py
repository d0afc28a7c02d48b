"""Invoices as the rows of a file: CSV as spreadsheets write it, or a JSON object a line.

The file comes in pieces and is never whole in memory; what a piece ends in the middle of waits for the next.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from io import StringIO
from operator import itemgetter
from typing import Literal

from services.receivables.domain.documents import DocumentRefused, EInvoice, UnreadableDocument
from services.receivables.domain.entries import invoice_of, read_json
from shared.values.money import InvalidAmount, UnknownCurrency

Kind = Literal["csv", "ndjson"]
Row = EInvoice | DocumentRefused | InvalidAmount | UnknownCurrency
# Spreadsheets in China save what they call CSV in GB18030 or its subsets.
ENCODINGS = ("utf-8-sig", "gb18030")
# The columns of a template, in its order, with their Chinese names; what is False may be left out or empty.
HEADERS: dict[str, tuple[str, bool]] = {
    "seller_id": ("卖方编号", True),
    "obligor_id": ("付款方编号", True),
    "number": ("发票号码", True),
    "document_type": ("发票类型", False),
    "issue_date": ("开票日期", True),
    "due_date": ("到期日", False),
    "amount": ("金额", True),
    "currency": ("币种", True),
    "order_reference": ("订单号", False),
    "preceding_invoice": ("原发票号码", False),
}
COLUMNS = tuple(HEADERS)
_NEEDED = frozenset(name for name, (_, needed) in HEADERS.items() if needed)
_NAMES = {**{name: name for name in COLUMNS}, **{chinese: name for name, (chinese, _) in HEADERS.items()}}
_DELIMITERS = (",", ";", "\t")
_LONGEST_LINE = 10_000
_LONGEST_JSON_LINE = 256 * 1024
_MOST_LINES_OF_A_ROW = 1000
# Not only what ISO 8601 writes: spreadsheets in China write 2026/9/1.
_SPREADSHEET_DATE = re.compile(r"(\d{4})[/年](\d{1,2})[/月](\d{1,2})日?", re.ASCII)
_REFUSALS = (DocumentRefused, InvalidAmount, UnknownCurrency)


class _Incomplete(Exception):
    """The row goes on in a piece that has not come yet."""


class _Lines:
    """The lines that have come, as the CSV reader takes them; it can be sent back to the start of a row."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.taken: list[str] = []
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.waiting:
            line = self.waiting.popleft()
            self.taken.append(line)
            return line
        if self.ended:
            raise StopIteration
        raise _Incomplete


class RowFile:
    """A file of rows, piece by piece; UnreadableDocument when it is none, UnicodeDecodeError in another encoding."""

    def __init__(self, *, kind: Kind, encoding: str) -> None:
        """Nothing has come yet."""
        self._kind: Kind = kind
        self._decode = codecs.getincrementaldecoder(encoding)().decode
        self._longest = _LONGEST_LINE if kind == "csv" else _LONGEST_JSON_LINE
        self._rest = ""
        self._lines = _Lines()
        self._table: _Table | None = None

    def feed(self, piece: bytes, *, last: bool = False) -> None:
        """Take the next piece."""
        text = self._rest + self._decode(piece, last)
        lines = list(StringIO(text, newline="\n"))
        self._rest = "" if last or not lines or lines[-1].endswith("\n") else lines.pop()
        if max(map(len, lines), default=0) > self._longest or len(self._rest) > self._longest:
            raise UnreadableDocument(f"A line is longer than {self._longest} characters.")
        self._lines.waiting.extend(lines)
        self._lines.ended = last

    def count(self) -> int:
        """Return how many rows have come since the last look, and forget them; a row at fault is one all the same."""
        waiting = self._lines.waiting
        if self._kind == "csv":
            table = self._opened()
            if table is None:
                return 0
            if any('"' in line or "\r" in line[:-2] for line in waiting):
                return sum(1 for _ in self._cells(table))
            many = sum(1 for line in waiting if line.replace(table.delimiter, " ").strip())
        else:
            many = sum(1 for line in waiting if line.strip())
        waiting.clear()
        return many

    def rows(self) -> Iterator[Row]:
        """Yield the invoice of each row that has come, or why it is none."""
        if self._kind == "ndjson":
            while self._lines.waiting:
                line = self._lines.waiting.popleft()
                if line.strip():
                    yield _object(line)
            return
        table = self._opened()
        if table is not None:
            for cells in self._cells(table):
                yield table.read(cells)

    def _opened(self) -> _Table | None:
        """Return the table once its header has come."""
        waiting = self._lines.waiting
        if self._table is None:
            while waiting and waiting[0].isspace():
                waiting.popleft()
            if waiting:
                self._table = _Table(waiting.popleft(), self._lines)
            elif self._lines.ended:
                raise _no_header()
        return self._table

    def _cells(self, table: _Table) -> Iterator[list[str]]:
        lines = self._lines
        while True:
            lines.taken.clear()
            try:
                cells = next(table.reader)
            except _Incomplete:
                if len(lines.taken) > _MOST_LINES_OF_A_ROW:
                    raise UnreadableDocument("A row has no end.") from None
                lines.waiting.extendleft(reversed(lines.taken))
                return
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableDocument("The file is not CSV.") from error
            if any(map(str.strip, cells)):
                yield cells


class _Table:
    """Rows under a header: which cell is what."""

    def __init__(self, header: str, lines: _Lines) -> None:
        """Find by which sign the header's names are apart."""
        for delimiter in _DELIMITERS:
            try:
                names = next(csv.reader([header], delimiter=delimiter, strict=True))
            except csv.Error as error:
                raise UnreadableDocument("The file is not CSV.") from error
            columns = [_NAMES.get(name.strip(), "") for name in names]
            if len(set(columns)) == len(columns) and "" not in columns and set(columns) >= _NEEDED:
                break
        else:
            raise _no_header()
        self.delimiter = delimiter
        self.reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._width = len(columns)
        # What the file leaves out is an empty cell behind the others.
        places = {name: place for place, name in enumerate(columns)}
        self._pick = itemgetter(*(places.get(name, self._width) for name in COLUMNS))

    def read(self, cells: list[str]) -> Row:
        """Return the invoice of a row, or why it is none."""
        if len(cells) != self._width:
            return UnreadableDocument(f"The row has {len(cells)} cells, the header {self._width}.")
        cells.append("")
        try:
            fields = dict(zip(COLUMNS, self._pick(cells), strict=True))
            for name in ("issue_date", "due_date"):
                if "/" in fields[name] or "年" in fields[name]:
                    fields[name] = _SPREADSHEET_DATE.sub(_iso_date, fields[name].strip())
            return invoice_of("csv", fields)
        except _REFUSALS as error:
            return error


def encodings_of(kind: Kind) -> Sequence[str]:
    """Return in which encodings a file may be, the likelier first; JSON is UTF-8 (RFC 8259)."""
    return ENCODINGS if kind == "csv" else ENCODINGS[:1]


def encoding_of(data: bytes, *, kind: Kind) -> tuple[str, int]:
    """Return in which encoding a whole file is, and how many rows it has; UnreadableDocument when it is none."""
    for encoding in encodings_of(kind):
        found = RowFile(kind=kind, encoding=encoding)
        try:
            found.feed(data, last=True)
        except UnicodeDecodeError:
            continue
        return encoding, found.count()
    raise not_text()


def not_text() -> UnreadableDocument:
    """Return the refusal of a file in no encoding that is read here."""
    return UnreadableDocument("The file is neither UTF-8 nor GB18030.")


def template(language: Literal["en", "zh"]) -> bytes:
    """Return an empty table to fill in; spreadsheets know by the mark at its start that it is UTF-8."""
    names = COLUMNS if language == "en" else [chinese for chinese, _ in HEADERS.values()]
    return f"\ufeff{','.join(names)}\r\n".encode()


def _object(line: str) -> Row:
    try:
        return read_json(line.encode())
    except _REFUSALS as error:
        return error


def _iso_date(found: re.Match[str]) -> str:
    return f"{found[1]}-{found[2]:0>2}-{found[3]:0>2}"


def _no_header() -> UnreadableDocument:
    return UnreadableDocument(f"The header is not {','.join(COLUMNS)}, in English or Chinese.")
