"""Invoices that come as data rather than as documents: one JSON object, or CSV rows; parties by our own ids."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.receivables.domain.documents import (
    DocumentRefused,
    EInvoice,
    Party,
    UnreadableDocument,
    check_document_type,
    check_payable,
    need_date,
    read_date,
    read_number,
    read_text,
)
from services.receivables.domain.trade_lines import TradeLine, check_lines, read_line
from shared.values.money import InvalidAmount, Money, UnknownCurrency

_NEEDED = frozenset({"seller_id", "obligor_id", "number", "issue_date", "payable"})
_OPTIONAL = frozenset({"document_type", "due_date", "order_reference", "payee", "lines"})
_LINE = frozenset({"line_id", "item", "name", "quantity", "unit", "price", "amount", "order_line"})
COLUMNS = (
    "seller_id",
    "obligor_id",
    "number",
    "document_type",
    "issue_date",
    "due_date",
    "amount",
    "currency",
    "order_reference",
)
_LONGEST_LINE = 10_000
Row = EInvoice | DocumentRefused | InvalidAmount | UnknownCurrency


def read_json(data: bytes) -> EInvoice:
    """Return the invoice of one JSON object; UnreadableDocument or the errors of what it says."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("The document is not JSON.") from error
    if not isinstance(found, dict):
        raise UnreadableDocument("The document is not one JSON object.")
    unknown, missing = sorted(found.keys() - _NEEDED - _OPTIONAL), sorted(_NEEDED - found.keys())
    if unknown or missing:
        named = ", ".join(
            [*(f"{name} is missing" for name in missing), *(f"{name[:40]} is unknown" for name in unknown)]
        )
        raise UnreadableDocument(f"The document is not an invoice as described: {named[:500]}.")
    payable = found["payable"]
    if not isinstance(payable, dict) or payable.keys() != {"amount", "currency"}:
        raise UnreadableDocument("The payable is an object of amount and currency.", field="payable")
    fields = {**{name: found.get(name) for name in _OPTIONAL}, **{name: found[name] for name in _NEEDED}, **payable}
    texts = {name: _string(value, field=name) for name, value in fields.items() if name not in {"payable", "lines"}}
    invoice = _invoice("json", texts)
    return replace(invoice, lines=_lines_of(found.get("lines"), currency=invoice.currency))


def _lines_of(lines: Any, *, currency: str) -> tuple[TradeLine, ...]:
    if lines is None:
        return ()
    if not isinstance(lines, list) or not all(isinstance(each, dict) and each.keys() <= _LINE for each in lines):
        raise UnreadableDocument(f"The lines are a list of objects of {', '.join(sorted(_LINE))}.", field="lines")
    texts = ({name: _string(value, field=name) for name, value in each.items()} for each in lines)
    return check_lines(tuple(read_line(each, currency=currency) for each in texts))


def check_csv(data: bytes) -> int:
    """Return how many rows a CSV has; UnreadableDocument when it is none, or its header is not the one asked for."""
    _, rows = _table(data)
    return sum(1 for _ in rows)


def read_csv(data: bytes) -> Iterator[tuple[int, Row]]:
    """Yield each row's number (the first after the header is 1) with its invoice, or with why it is none.

    UnreadableDocument when the file itself is no CSV with the header that is asked for.
    """
    header, rows = _table(data)
    for number, row in enumerate(rows, start=1):
        yield number, _row(header, row)


def _table(data: bytes) -> tuple[list[str], Iterator[list[str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableDocument("The file is not UTF-8.") from error
    rows = _rows(csv.reader(_lines(text), strict=True))
    header = [name.strip() for name in next(rows, [])]
    if sorted(header) != sorted(COLUMNS):
        raise UnreadableDocument(f"The header is not {','.join(COLUMNS)}.")
    return header, rows


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error as error:
        raise UnreadableDocument("The file is not CSV.") from error


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        if end - start > _LONGEST_LINE:
            raise UnreadableDocument(f"A line is longer than {_LONGEST_LINE} characters.")
        yield text[start:end]
        start = end


def _row(header: list[str], row: list[str]) -> Row:
    try:
        if len(row) != len(header):
            return UnreadableDocument(f"The row has {len(row)} cells, the header {len(header)}.")
        return _invoice("csv", dict(zip(header, row, strict=True)))
    except (DocumentRefused, InvalidAmount, UnknownCurrency) as error:
        return error


def _invoice(syntax: str, fields: dict[str, str]) -> EInvoice:
    seller, obligor = (read_text(fields[name], field=name, longest=40) for name in ("seller_id", "obligor_id"))
    for name, text in (("seller_id", seller), ("obligor_id", obligor)):
        if not text:
            raise UnreadableDocument(f"The {name} is missing.", field=name)
    payee = read_text(fields.get("payee"), field="payee")
    return EInvoice(
        syntax=syntax,
        document="Invoice",
        profile="",
        number=read_number(fields["number"]),
        document_type=check_document_type(fields["document_type"].strip() or "380"),
        issue_date=need_date(fields["issue_date"], field="issue_date"),
        due_date=read_date(fields["due_date"], field="due_date"),
        payable=check_payable(Money.parse(fields["amount"].strip(), fields["currency"].strip())),
        seller=Party(enterprise_id=seller),
        buyer=Party(enterprise_id=obligor),
        payee=Party(enterprise_id=payee) if payee else None,
        order_reference=read_text(fields["order_reference"], field="order_reference"),
    )


def _string(value: Any, *, field: str) -> str:
    """Return a JSON string, an absent one empty; a number is refused: money and numbers travel as strings."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableDocument(f"The {field} is not a string.", field=field)
    return value
