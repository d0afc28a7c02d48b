"""Reading files: what an invoice says in each syntax, and what is refused before anything is stored."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date

import pytest

from services.receivables.domain.documents import (
    DocumentRefused,
    EInvoice,
    HostileDocument,
    Identifier,
    NotFinanceable,
    UnreadableDocument,
    read_date,
    read_money,
)
from services.receivables.domain.hardened_xml import parse
from services.receivables.domain.reading import read_document
from shared.values.money import InvalidAmount, Money
from tests.support.einvoices import Firm, Sample, cii, ubl

SELLER = Firm("Seller & Sons <Ltd>", vat="DE136695976", legal="HRB 1", electronic="4000001123452", trading_name="S&S")
SAMPLE = Sample(SELLER, Firm("Buyer AG"), payee=Firm("Factor"), order="PO-1")


def test_the_same_facts_in_either_syntax_read_the_same() -> None:
    left, right = read_document(ubl(SAMPLE)), read_document(cii(SAMPLE))
    assert (left.syntax, right.syntax) == ("ubl", "cii")
    assert replace(left, syntax="", document="") == replace(right, syntax="", document="")


@pytest.mark.parametrize("write", [ubl, cii])
def test_business_terms_are_kept(write: object) -> None:
    found: EInvoice = read_document(write(SAMPLE))  # type: ignore[operator] # one of two writers
    assert (found.seller.name, found.seller.trading_name, found.seller.vat) == (
        "Seller & Sons <Ltd>",
        "S&S",
        SELLER.vat,
    )
    assert (found.seller.legal, found.seller.electronic) == (
        Identifier("HRB 1", "0199"),
        Identifier("4000001123452", "0088"),
    )
    assert (found.buyer.name, found.payee and found.payee.name) == ("Buyer AG", "Factor")
    assert (found.number, found.document_type, found.order_reference) == ("INV-1", "380", "PO-1")
    assert (found.issue_date, found.due_date) == (date(2026, 9, 1), date(2026, 12, 1))
    assert (found.payable, found.currency) == (Money(100_000, "CNY"), "CNY")


def test_r7_the_payable_is_the_gross_less_what_was_paid_and_with_its_rounding() -> None:
    data = ubl(replace(SAMPLE, gross="1200.01", payable="1000.00")).replace(
        b"<cbc:PayableAmount",
        b'<cbc:PayableRoundingAmount currencyID="CNY">-0.01</cbc:PayableRoundingAmount><cbc:PayableAmount',
    )
    found = read_document(data)
    assert found.computed == found.payable == Money(100_000, "CNY")


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("336.9", 33690),
        ("+5", 500),
        ("007.50", 750),
        (".5", 50),
        ("5.", 500),
        ("1.50000", 150),
        (" 2 ", 200),
        ("-3.10", -310),
    ],
)
def test_amounts_are_read_as_xsd_decimals(text: str, minor: int) -> None:
    assert read_money(text, currency="EUR") == Money(minor, "EUR")


@pytest.mark.parametrize(
    "text", ["", ".", "-", "1,5", "1e3", "Infinity", "NaN", "0x1", "١", "1.234", "9" * 19, "0" * 10**6 + "x", None]
)
def test_amounts_that_are_none_are_refused(text: str | None) -> None:
    with pytest.raises(InvalidAmount):
        read_money(text, currency="EUR")


@pytest.mark.parametrize("text", ["2026-01-31", "20260131", "2026-01-31Z", "2026-01-31+08:00"])
def test_dates_are_read_in_either_form(text: str) -> None:
    assert read_date(text, field="date") == date(2026, 1, 31)


@pytest.mark.parametrize("text", ["31.01.2026", "2026-13-01", "20260230", "0001-01-01", "tomorrow", "2026"])
def test_dates_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UnreadableDocument):
        read_date(text, field="date")


def test_a_comment_that_speaks_of_doctypes_is_no_doctype() -> None:
    data = ubl(SAMPLE).replace(b"?>\n", b"?>\n<!-- no <!DOCTYPE here -->\n", 1)
    assert read_document(data).number == "INV-1"


def test_entities_are_never_resolved() -> None:
    with pytest.raises(HostileDocument) as caught:
        parse(b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')
    assert caught.value.code == "hostile_document"


def test_a_refusal_keeps_its_facts_and_can_cross_processes() -> None:
    with pytest.raises(NotFinanceable) as caught:
        read_document(ubl(replace(SAMPLE, type_code="381"), root="CreditNote"))
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert isinstance(copied, DocumentRefused)
    assert (copied.code, vars(copied), str(copied)) == (
        "not_financeable",
        {"document_type": "381", "why": "credit_note"},
        str(caught.value),
    )
