"""The story on folders of e-invoices: every file is taken, or refused by name, and nothing is half-stored."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.story import run
from tributary.demo.folder import folder_plan
from tributary.demo.plan import Firm
from tributary.demo.report import Result
from tributary.demo.samples import Invoice, cii_invoice, ubl_credit_note, ubl_invoice

TODAY = datetime.now(UTC).date()
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "einvoices"
ISSUED = date(2024, 5, 2)
ANCHOR, ONE, TWO = (Firm(name, name, "DE") for name in ("Werk AG", "Guss GmbH", "Lack GmbH"))

pytestmark = [pytest.mark.timeout(300)]


def _invoice(seller: Firm, number: str, *, currency: str = "EUR", days: int = 30) -> Invoice:
    return Invoice(number, seller, ANCHOR, ISSUED, ISSUED + timedelta(days=days), 1_000_000, currency)


def _files() -> Mapping[str, bytes]:
    first = ubl_invoice(_invoice(ONE, "G-1"))
    return {
        "g-1.xml": first,
        "sub folder/g-1 twin & ü.XML": cii_invoice(_invoice(ONE, "G 1")),
        "g-1-without-suffix": first,
        "g-2.xml": ubl_invoice(_invoice(ONE, "G-2", days=60)),
        "l-1.xml": ubl_invoice(_invoice(TWO, "G-1")),
        "usd.xml": ubl_invoice(_invoice(TWO, "L-9", currency="USD")),
        "yen.xml": cii_invoice(_invoice(TWO, "L-10", currency="JPY")).replace(b".00<", b"<"),
        "credit.xml": ubl_credit_note(_invoice(ONE, "C-1")),
        "negative.xml": first.replace(b"11300.00<", b"-11300.00<").replace(b"G-1", b"G-3"),
        "huge.xml": first.replace(b"11300.00<", b"9" * 30 + b"<").replace(b"G-1", b"G-4"),
        "no-currency.xml": first.replace(b"EUR", b"XXX").replace(b"G-1", b"G-5"),
        "torn.xml": first[:500],
        "empty.xml": b"",
        "nested.xml": b"<a>" * 3000 + b"</a>" * 3000,
        "doctype.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "noise.bin": bytes(range(256)) * 4,
        "list.json": b"[1, 2",
        "foreign.csv": b"a,b\n1,2\n",
    }


def test_a_folder_of_anything_is_taken_or_refused_file_by_file_and_the_story_still_runs(tmp_path: Path) -> None:
    folder, home = tmp_path / "invoices", tmp_path / "home"
    home.mkdir()
    for name, body in _files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    result = run(folder_plan(folder, today=TODAY), home)
    assert result.failures == []
    found = {taken.file: (taken.outcome, taken.code) for taken in result.intake}
    assert found.keys() == _files().keys()
    accepted = {name for name, (outcome, _) in found.items() if outcome == "accepted"}
    twins = {"g-1.xml", "sub folder/g-1 twin & ü.XML", "g-1-without-suffix"}
    assert len(accepted & twins) == 1
    assert {name for name, (outcome, _) in found.items() if outcome == "duplicate"} == twins - accepted
    # A credit note that cites nothing is kept for a person to say what it lowers.
    assert accepted - twins == {"g-2.xml", "l-1.xml", "usd.xml", "yen.xml", "credit.xml"}
    codes = {name: code for name, (outcome, code) in found.items() if outcome == "refused"}
    assert codes == {
        "negative.xml": "nothing_payable",
        "huge.xml": "invalid_amount",
        "no-currency.xml": "unknown_currency",
        "torn.xml": "unreadable_document",
        "empty.xml": "unreadable_document",
        "nested.xml": codes["nested.xml"],
        "doctype.xml": "hostile_document",
        "noise.bin": "unsupported_media_type",
        "list.json": "unreadable_document",
        "foreign.csv": "unreadable_document",
    }
    assert codes["nested.xml"] in {"unreadable_document", "hostile_document", "not_an_invoice"}
    assert {line["currency"] for line in result.lines} == {"EUR", "USD", "JPY"}
    assert "a third supplier of the anchor" in " ".join(step.text for step in result.steps)


# The short run tells the story on the folder above, and takes these folders in file by file in test_real_invoices.
@pytest.mark.parametrize("name", ["peppol-bis3", "en16931", "xrechnung", "zugferd-xml"])
def test_a_published_folder_is_taken_as_its_list_says(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = SHARED / "documents" / name
    if not folder.is_dir():
        pytest.skip(f"{folder.parent.name}/{name} is not here")
    if not request.config.getoption("--run-long"):
        pytest.skip("one of the long runs: --run-long")
    result = run(folder_plan(folder, today=TODAY), tmp_path)
    assert result.failures == []
    _as_listed(result, {Path(row["file"]).name: row for row in _manifest() if f"/{name}/" in row["file"]})


def _manifest() -> list[dict[str, str]]:
    with (SHARED / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _as_listed(result: Result, listed: Mapping[str, Mapping[str, str]]) -> None:
    """Compare with the list: commercial invoices with something to pay are taken once a seller, number and year.

    Credit notes are kept where their firms are known, which only invoices tell here.
    Those whose file is not as its schema demands are refused: policy takes nothing without its grammar (ADR 0032).
    """
    assert {taken.file for taken in result.intake} == set(listed)
    taken_keys = []
    for taken in result.intake:
        row = listed[taken.file]
        if row["type_code"] == "381":
            continue
        commercial = row["type_code"] != "386" and float(row["payable"] or 0) > 0 and row["xsd"] == "valid"
        assert (taken.outcome != "refused") == commercial, (taken, row)
        if taken.outcome == "accepted":
            taken_keys.append((row["seller"].strip().casefold(), row["doc_id"].strip(), row["issue_date"][:4]))
    assert len(taken_keys) == len(set(taken_keys))
