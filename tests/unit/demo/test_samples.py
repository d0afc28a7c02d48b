"""The invoices that the demo writes are what they say, in every syntax."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.reading import read_document
from shared.values.ids import check_legal_identifier
from tributary.demo.plan import Firm
from tributary.demo.sample import sample_plan
from tributary.demo.samples import (
    Invoice,
    cii_invoice,
    csv_invoices,
    json_invoice,
    ubl_credit_note,
    ubl_invoice,
    ubl_order,
)

SELLER = Firm("seller", "Müller & Söhne <Guss>", "DE", {"vat": "DE136695976"})
BUYER = Firm("buyer", "Werk 7", "DE")
INVOICE = Invoice("R/1", SELLER, BUYER, date(2026, 3, 1), date(2026, 4, 30), 100_001, "EUR", prepaid_minor=5_000)
IDS = {"seller": "0198-s", "buyer": "0198-b"}


@pytest.mark.parametrize("write", [ubl_invoice, cii_invoice])
def test_r7_an_e_invoice_reads_back_with_what_is_payable_after_vat_and_prepayment(write: Any) -> None:
    found = read_document(write(INVOICE))
    assert (found.number, found.issue_date, found.due_date) == ("R/1", date(2026, 3, 1), date(2026, 4, 30))
    assert (found.payable.amount_minor, found.payable.currency) == (100_001 + 13_000 - 5_000, "EUR")
    assert (found.seller.name, found.buyer.name, found.payee) == ("Müller & Söhne <Guss>", "Werk 7", None)
    assert [each.text for each in found.seller.identifiers] == ["DE136695976"]


@pytest.mark.parametrize("write", [ubl_invoice, cii_invoice])
def test_a_due_date_that_is_not_written_is_not_read(write: Any) -> None:
    assert read_document(write(replace(INVOICE, due_date=None))).due_date is None


def test_a_payee_is_written() -> None:
    found = read_document(ubl_invoice(replace(INVOICE, payee="Factor & Co"))).payee
    assert found is not None
    assert found.name == "Factor & Co"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (ubl_credit_note(INVOICE), "not_financeable"),
        (ubl_invoice(replace(INVOICE, document_type="386")), "not_financeable"),
        (ubl_order(number="1", buyer=BUYER, seller=SELLER, issued=date(2026, 3, 1)), "not_an_invoice"),
        (ubl_invoice(replace(INVOICE, prepaid_minor=113_001)), "nothing_payable"),
    ],
)
def test_r8_what_is_no_invoice_to_finance_is_refused_by_name(body: bytes, code: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        read_document(body)
    assert refused.value.code == code


def test_json_and_csv_say_the_same_of_an_invoice() -> None:
    document = json.loads(json_invoice(INVOICE, ids=IDS))
    row = next(csv.DictReader(io.StringIO(csv_invoices([INVOICE], ids=IDS).decode())))
    assert document["payable"] == {"amount": row["amount"], "currency": row["currency"]}
    for name in ("seller_id", "obligor_id", "number", "issue_date", "due_date", "document_type", "order_reference"):
        assert document[name] == row[name]
    assert row["amount"] == "1080.01"


def test_the_sample_has_every_syntax_a_twin_and_something_of_each_kind_that_is_refused() -> None:
    plan = sample_plan(today=date(2026, 11, 24))
    files = plan.files({firm.key: firm.key for firm in plan.firms})
    assert {file.media_type for file in files} == {"application/xml", "application/json", "text/csv"}
    read, codes = [], []
    for file in files:
        if file.media_type == "application/xml":
            try:
                read.append(read_document(file.body))
            except DocumentRefused as refused:
                codes.append(refused.code)
    keys = [(each.seller.name, each.number) for each in read]
    assert len(keys) - len(set(keys)) == 1
    assert {each.syntax for each in read if each.number == "HB-7001"} == {each.syntax for each in read}
    assert sorted(set(codes)) == [
        "hostile_document",
        "not_an_invoice",
        "not_financeable",
        "nothing_payable",
        "unreadable_document",
    ]


def test_r24_the_samples_firms_have_valid_identifiers_each_its_own() -> None:
    found = [text for firm in sample_plan(today=date(2026, 11, 24)).firms for text in firm.identifiers.values()]
    assert len(found) == len(set(found)) == 8
    for text in found:
        assert check_legal_identifier(scheme="uscc", identifier=text) == text
