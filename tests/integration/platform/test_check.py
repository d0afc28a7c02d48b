"""`tributary check` judges documents as intake would, and keeps nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.support.einvoices import Firm, Sample, ubl
from tributary.check import check, report

_SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "einvoices"
_HOSTILE = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'
_MEMBERS = {"file", "syntax", "document", "profile", "outcome", "code", "message", "xsd", "findings"}


def test_what_is_no_invoice_is_refused_with_a_named_reason_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.xml").write_bytes(b"<note/>")
    (tmp_path / "b.xml").write_bytes(b"not xml at all")
    (tmp_path / "c.xml").write_bytes(b"")
    (tmp_path / "inner" / "d.xml").write_bytes(_HOSTILE)
    judged = check([tmp_path])
    assert [(each.file, each.code) for each in judged] == [
        ("a.xml", "not_an_invoice"),
        ("b.xml", "unreadable_document"),
        ("c.xml", "unreadable_document"),
        ("inner/d.xml", "hostile_document"),
    ]
    assert {each.xsd for each in judged} == {"not_checked"}
    assert "root:" not in json.dumps(report(judged))


def test_a_credit_note_is_told_by_what_it_cites(tmp_path: Path) -> None:
    seller, buyer = Firm("Seller", vat="DE271828180"), Firm("Buyer")
    cites: tuple[tuple[tuple[str, date | None], ...], ...] = ((("INV-1", None),), (), (("A-1", None), ("A-2", None)))
    for nth, each in enumerate(cites):
        note = Sample(seller, buyer, type_code="381", cites=each)
        (tmp_path / f"{nth}.xml").write_bytes(ubl(note, root="CreditNote"))
    judged = check([tmp_path])
    assert [(each.document, each.outcome, each.reasons) for each in judged] == [
        ("CreditNote", "accepted", []),
        ("CreditNote", "referred", ["cites_no_invoice"]),
        ("CreditNote", "accepted", []),
    ]


def test_one_json_document_on_stdout_and_status_one_when_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<note/>")
    command = [sys.executable, "-W", "ignore", "-m", "tributary", "check", "--json", str(tmp_path / "a.xml")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    (document,) = json.loads(done.stdout)["documents"]
    assert set(document) == _MEMBERS | {"rules", "reasons"}
    assert done.stderr.decode().strip() == "1 of 1 documents would be refused."


def test_the_grammar_verdict_agrees_with_the_labelled_documents() -> None:
    if not _SHARED.exists():
        pytest.skip("the shared e-invoices are not here")
    with (_SHARED / "manifest.csv").open(encoding="utf-8") as stream:
        labelled = {row["file"].removeprefix("einvoices/"): row["xsd"] for row in csv.DictReader(stream)}
    names = {"valid": "valid", "INVALID": "invalid", "not-checked": "not_checked", "": "not_checked"}
    judged = {each.file: each for each in check([_SHARED])}
    differing = {
        name: (label, judged[name].xsd) for name, label in labelled.items() if judged[name].xsd != names[label]
    }
    assert differing == {}
    assert len(labelled) > 100
