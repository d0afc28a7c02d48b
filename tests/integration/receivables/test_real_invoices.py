"""Real e-invoices, where they are at hand: what is taken, refused and caught twice is what their labels say."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.receivables.domain.documents import CREDIT_NOTES, DocumentRefused, EInvoice
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.parties import name_key
from services.receivables.domain.reading import read_document
from shared.values.ids import new_id
from shared.values.money import InvalidAmount, UnknownCurrency
from tests.integration.receivables.desk import Desk, desk, enterprise

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
FOLDERS = ("peppol-bis3", "en16931", "xrechnung", "zugferd-xml")
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the e-invoices of ../shared/data are not here")
# What the labels of every other file come to: not one of them is a commercial invoice in UBL 2.1 or CII.
NOT_WELL_FORMED, OTHER_SYNTAX, FOR_ACCOUNTING = "NOT-WELL-FORMED", "CrossIndustryDocument", "751"
INVOICES = {"Invoice", "CreditNote", "CrossIndustryInvoice"}
NOTES_REFUSED = {"unknown_party", "rules_broken", "nothing_payable", "seller_is_obligor", "duplicate_credit_note"}


def labels() -> Iterator[dict[str, str]]:
    with (DATA / "einvoices" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def expected(label: dict[str, str]) -> str:
    """Return the code that a label comes to, empty for an invoice that is taken."""
    code = label["type_code"]
    if label["document"] == NOT_WELL_FORMED:
        return "unreadable_document"
    if label["document"] not in INVOICES:
        return "not_an_invoice"
    if label["document"] == "CreditNote" or code in CREDIT_NOTES or code == FOR_ACCOUNTING:
        return "not_financeable"
    if not code.isdigit():
        return "unknown_document_type"
    return "nothing_payable" if float(label["payable"]) <= 0 else ""


def is_credit_note(label: dict[str, str]) -> bool:
    """Return whether a label is of a credit note, which lowers a receivable and is none."""
    return label["document"] in INVOICES and (label["document"] == "CreditNote" or label["type_code"] in CREDIT_NOTES)


def refused_by_policy(label: dict[str, str]) -> bool:
    """Return whether the document breaks what our intake policy takes nothing without: its grammar, its own sums."""
    broken = set(label["en16931_fatal_rules"].split())
    return label["xsd"] == "INVALID" or not broken.isdisjoint({"BR-CO-10", "BR-CO-13", "BR-CO-14", "BR-CO-15"})


def found(path: Path) -> EInvoice | str:
    try:
        return read_document(path.read_bytes())
    except (DocumentRefused, InvalidAmount, UnknownCurrency) as error:
        return error.code


def folder(label: dict[str, str]) -> str:
    return Path(label["file"]).parent.name


def test_r7_every_labelled_file_is_taken_or_refused_as_its_label_says() -> None:
    wrong, seen = [], 0
    for label in labels():
        seen += 1
        read = found(DATA / label["file"])
        code = read if isinstance(read, str) else ""
        if code != expected(label):
            wrong.append((label["file"], expected(label), code))
        if isinstance(read, EInvoice):
            facts = (read.number, float(read.payable.wire()["amount"]), read.seller.name)
            if facts != (label["doc_id"].strip(), float(label["payable"]), " ".join(label["seller"].split())):
                wrong.append((label["file"], "other facts", str(facts)))
    assert wrong == []
    assert seen > 180


def test_every_other_file_is_refused_by_name() -> None:
    for name, code in (("facturx-pdf", "not_an_invoice"), ("ubl-json", "unreadable_document"), ("other-formats", "")):
        for path in sorted((DATA / "einvoices" / name).iterdir()):
            read = found(path)
            assert isinstance(read, str), path.name
            assert read == (code or "not_an_invoice"), path.name


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def test_r8_each_folder_comes_in_whole_with_its_duplicates_caught_across_syntaxes(opened: Desk) -> None:
    chosen = [label for label in labels() if folder(label) in FOLDERS]
    firms = await _register(
        opened, [read for label in chosen if isinstance(read := found(DATA / label["file"]), EInvoice)]
    )
    outcomes: Counter[str] = Counter()
    standing: dict[tuple[str, str, int, str], str] = {}
    for label in chosen:
        data = (DATA / label["file"]).read_bytes()
        read = found(DATA / label["file"])
        params: dict[str, Any] = {}
        if isinstance(read, EInvoice) and name_key(read.seller.name) == name_key(read.buyer.name):
            # Anonymised on both sides: bank operations say who is meant.
            params = {"seller_id": firms[name_key(read.seller.name)], "obligor_id": opened.ids["Factoring AG"]}
        answer = await opened.upload(data, **params)
        said = answer.json()
        if is_credit_note(label):
            # Kept where its firms are known, which only invoices tell here; never a claim.
            is_kept = answer.status_code == 201
            assert said["credit_note_id"] if is_kept else said["code"] in NOTES_REFUSED, (label["file"], said)
            outcomes["note"] += 1
            continue
        if not isinstance(read, EInvoice) or refused_by_policy(label):
            assert (answer.status_code, said["code"]) == (422, expected(label) or "rules_broken"), label["file"]
            outcomes["refused"] += 1
            continue
        obligor = params.get("obligor_id") or firms[name_key(read.buyer.name)]
        claim = (firms[name_key(read.seller.name)], number_key(read.number), read.issue_date.year, obligor)
        if claim in standing:
            assert (answer.status_code, said.get("code")) == (409, "duplicate_document"), (label["file"], said, claim)
            assert said["receivable_id"] == standing[claim]
            outcomes["duplicate"] += 1
        else:
            assert answer.status_code == 201, (label["file"], said)
            standing[claim] = said["receivable_id"]
            outcomes["taken"] += 1
    invoices = [label for label in chosen if not is_credit_note(label)]
    assert outcomes["refused"] == sum(bool(expected(label)) or refused_by_policy(label) for label in invoices)
    assert outcomes["duplicate"] >= _twins(chosen)
    assert len(await opened.events("receivable.registered.v1")) == outcomes["taken"]


async def _register(opened: Desk, invoices: list[EInvoice]) -> dict[str, str]:
    """Register every firm under the name it has in the files; return their ids by the name's key."""
    names: dict[str, str] = {}
    for invoice in invoices:
        for party in (invoice.seller, invoice.buyer):
            names.setdefault(name_key(party.name), party.name)
    ids = {key: new_id() for key in names}
    await opened.hear(*(enterprise(ids[key], name, {}) for key, name in names.items()))
    return ids


def _twins(chosen: list[dict[str, Any]]) -> int:
    """Return how many pairs of files are one invoice in UBL and in CII, by their file names."""
    stems = Counter(
        (
            folder(label),
            Path(label["file"])
            .name.replace("_ubl", "")
            .replace("_uncefact", "")
            .replace(".ubl", "")
            .replace(".cii", ""),
        )
        for label in chosen
        if not expected(label) and not refused_by_policy(label)
    )
    return sum(many - 1 for many in stems.values())
