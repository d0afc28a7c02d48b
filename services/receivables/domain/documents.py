"""One model for every invoice, whatever it was written in; its fields are EN 16931's business terms.

The readers ask for the terms that intake needs and judge nothing else: a document in which they cannot be read is
refused by name. Grammar and published rules are judged beside them (findings.py), and policy decides what comes of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from shared.values.money import InvalidAmount, Money

if TYPE_CHECKING:
    from services.receivables.domain.trade_lines import TradeLine

FIRST_YEAR, LAST_YEAR = 2000, 2199
LONGEST_NUMBER = 200
LONGEST_TEXT = 1000
LONGEST_AMOUNT = 60
_SPACES = re.compile(r"\s+")
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_DECIMAL = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*?)0*)?", re.ASCII)

# UNTDID 1001 as EN 16931 uses it for BT-3. These say that somebody owes money for what was delivered.
COMMERCIAL_TYPES = frozenset(
    {"80", "82", "84", "211", "295", "326", "331", "380", "382", "383", "384", "385", "387", "388", "389", "390"}
    | {"393", "394", "395", "527", "553", "575", "623", "633", "780", "875", "876", "877"}
)
CREDIT_NOTES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532"})
FACTORED = "393"
_OTHER_TYPES = {
    "71": "request_for_payment",
    "102": "tax_notification",
    "130": "invoicing_data_sheet",
    "202": "payment_valuation",
    "203": "payment_valuation",
    "204": "payment_valuation",
    "218": "payment_request",
    "219": "payment_request",
    "325": "pro_forma",
    "386": "prepayment",
    "456": "debit_advice",
    "457": "debit_advice",
    "751": "for_accounting_only",
    "817": "claim_notification",
    "870": "consular_invoice",
    "935": "customs_invoice",
}


class DocumentRefused(ValueError):
    """A document that is not taken; nothing of it is stored. One positional reason, so that it can be pickled."""

    code: ClassVar[str] = "document_refused"

    def __init__(self, reason: str, **facts: Any) -> None:
        """Keep the reason and the facts."""
        super().__init__(reason)
        self.__dict__.update(facts)


class UnreadableDocument(DocumentRefused):
    """The bytes are not well-formed, wrongly encoded, or lack a term that intake needs."""

    code: ClassVar[str] = "unreadable_document"


class HostileDocument(DocumentRefused):
    """A doctype, entities, or a size or depth that no invoice has."""

    code: ClassVar[str] = "hostile_document"


class NotAnInvoice(DocumentRefused):
    """A document of another kind, or an invoice in a syntax that is not read here."""

    code: ClassVar[str] = "not_an_invoice"


class UnknownDocumentType(DocumentRefused):
    """A type code (BT-3) that EN 16931 does not list."""

    code: ClassVar[str] = "unknown_document_type"


class NotFinanceable(DocumentRefused):
    """A credit note, a prepayment or anything else that is no claim for a delivery (R8)."""

    code: ClassVar[str] = "not_financeable"


class NothingPayable(DocumentRefused):
    """The amount due (BT-115) is zero or negative (R7)."""

    code: ClassVar[str] = "nothing_payable"


class InvalidDueDate(ValueError):
    """The obligor states a due date before the invoice was issued."""

    code: ClassVar[str] = "invalid_due_date"

    def __init__(self, *, due_date: date, issue_date: date) -> None:
        """Keep both dates."""
        self.due_date = due_date
        self.issue_date = issue_date
        super().__init__(f"An invoice of {issue_date} is not due on {due_date}.")


class SellerIsObligor(DocumentRefused):
    """Nobody owes himself."""

    code: ClassVar[str] = "seller_is_obligor"


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier as a document gives it; the scheme is ISO 6523's (or an EAS) code, or empty."""

    text: str
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """Seller (BG-4), buyer (BG-7) or payee (BG-10): what the document calls it.

    `enterprise_id` is set where the sender knows our own id (JSON, CSV, or bank operations that say who is meant).
    """

    name: str = ""
    trading_name: str = ""
    vat: str = ""
    legal: Identifier | None = None
    electronic: Identifier | None = None
    others: tuple[Identifier, ...] = ()
    enterprise_id: str | None = None

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Return every identifier: VAT (BT-31/48), registration (BT-30/47), electronic address (BT-34/49), others."""
        tax = (Identifier(self.vat, "vat"),) if self.vat else ()
        named = tuple(each for each in (self.legal, self.electronic) if each is not None)
        return (*tax, *named, *self.others)


@dataclass(frozen=True, slots=True)
class Cited:
    """A preceding invoice that a document refers to (BG-3): its number (BT-25) and, where stated, its date (BT-26)."""

    number: str
    issue_date: date | None = None


@dataclass(frozen=True, slots=True)
class EInvoice:
    """An invoice or credit note in business terms: number BT-1, issued BT-2, type BT-3, due BT-9, payable BT-115."""

    syntax: str
    document: str
    profile: str
    number: str
    document_type: str
    issue_date: date
    due_date: date | None
    payable: Money
    seller: Party
    buyer: Party
    payee: Party | None = None
    order_reference: str = ""
    computed: Money | None = None
    lines: tuple[TradeLine, ...] = ()
    cites: tuple[Cited, ...] = ()

    @property
    def currency(self) -> str:
        """Return BT-5."""
        return self.payable.currency

    @property
    def is_credit_note(self) -> bool:
        """Return whether it takes back what was invoiced, and so is no claim itself."""
        return self.document_type in CREDIT_NOTES


def check_document_type(code: str) -> str:
    """Return the type code of an invoice or credit note; NotFinanceable or UnknownDocumentType otherwise (R8)."""
    if code in COMMERCIAL_TYPES or code in CREDIT_NOTES:
        return code
    if code in _OTHER_TYPES:
        why = _OTHER_TYPES[code]
        raise NotFinanceable(f"A document of type {code} cannot be financed.", document_type=code, why=why)
    shown = code[:20]
    raise UnknownDocumentType(f"{shown!r} is not a type of invoice that EN 16931 lists.", document_type=shown)


def check_financeable(invoice: EInvoice) -> EInvoice:
    """Return an invoice that is a claim; NotFinanceable for a credit note (R8)."""
    code = invoice.document_type
    if invoice.is_credit_note:
        raise NotFinanceable(f"A credit note ({code}) cannot be financed.", document_type=code, why="credit_note")
    return invoice


def check_payable(payable: Money) -> Money:
    """Return what is due; NothingPayable when that is zero or less (R7)."""
    if payable.amount_minor <= 0:
        raise NothingPayable("Nothing is payable on this document.", payable=payable.wire())
    return payable


def read_text(text: str | None, *, field: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text with its spaces collapsed; UnreadableDocument when too long or with control characters."""
    given = text or ""
    # What is plain ASCII needs no look at each character: of a million rows it is all.
    is_plain = given.isascii() and given.isprintable() and "  " not in given
    found = given.strip() if is_plain else _SPACES.sub(" ", given).strip()
    if len(found) > longest:
        raise UnreadableDocument(f"The {field} is longer than {longest} characters.", field=field)
    if not is_plain and any(unicodedata.category(character) in {"Cc", "Cs"} for character in found):
        raise UnreadableDocument(f"The {field} holds control characters.", field=field)
    return found


