"""The assignment register in the form that a movables registry takes; docs/register.md describes every field."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, Literal

from shared.values.money import Amount

COLUMNS: tuple[str, ...] = (
    "position", "kind", "registration_number", "archive_number", "at", "transaction", "term_months", "assignor_name",
    "assignor_identifiers", "assignee_name", "obligor_name", "obligor_identifiers", "item", "item_kind", "document_id",
    "asset", "number", "issue_date", "due_date", "amount", "currency", "total", "description", "amendment_reason",
    "discharge_reason",
)  # fmt: skip
Transaction = Literal["assignment_of_receivables", "pledge_of_goods"]
# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class UnknownPosition(ValueError):
    """The register has not come to this position: it is not one that an export returned."""

    code: ClassVar[str] = "unknown_position"

    def __init__(self, *, position: int, newest: int) -> None:
        """Keep what was asked for and how far the register is."""
        self.position = position
        self.newest = newest
        super().__init__(f"The register ends at position {newest}; start from 0 or from one that an export returned.")


def term_months(*, registered: date, last_due: date, months_beyond: int) -> int:
    """Return for how many whole months a registration runs: to the last due date, and some beyond it; at least one."""
    months = (last_due.year - registered.year) * 12 + last_due.month - registered.month
    months += last_due.day > registered.day
    return max(1, months + months_beyond)


def statement(
    *,
    transaction: Transaction,
    assignor: Mapping[str, Any],
    obligor: Mapping[str, Any],
    collateral: Sequence[Mapping[str, Any]],
    total: Mapping[str, str],
    months: int,
) -> dict[str, Any]:
    """Return what a registration states, once and for good: later names and amounts change nothing of it."""
    return {
        "transaction": transaction,
        "term_months": months,
        "assignor": dict(assignor),
        "obligor": dict(obligor),
        "collateral": [dict(each) for each in collateral],
        "total": dict(total),
        "description": "; ".join(describe(each) for each in collateral),
    }


def amended(stated: Mapping[str, Any], *, amounts: Mapping[str, Amount], reason: str) -> dict[str, Any] | None:
    """Return what is stated once documents are worth other amounts, with why; None when that changes nothing.

    Firms are called what they were called when it was registered, and it runs as long.
    """
    collateral = [
        {**each, "amount": amounts[each["document_id"]].model_dump()} if each["document_id"] in amounts else dict(each)
        for each in stated["collateral"]
    ]
    if collateral == stated["collateral"]:
        return None
    total = sum(Amount(**each["amount"]).minor for each in collateral)
    return {
        **stated,
        "collateral": collateral,
        "total": Amount.of(amount_minor=total, currency=stated["total"]["currency"]).model_dump(),
        "description": "; ".join(describe(each) for each in collateral),
        "amendment_reason": reason,
    }


def describe(item: Mapping[str, Any]) -> str:
    """Return one document of the collateral in words, so that a third party can tell which claim it is."""
    amount = f"{item['amount']['amount']} {item['amount']['currency']}"
    match item["kind"]:
        case "slice":
            return f"slice [{item['start_minor']}, {item['end_minor']}) of voucher {item['number']}: {amount}"
        case "goods":
            return f"goods of warehouse receipt {item['number']} of {item['issue_date']}, pledged: {amount}"
        case "order":
            return f"order {item['number']} of {item['issue_date']} and the invoices that cite it: {amount}"
        case _:
            return f"invoice {item['number']} of {item['issue_date']}, due {item['due_date']}: {amount}"


def form(entry: Mapping[str, Any], *, assignee: str) -> dict[str, Any]:
    """Return one entry of the register as it is exported."""
    shown = {
        "position": entry["number"],
        "kind": entry["kind"],
        "registration_number": entry["reference"],
        "archive_number": entry["drawdown_id"],
        "at": entry["at"].isoformat(),
    }
    if entry["kind"] == "discharge":
        return {**shown, "discharge_reason": entry["statement"]["reason"]}
    return {**shown, "assignee": {"name": assignee}, **entry["statement"]}


def json_lines(forms: Iterable[Mapping[str, Any]]) -> bytes:
    """Return entries as JSON Lines: one an entry."""
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in forms)


def csv_lines(forms: Iterable[Mapping[str, Any]], *, header: bool) -> bytes:
    """Return entries as CSV (RFC 4180, UTF-8): one row a document of the collateral, one a discharge.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; JSON Lines carries it as it is.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    if header:
        writer.writeheader()
    for each in forms:
        for row in _rows(each):
            writer.writerow({name: _plain(value) for name, value in row.items()})
    return out.getvalue().encode()


def _rows(shown: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    common = {name: shown[name] for name in COLUMNS if name in shown and name != "total"}
    if shown["kind"] == "discharge":
        yield common
        return
    common |= {
        "assignor_name": shown["assignor"]["name"],
        "assignor_identifiers": _identifiers(shown["assignor"]),
        "assignee_name": shown["assignee"]["name"],
        "obligor_name": shown["obligor"]["name"],
        "obligor_identifiers": _identifiers(shown["obligor"]),
        "total": shown["total"]["amount"],
    }
    for nth, item in enumerate(shown["collateral"], start=1):
        row = {name: item[name] for name in ("document_id", "asset", "number", "issue_date", "due_date")}
        yield {
            **common,
            **row,
            "item": nth,
            "item_kind": item["kind"],
            "amount": item["amount"]["amount"],
            "currency": item["amount"]["currency"],
            "description": describe(item),
        }


def _identifiers(firm: Mapping[str, Any]) -> str:
    return " ".join(f"{scheme}:{text}" for scheme, text in sorted(firm["identifiers"].items()))


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
