"""The published rules on real documents: what their publishers and the list say of each is what we find.

`TRIBUTARY_TEST_DATA` names another folder of the same kinds; without any these tests skip.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.receivables.domain.findings import Finding
from services.receivables.domain.profiles import EN16931_CII, EN16931_UBL, PEPPOL_UBL, Sheet
from services.receivables.operations.judging.sheets import run_sheets
from services.receivables.operations.read_upload import Read, read_one
from shared.runtime.offload import close_offload, confined

DATA = Path(os.environ.get("TRIBUTARY_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
EINVOICES = DATA / "einvoices"
pytestmark = pytest.mark.skipif(not EINVOICES.exists(), reason="the e-invoices of ../shared/data are not here")
# Peppol publishes no sheet for CII: its cases have nothing that could judge them.
NO_SHEET = "peppolbis-en16931-base-3.0-cii"
SEVERITIES = {"error": "fatal", "warning": "warning"}


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    close_offload()


def cases() -> list[dict[str, Any]]:
    with (EINVOICES / "rule_cases.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def sheet_of(case: dict[str, Any]) -> Sheet:
    if case["source"] == "PEPPOL":
        return PEPPOL_UBL
    return EN16931_CII if case["root"] == "CrossIndustryInvoice" else EN16931_UBL


def agrees(expected: dict[str, Any], found: list[Finding]) -> bool:
    """Return whether the one rule that a case is about says what its publisher says."""
    hits = [finding for finding in found if finding.rule == expected["rule"]]
    if expected["outcome"] == "success":
        return not hits
    right = bool(hits) and {finding.severity for finding in hits} == {SEVERITIES[expected["outcome"]]}
    return right and (expected["times"] is None or len(hits) == int(expected["times"]))


async def test_every_published_case_that_has_a_rule_sheet_is_judged_as_its_publisher_says() -> None:
    listed = cases()
    with_sheet = [case for case in listed if case["config"] != NO_SHEET]
    differing = []
    for case in with_sheet:
        found = await confined().run(run_sheets, [sheet_of(case)], case["xml"])
        wrong = [each for each in case["expected"] if not agrees(each, found)]
        if wrong:
            differing.append((case["file"], case["test"], wrong))
    assert differing == []
    assert len(with_sheet) / len(listed) > 0.8


def manifest() -> list[dict[str, str]]:
    with (EINVOICES / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


_judged: list[tuple[dict[str, str], Read]] = []


async def judged() -> list[tuple[dict[str, str], Read]]:
    """Return every listed file with what it was judged; judged once for all tests."""
    if not _judged:
        _judged.extend(
            [(row, await read_one((DATA / row["file"]).read_bytes(), name=row["file"])) for row in manifest()]
        )
    return _judged


async def test_grammar_and_en_16931_find_in_every_document_what_its_label_says_rule_by_rule() -> None:
    names = {"valid": "valid", "INVALID": "invalid", "not-checked": "not_checked", "": "not_checked"}
    differing: list[tuple[str, ...]] = []
    below, seen = Counter[str](), Counter[str]()
    for row, read in await judged():
        found = read.judgement
        if found.xsd != names[row["xsd"]]:
            differing.append((row["file"], "xsd", found.xsd))
        if found.below_en16931:
            # EN 16931 does not apply: it is judged by its own profile's sheet and no other.
            below[found.profile_name or ""] += 1
            assert all("EN 16931" not in pack for pack in found.packs)
            assert not [each for each in found.findings if each.severity == "fatal"], row["file"]
            continue
        if found.xsd == "not_checked":
            continue
        broken = {each.rule for each in found.findings if each.severity == "fatal" and each.pack == EN16931_UBL.pack}
        verdict = "fails" if broken or found.xsd == "invalid" else "passes"
        seen[verdict] += 1
        if (verdict, broken) != (row["en16931_v1_3_16"], set(row["en16931_fatal_rules"].split())):
            differing.append((row["file"], verdict, str(sorted(broken))))
    assert differing == []
    assert seen["passes"] > seen["fails"] > 0
    assert sum(below.values()) > 0


async def test_every_finding_names_its_pack_with_version_its_place_and_plain_words_in_both_languages() -> None:
    findings = [each for _, read in await judged() for each in read.judgement.wire()]
    assert len(findings) > 100
    for each in findings:
        assert each["pack"].rpartition(" ")[2][:1] in "0123456789D", each
        assert each["location"].startswith(("/", "line ")), each
        assert "namespace-uri" not in each["location"]
        assert all(len(each["plain"][language]) > 5 for language in ("en", "zh")), each
        assert each["rule"]
        assert each["message"]


async def test_what_is_no_invoice_here_is_refused_by_its_own_name() -> None:
    folder = EINVOICES / "other-formats"
    for path in sorted(folder.iterdir()):
        read = await read_one(path.read_bytes(), name=path.name)
        named = "EDIFACT" if path.suffix.casefold() == ".txt" else "FatturaPA"
        assert (getattr(read.error, "code", None), named in str(read.error)) == ("not_an_invoice", True), path.name
    others = {row["document"] for row in manifest() if row["xsd"] == "not-checked"} - {"CrossIndustryDocument"}
    for row, read in await judged():
        if row["document"] in others:
            assert row["document"] in str(read.error), row["file"]


async def test_a_factur_x_pdf_gives_the_invoice_of_its_xml() -> None:
    outcomes = {}
    for path in sorted((EINVOICES / "facturx-pdf").iterdir()):
        read = await read_one(path.read_bytes(), name=path.name)
        outcomes[path.name] = getattr(read.error, "code", None)
        if path.name.startswith("correct__"):
            assert read.invoice is not None, (path.name, read.error)
            assert read.data.startswith(b"%PDF")
    assert {name: code for name, code in outcomes.items() if name.startswith("correct__") and code} == {}
    assert all(outcomes[name] in {"not_an_invoice", "unreadable_document"} for name in outcomes if "fail__" in name)
