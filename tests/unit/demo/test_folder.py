"""What the demo derives from a folder: firms, anchors, programmes, roles and dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from services.receivables.domain.reading import read_document
from tributary.demo.firms import firms_of
from tributary.demo.folder import NotAFolder, folder_plan
from tributary.demo.plan import STORY_DAYS, Firm, Plan, story_dates
from tributary.demo.samples import Invoice, cii_invoice, ubl_invoice

TODAY = date(2026, 11, 24)
ISSUED = date(2024, 5, 2)


def _firm(name: str, vat: str = "") -> Firm:
    return Firm(name, name, "DE", {"vat": vat} if vat else {})


def _invoice(seller: Firm, number: str, buyer: Firm, *, net: int = 100_000, currency: str = "EUR") -> Invoice:
    return Invoice(number, seller, buyer, ISSUED, ISSUED + timedelta(days=30), net, currency)


ANCHOR, ONE, TWO, THREE = _firm("Anchor"), _firm("One"), _firm("Two"), _firm("Three")


def _plan(folder: Path, **invoices: bytes) -> Plan:
    for name, body in invoices.items():
        (folder / f"{name}.xml").write_bytes(body)
    return folder_plan(folder, today=TODAY)


def _names(plan: Plan) -> dict[str, str]:
    return {firm.key: firm.name for firm in plan.firms}


def test_the_anchor_is_who_owes_most_invoices_and_twins_count_once(tmp_path: Path) -> None:
    twin = _invoice(TWO, "T-1", ONE, net=900_000)
    plan = _plan(
        tmp_path,
        a=ubl_invoice(_invoice(ONE, "1", ANCHOR)),
        b=ubl_invoice(_invoice(TWO, "1", ANCHOR)),
        c=ubl_invoice(twin),
        d=cii_invoice(twin),
        e=cii_invoice(twin),
    )
    names = _names(plan)
    assert names[plan.main.anchor] == "Anchor"
    assert [names[key] for key in (plan.roles.first, plan.roles.second)] == ["One", "Two"]
    assert plan.main.total_minor == 2 * 113_000


def test_every_currency_has_a_programme_and_the_story_runs_in_the_one_with_most(tmp_path: Path) -> None:
    plan = _plan(
        tmp_path,
        a=ubl_invoice(_invoice(ONE, "1", ANCHOR)),
        b=ubl_invoice(_invoice(ONE, "2", ANCHOR)),
        c=ubl_invoice(_invoice(ONE, "3", ANCHOR, currency="USD")),
        d=ubl_invoice(_invoice(TWO, "4", THREE, currency="SEK")),
    )
    names = _names(plan)
    assert plan.main.currency == "EUR"
    assert {each.currency: names[each.anchor] for each in plan.others} == {"USD": "Anchor", "SEK": "Three"}
    assert [names[key] for each in plan.others for key, _ in each.members if each.currency == "SEK"] == ["Two"]


def test_what_the_folder_has_is_used_and_what_it_lacks_is_made_up_and_said(tmp_path: Path) -> None:
    plan = _plan(
        tmp_path,
        a=ubl_invoice(_invoice(ONE, "1", ANCHOR)),
        b=ubl_invoice(_invoice(TWO, "2", ONE)),
        c=ubl_invoice(_invoice(ANCHOR, "3", THREE)),
        d=ubl_invoice(_invoice(ONE, "4", ANCHOR)),
    )
    names = _names(plan)
    assert [names[key] for key in (plan.roles.first, plan.roles.deep, plan.roles.distributor)] == [
        "One",
        "Two",
        "Three",
    ]
    assert dict(plan.main.members)[plan.roles.distributor] == "downstream"
    assert plan.lacks["firms"] == "a second supplier of the anchor, a third supplier of the anchor in EUR"
    complete = _plan(
        tmp_path,
        e=ubl_invoice(_invoice(_firm("Four"), "5", ANCHOR)),
        f=ubl_invoice(_invoice(_firm("Five"), "6", ANCHOR)),
    )
    assert complete.lacks == {}


def test_the_anchors_erp_sends_what_the_anchor_owes_and_the_banks_operations_the_rest(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "note.txt").write_text("hello", encoding="utf-8")
    plan = _plan(
        tmp_path,
        a=ubl_invoice(_invoice(ONE, "1", ANCHOR)),
        b=ubl_invoice(_invoice(ONE, "2", ANCHOR)),
        c=ubl_invoice(_invoice(TWO, "2", ONE)),
        broken=b"<Invoice",
    )
    sent = {file.name: (file.by, file.media_type) for file in plan.files({})}
    assert sent["a.xml"] == (plan.main.anchor, "application/xml")
    assert sent["c.xml"] == sent["broken.xml"] == (None, "application/xml")
    assert sent["deep/note.txt"] == (None, "application/octet-stream")


def test_an_empty_folder_still_has_a_story_and_no_folder_has_none(tmp_path: Path) -> None:
    plan = folder_plan(tmp_path, today=TODAY)
    assert len(plan.firms) == 6
    assert "a buyer" in plan.lacks["firms"]
    with pytest.raises(NotAFolder):
        folder_plan(tmp_path / "missing", today=TODAY)


def test_r24_spellings_with_one_valid_identifier_are_one_firm_and_an_invalid_one_counts_for_nothing() -> None:
    valid, invalid = "DE136695976", "DE123456789"
    book = firms_of(
        [
            read_document(ubl_invoice(_invoice(_firm("Acme GmbH", valid), "1", _firm("Buyer", invalid)))),
            read_document(ubl_invoice(_invoice(_firm("ACME Gesellschaft", valid), "2", _firm("Other", invalid)))),
            read_document(ubl_invoice(_invoice(_firm("Acme GmbH", valid), "3", _firm("Other")))),
        ]
    )
    assert [(firm.name, dict(firm.identifiers), firm.country) for firm in book.firms] == [
        ("Acme GmbH", {"vat": valid}, "DE"),
        ("Buyer", {}, "ZZ"),
        ("Other", {}, "ZZ"),
    ]


def test_an_identifier_of_names_that_do_not_begin_alike_tells_nobody_apart() -> None:
    shared = "DE136695976"
    invoices = [
        _invoice(_firm("Taxi AB", shared), "1", _firm("Buyer")),
        _invoice(_firm("Phone AB", shared), "1", _firm("Buyer")),
    ]
    book = firms_of([read_document(ubl_invoice(each)) for each in invoices])
    assert [(firm.name, dict(firm.identifiers)) for firm in book.firms] == [
        ("Taxi AB", {}),
        ("Buyer", {}),
        ("Phone AB", {}),
    ]


def test_a_group_that_invoices_itself_under_one_vat_number_is_two_firms(tmp_path: Path) -> None:
    shared = "DE136695976"
    own = _invoice(_firm("Group Works", shared), "1", _firm("Group Sales", shared))
    plan = _plan(tmp_path, a=ubl_invoice(own))
    assert _names(plan)[plan.main.anchor] == "Group Sales"


def test_a_suppliers_invoice_that_pays_a_factor_does_not_make_it_the_storys_first(tmp_path: Path) -> None:
    factored = replace(_invoice(ONE, "1", ANCHOR, net=900_000), payee="Factor")
    plan = _plan(tmp_path, a=ubl_invoice(factored), b=ubl_invoice(_invoice(TWO, "2", ANCHOR)))
    assert _names(plan)[plan.roles.first] == "Two"


@pytest.mark.parametrize("issued", [[], [date(1985, 1, 1)], [date(2007, 2, 5), date(2021, 1, 14)], [date(2150, 1, 1)]])
def test_the_book_opens_before_the_earliest_invoice_and_the_story_ends_not_after_today(issued: list[date]) -> None:
    opening, drawn = story_dates(issued=issued, today=TODAY)
    assert opening < drawn
    assert drawn + timedelta(days=STORY_DAYS) <= TODAY
    assert opening >= date(2000, 1, 3)
    assert all(opening < each for each in issued if each.year >= 2001)


def test_a_document_that_calls_both_sides_alike_names_two_firms(tmp_path: Path) -> None:
    same = _firm("XX")
    plan = _plan(tmp_path, a=ubl_invoice(_invoice(same, "1", same)), b=ubl_invoice(_invoice(ONE, "1", ANCHOR)))
    names = _names(plan)
    parties = {file.name: file.parties for file in plan.files({})}
    assert parties["b.xml"] is None
    assert parties["a.xml"] is not None
    assert [names[key] for key in parties["a.xml"]] == ["XX", "XX (as buyer)"]
