"""Which receivables a credit note lowers, and why a person must say instead (R6, R7, R8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.credit_notes import Note, Part, Placed, Target, Waits, place, why_not_lowered
from services.receivables.domain.documents import Cited, EInvoice
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.reading import parse_document, read_root
from services.receivables.domain.receivables import State
from shared.values.money import Money
from tests.support.einvoices import Firm, Sample, cii, ubl

DAY = date(2026, 9, 1)
NOTE = Note("seller", "obligor", "CN-1", Money(1_000, "CNY"), (Cited("INV-1"),))
TARGET = Target("r1", "seller", "obligor", "INV-1", DAY, Money(10_000, "CNY"), "confirmed", "none", vouchered=False)
OTHER = replace(TARGET, receivable_id="r2", number="INV-2", open=Money(700, "CNY"))
BOTH = replace(NOTE, cites=(Cited("INV-2"), Cited("INV-1")))


def placed(*parts: tuple[str, int]) -> Placed:
    return Placed(tuple(Part(receivable_id, Money(by, "CNY")) for receivable_id, by in parts))


def test_a_note_lowers_the_one_receivable_that_it_cites() -> None:
    assert place(NOTE, [TARGET]) == placed(("r1", 1_000))
    dated = replace(NOTE, cites=(Cited("inv 1"), Cited("INV 1", DAY)))
    other_year = replace(TARGET, receivable_id="r2", issue_date=date(2025, 9, 1))
    assert place(dated, [other_year, TARGET]) == placed(("r1", 1_000))


def test_r6_a_note_on_several_invoices_lowers_each_by_what_is_open_of_it_in_the_order_of_citing() -> None:
    assert place(BOTH, [TARGET, OTHER]) == placed(("r2", 700), ("r1", 300))
    first = replace(BOTH, cites=(Cited("INV-1"), Cited("INV-2")))
    assert place(first, [TARGET, OTHER]) == placed(("r1", 1_000))
    years = replace(NOTE, cites=(Cited("INV-1", date(2025, 9, 1)), Cited("INV-1", DAY)))
    older = replace(TARGET, receivable_id="r0", issue_date=date(2025, 9, 1), open=Money(1, "CNY"))
    assert place(years, [TARGET, older]) == placed(("r0", 1), ("r1", 999))


def test_r6_where_a_loan_stands_on_some_of_them_only_a_person_says_which_falls() -> None:
    lent = replace(TARGET, state="financed", drawdown_id="d1")
    assert place(BOTH, [lent, OTHER]) == Waits(("invoices_financed_apart",))
    one_loan, another = (replace(OTHER, state="financed", drawdown_id=each) for each in ("d1", "d2"))
    assert place(BOTH, [lent, another]) == Waits(("invoices_financed_apart",))
    assert place(BOTH, [lent, one_loan]) == placed(("r2", 700), ("r1", 300))
    # All of both is taken back: there is nothing to say.
    whole = replace(BOTH, amount=Money(10_700, "CNY"))
    assert place(whole, [lent, OTHER]) == placed(("r2", 700), ("r1", 10_000))


def test_r7_a_note_above_what_is_open_of_all_it_cites_waits_whole() -> None:
    assert place(replace(BOTH, amount=Money(10_701, "CNY")), [TARGET, OTHER]) == Waits(("more_than_is_open",))


def test_what_is_in_the_way_of_one_cited_invoice_keeps_all_of_a_note_waiting() -> None:
    assert place(BOTH, [TARGET]) == Waits(("invoice_not_known",))
    bound = replace(OTHER, undertaking="irrevocable", obligor_id="another")
    assert place(BOTH, [TARGET, bound]) == Waits(("other_obligor", "undertaking_irrevocable"))


@pytest.mark.parametrize(
    ("cites", "targets", "reason"),
    [
        ((), [TARGET], "cites_no_invoice"),
        ((Cited("INV-1"),), [], "invoice_not_known"),
        ((Cited("INV-1", date(2026, 9, 2)),), [TARGET], "invoice_date_differs"),
        ((Cited("INV-1"),), [TARGET, replace(TARGET, receivable_id="r2")], "number_of_several_invoices"),
    ],
)
def test_what_a_note_does_not_say_is_never_guessed(
    cites: tuple[Cited, ...], targets: list[Target], reason: str
) -> None:
    assert place(replace(NOTE, cites=cites), targets) == Waits((reason,))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"obligor_id": "another"}, "other_obligor"),
        ({"seller_id": "another"}, "other_seller"),
        ({"open": Money(10_000, "EUR")}, "other_currency"),
        ({"open": Money(999, "CNY")}, "more_than_is_open"),
        ({"undertaking": "irrevocable"}, "undertaking_irrevocable"),
        ({"vouchered": True}, "undertaking_irrevocable"),
        ({"noted": frozenset({"cn 1"})}, "noted_before"),
        ({"state": "referred"}, "invoice_referred"),
        ({"state": "settled"}, "invoice_settled"),
        ({"state": "cancelled"}, "invoice_cancelled"),
    ],
)
def test_r6_what_is_in_the_way_is_named(change: dict[str, Any], reason: str) -> None:
    target = replace(TARGET, **change)
    assert why_not_lowered(NOTE, target, by=NOTE.amount) == [reason]
    assert place(NOTE, [target]) == Waits((reason,))


_amounts = st.integers(min_value=1, max_value=20)
_targets = st.lists(
    st.builds(
        Target,
        receivable_id=st.sampled_from(["r1", "r2", "r3"]),
        number=st.sampled_from(["INV-1", "INV-2"]),
        seller_id=st.just("seller"),
        obligor_id=st.sampled_from(["obligor", "another"]),
        issue_date=st.sampled_from([DAY, date(2025, 9, 1)]),
        open=st.builds(Money, _amounts, st.sampled_from(["CNY", "EUR"])),
        state=st.sampled_from([each.value for each in State]),
        undertaking=st.sampled_from(["none", "irrevocable"]),
        vouchered=st.booleans(),
        drawdown_id=st.sampled_from([None, "d1"]),
    ),
    max_size=3,
    unique_by=lambda each: each.receivable_id,
)
_cites = st.lists(
    st.builds(Cited, st.sampled_from(["INV-1", "inv 1", "INV-2"]), st.sampled_from([None, DAY])), max_size=2
)


@given(amount=_amounts, cites=_cites, targets=_targets)
def test_r7_a_note_is_placed_only_where_it_can_be_taken_off_and_in_any_order_of_the_candidates(
    amount: int, cites: list[Cited], targets: list[Target]
) -> None:
    note = replace(NOTE, amount=Money(amount, "CNY"), cites=tuple(cites))
    made = place(note, targets)
    assert place(note, list(reversed(targets))) == made
    if isinstance(made, Waits):
        assert made.reasons
        return
    assert sum(part.by.amount_minor for part in made.parts) == amount
    for part in made.parts:
        target = next(each for each in targets if each.receivable_id == part.receivable_id)
        assert why_not_lowered(note, target, by=part.by) == []
        assert target.open.currency == "CNY"
        assert 0 < part.by.amount_minor <= target.open.amount_minor
        assert number_key(target.number) in {number_key(each.number) for each in cites}


def test_bt_25_and_bt_26_are_read_in_both_syntaxes() -> None:
    sample = Sample(Firm("Seller"), Firm("Buyer"), type_code="381", cites=(("INV-1", DAY), ("INV-2", None)))
    read: list[EInvoice] = [read_root(parse_document(each)) for each in (ubl(sample, root="CreditNote"), cii(sample))]
    for each in read:
        assert each.is_credit_note
        assert each.cites == (Cited("INV-1", DAY), Cited("INV-2"))
