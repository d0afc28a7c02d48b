"""The project's own sample: a machine maker, its group, four suppliers over two tiers, a distributor, 18 files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from stdnum.cn import uscc

from tributary.demo.plan import Firm, InvoiceFile, Plan, ProgrammePlan, Roles, Trade, story_dates
from tributary.demo.samples import (
    Invoice,
    cii_invoice,
    csv_invoices,
    json_invoice,
    ubl_credit_note,
    ubl_invoice,
    ubl_order,
)

CURRENCY = "CNY"
XML, JSON, CSV = "application/xml", "application/json", "text/csv"
_ISSUED_DAYS_AGO = 112
_HOSTILE = b"""<?xml version="1.0"?>
<!DOCTYPE Invoice [<!ENTITY file SYSTEM "file:///etc/hostname">]>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2">&file;</Invoice>
"""


def _uscc(first17: str) -> str:
    return str(first17 + uscc.calc_check_digit(first17))


_FIRMS = (
    Firm("group", "Longjiang Holding Group", "CN", {"uscc": _uscc("91230100MA1AAA001")}, "large"),
    Firm("anchor", "Longjiang Heavy Machinery", "CN", {"uscc": _uscc("91230100MA1AAA002")}, "large", "group"),
    Firm("castings", "Songhua Castings", "CN", {"uscc": _uscc("91230100MA1AAA003")}, "small"),
    Firm("bearings", "Hulan Bearings", "CN", {"uscc": _uscc("91230100MA1AAA004")}, "small"),
    Firm("paints", "Acheng Paints & Coatings", "CN", {"uscc": _uscc("91230100MA1AAA005")}, "micro"),
    Firm("alloys", "Wuchang Alloys", "CN", {"uscc": _uscc("91230100MA1AAA006")}, "micro"),
    Firm("dealer", "Liaohe Machinery Dealers", "CN", {"uscc": _uscc("91210100MA1AAA007")}, "small"),
)
_OTHERS = Firm("others", "Other suppliers of Songhua Castings", "CN", {"uscc": _uscc("91230100MA1AAA008")}, "medium")
_STRANGER = Firm("stranger", "A firm that nobody registered", "CN")
_YUAN = 100
_ROLES = Roles(first="castings", second="bearings", third="paints", deep="alloys", distributor="dealer")


def sample_plan(*, today: date) -> Plan:
    """Return the story's plan on the project's own invoices, dated relative to today."""
    issued = today - timedelta(days=_ISSUED_DAYS_AGO)
    opening, _ = story_dates(issued=[issued], today=today)
    programme = ProgrammePlan(
        CURRENCY,
        "anchor",
        [
            Trade("castings", "anchor", 6_000_000 * _YUAN),
            Trade("bearings", "anchor", 3_000_000 * _YUAN),
            Trade("paints", "anchor", 1_000_000 * _YUAN),
            Trade("alloys", "castings", 2_000_000 * _YUAN),
            Trade("others", "castings", 2_000_000 * _YUAN),
            Trade("anchor", "dealer", 1_500_000 * _YUAN),
        ],
        total_minor=1_500_000 * _YUAN,
        outsiders=frozenset({"others"}),
    )
    story_date = today - timedelta(days=100)
    made = partial(_files, issued=issued, story_date=story_date)
    firms = (*_FIRMS, _OTHERS)
    return Plan("the project's own sample", firms, programme, (), _ROLES, opening, story_date, made)


def _files(ids: Mapping[str, str], *, issued: date, story_date: date) -> list[InvoiceFile]:
    soon, later = story_date + timedelta(days=50), story_date + timedelta(days=120)
    firms = {firm.key: firm for firm in _FIRMS}
    anchor = firms["anchor"]

    def invoice(seller: str, number: str, yuan: int, due: date | None) -> Invoice:
        return Invoice(number, firms[seller], anchor, issued, due, yuan * _YUAN, CURRENCY)

    dealer = firms["dealer"]
    bearings = invoice("bearings", "HB-7001", 180_000, later)
    rows = [invoice("paints", f"AP-{n}", 20_000 + 5_000 * n, later) for n in range(1, 5)]
    sale = replace(invoice("anchor", "LJ-S-118", 300_000, later), buyer=dealer)
    made = {
        "castings-SC-1001.ubl.xml": ubl_invoice(invoice("castings", "SC-1001", 400_000, soon)),
        "castings-SC-1002.ubl.xml": ubl_invoice(
            replace(invoice("castings", "SC-1002", 250_000, later), prepaid_minor=32_500 * _YUAN)
        ),
        "castings-SC-1003.cii.xml": cii_invoice(invoice("castings", "SC-1003", 200_000, later)),
        "castings-SC-1004-no-due-date.ubl.xml": ubl_invoice(invoice("castings", "SC-1004", 40_000, None)),
        "bearings-HB-7001.cii.xml": cii_invoice(bearings),
        "bearings-HB-7001.ubl.xml": ubl_invoice(bearings),
        "bearings-HB-7002.json": json_invoice(invoice("bearings", "HB-7002", 80_000, later), ids=ids),
        "bearings-HB-7003-payee.ubl.xml": ubl_invoice(
            replace(invoice("bearings", "HB-7003", 60_000, later), payee="Northern Factoring")
        ),
        "paints-2-to-5.csv": csv_invoices(rows, ids=ids),
        "dealer-LJ-S-118.json": json_invoice(sale, ids=ids),
        "dealer-LJ-S-119.cii.xml": cii_invoice(replace(invoice("anchor", "LJ-S-119", 90_000, later), buyer=dealer)),
        "castings-credit-note.ubl.xml": ubl_credit_note(invoice("castings", "SC-G-9", 5_000, None)),
        "castings-prepayment.ubl.xml": ubl_invoice(
            replace(invoice("castings", "SC-P-1", 9_000, later), document_type="386")
        ),
        "order-4711.ubl.xml": ubl_order(number="4711", buyer=anchor, seller=firms["paints"], issued=issued),
        "paid-already.ubl.xml": ubl_invoice(
            replace(invoice("paints", "AP-77", 10_000, later), prepaid_minor=11_300 * _YUAN)
        ),
        "stranger.ubl.xml": ubl_invoice(replace(invoice("castings", "X-1", 10_000, later), seller=_STRANGER)),
        "torn.ubl.xml": ubl_invoice(invoice("castings", "SC-1005", 10_000, later))[:700],
        "with-a-doctype.ubl.xml": _HOSTILE,
    }
    types = {"xml": XML, "json": JSON, "csv": CSV}
    return [InvoiceFile(name, body, types[name.rsplit(".", 1)[1]], "anchor") for name, body in made.items()]