def read_number(text: str | None) -> str:
    """Return the invoice number (BT-1); UnreadableDocument when there is none."""
    number = read_text(text, field="number", longest=LONGEST_NUMBER)
    if not number:
        raise UnreadableDocument("The document has no number (BT-1).", field="number")
    return number


def read_date(text: str | None, *, field: str) -> date | None:
    """Return a date written as 2026-01-31 or 20260131, None when absent; UnreadableDocument when it is none."""
    found = (text or "").strip()
    if not found:
        return None
    match = _DATE.fullmatch(found)
    try:
        day = date(*map(int, match.groups())) if match else None
    except ValueError:
        day = None
    if day is None or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise UnreadableDocument(f"The {field} {found[:30]!r} is not a date of our time.", field=field)
    return day


def need_date(text: str | None, *, field: str) -> date:
    """Return a date that must be there; UnreadableDocument otherwise."""
    day = read_date(text, field=field)
    if day is None:
        raise UnreadableDocument(f"The document has no {field}.", field=field)
    return day


def read_money(text: str | None, *, currency: str) -> Money:
    """Return an xsd:decimal in the document's currency; InvalidAmount or UnknownCurrency when it means none."""
    found = (text or "").strip()
    # No amount is that long; and a pattern is not run on what a stranger may have made endless.
    match = _DECIMAL.fullmatch(found) if len(found) <= LONGEST_AMOUNT else None
    if match is None or not any(character.isdigit() for character in found):
        raise InvalidAmount(amount=found, reason="is not a decimal number")
    sign, whole, decimals = match.groups()
    plain = f"{'-' if sign == '-' else ''}{whole or '0'}{f'.{decimals}' if decimals else ''}"
    return Money.parse(plain, currency)


def read_cited(found: Iterable[tuple[str | None, str | None]]) -> tuple[Cited, ...]:
    """Return each invoice cited by (number, date) once; UnreadableDocument when one cannot be read."""
    cited = (
        Cited(
            read_text(number, field="preceding invoice", longest=LONGEST_NUMBER),
            read_date(day, field="preceding invoice date"),
        )
        for number, day in found
    )
    return tuple(dict.fromkeys(each for each in cited if each.number))


def computed_payable(*, gross: str | None, prepaid: str | None, rounding: str | None, currency: str) -> Money | None:
    """Return BT-112 − BT-113 + BT-114, None when the gross is missing; what is left out counts as zero (BR-CO-16)."""
    if not gross:
        return None
    total, paid, rounded = (read_money(text or "0", currency=currency) for text in (gross, prepaid, rounding))
    return total - paid + rounded


def check_due_date(*, due_date: date | None, issue_date: date) -> None:
    """Refuse a stated due date before the issue; InvalidDueDate."""
    if due_date is not None and due_date < issue_date:
        raise InvalidDueDate(due_date=due_date, issue_date=issue_date)


def due_date_of(invoice: EInvoice, *, default_days: int) -> tuple[date, list[str]]:
    """Return when the invoice is due and what a reader should know: a missing date (BT-9) is assumed, and said."""
    if invoice.due_date is None:
        return invoice.issue_date + timedelta(days=default_days), ["due_date_assumed"]
    return invoice.due_date, ["due_before_issue"] if invoice.due_date < invoice.issue_date else []
