"""Invoices that come as data rather than as documents: named texts, of one JSON object; parties by our own ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

from services.receivables.domain.documents import (
    Cited,
    EInvoice,
    Party,
    UnreadableDocument,
    check_document_type,
    check_payable,
    need_date,
    read_cited,
    read_date,
    read_number,
    read_text,
)
from services.receivables.domain.trade_lines import TradeLine, check_lines, read_line
from shared.values.money import Money

_NEEDED = frozenset({"seller_id", "obligor_id", "number", "issue_date", "payable"})
_OPTIONAL = frozenset({"document_type", "due_date", "order_reference", "payee", "lines", "preceding_invoices"})
_LISTS = frozenset({"lines", "preceding_invoices"})
_CITED = frozenset({"number", "issue_date"})
_LINE = frozenset({"line_id", "item", "name", "quantity", "unit", "price", "amount", "order_line"})


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
            [*(f"{name} is missing" for name in missing), *(f"{name[:40]!r} is unknown" for name in unknown)]
        )
        raise UnreadableDocument(f"The document is not an invoice as described: {named[:500]}.")
    payable = found["payable"]
    if not isinstance(payable, dict) or payable.keys() != {"amount", "currency"}:
        raise UnreadableDocument("The payable is an object of amount and currency.", field="payable")
    fields = {**{name: found.get(name) for name in _OPTIONAL}, **{name: found[name] for name in _NEEDED}, **payable}
    texts = {name: _string(value, field=name) for name, value in fields.items() if name not in _LISTS | {"payable"}}
    invoice = invoice_of("json", texts)
    return replace(
        invoice,
        lines=_lines_of(found.get("lines"), currency=invoice.currency),
        cites=_cited_of(found.get("preceding_invoices")),
    )


def _cited_of(cited: Any) -> tuple[Cited, ...]:
    if cited is None:
        return ()
    if not isinstance(cited, list) or not all(isinstance(each, dict) and each.keys() <= _CITED for each in cited):
        raise UnreadableDocument("The preceding invoices are a list of objects of issue_date, number.")
    return read_cited(
        (_string(each.get("number"), field="number"), _string(each.get("issue_date"), field="issue_date"))
        for each in cited
    )


def _lines_of(lines: Any, *, currency: str) -> tuple[TradeLine, ...]:
    if lines is None:
        return ()
    if not isinstance(lines, list) or not all(isinstance(each, dict) and each.keys() <= _LINE for each in lines):
        raise UnreadableDocument(f"The lines are a list of objects of {', '.join(sorted(_LINE))}.", field="lines")
    texts = ({name: _string(value, field=name) for name, value in each.items()} for each in lines)
    return check_lines(tuple(read_line(each, currency=currency) for each in texts))


def invoice_of(syntax: str, fields: Mapping[str, str]) -> EInvoice:
    """Return the invoice that named texts mean; UnreadableDocument or the errors of what they say."""
    payee = read_text(fields.get("payee"), field="payee")
    return EInvoice(
        syntax=syntax,
        document="Invoice",
        profile="",
        number=read_number(fields["number"]),
        document_type=check_document_type(fields["document_type"].strip() or "380"),
        issue_date=_needed_day(fields["issue_date"].strip(), "issue_date"),
        due_date=_day(fields["due_date"].strip(), "due_date"),
        payable=check_payable(Money.parse(fields["amount"].strip(), fields["currency"].strip())),
        seller=_party(fields["seller_id"].strip(), "seller_id"),
        buyer=_party(fields["obligor_id"].strip(), "obligor_id"),
        payee=Party(enterprise_id=payee) if payee else None,
        order_reference=read_text(fields["order_reference"], field="order_reference"),
        cites=read_cited([(preceding, None)]) if (preceding := fields.get("preceding_invoice")) else (),
    )


# The rows of a file name few firms and few days, each of them many thousand times.
@lru_cache(maxsize=4096)
def _party(text: str, field: str) -> Party:
    enterprise_id = read_text(text, field=field, longest=40)
    if not enterprise_id:
        raise UnreadableDocument(f"The {field} is missing.", field=field)
    return Party(enterprise_id=enterprise_id)


@lru_cache(maxsize=4096)
def _day(text: str, field: str) -> date | None:
    return read_date(text, field=field)


@lru_cache(maxsize=4096)
def _needed_day(text: str, field: str) -> date:
    return need_date(text, field=field)


def _string(value: Any, *, field: str) -> str:
    """Return a JSON string, an absent one empty; a number is refused: money and numbers travel as strings."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableDocument(f"The {field} is not a string.", field=field)
    return value
