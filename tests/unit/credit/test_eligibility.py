"""What a line may draw on, how much, and what a dilution leaves uncovered (DOMAIN §3, R6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.credit.domain.eligibility import (
    BaseExceeded,
    Drawer,
    Financeable,
    LineState,
    NotDrawable,
    NotEligible,
    borrowing_base,
    check_approval,
    check_document,
    claim_on_seller,
    deficiency,
    why_not_drawable,
)
from services.credit.domain.offers import Quoted, Terms, cost_of, offer
from services.credit.domain.paths import Place, path_of
from services.credit.domain.pricing import TrackRecord
from services.credit.operations.price_policies import price_policy
from services.credit.operations.product_policies import product
from shared.values.money import CurrencyMismatch, InvalidAmount, Money

DAY = date(2026, 3, 2)
DRAWER = Drawer("sme", "anchor", "upstream", 1, "CNY", 180, 5)
DOCUMENT = Financeable("receivable", "d", "sme", "anchor", 10_000_000, "CNY", DAY + timedelta(days=85), "free")
POLICY = price_policy(name="pricing", on=DAY)
TERMS = Terms(
    line_id="l",
    programme_id="p",
    obligor_id="anchor",
    drawer=DRAWER,
    path=path_of(
        Place("l", "p", "sme", "anchor", "upstream", 1, "CNY", recourse=True, anchor_support=0), obligor_id="anchor"
    ),
    not_drawable=(),
    product=product(name="receivables_discounting", on=DAY),
    recourse=True,
    form="loan",
    advance_rate=800_000,
    borrower_spread=20_000,
    obligor_spread=5_000,
    anchor_spread=5_000,
    record=TrackRecord(),
    size_class="small",
    interest_payer="seller",
    pricing_policy="pricing",
)


def _cny(minor: int) -> Money:
    return Money(minor, "CNY")


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({}, []),
        ({"sme_active": None}, ["sme_not_registered"]),
        ({"sme_active": False}, ["sme_suspended"]),
        ({"programme_active": False}, ["programme_not_active"]),
        ({"rated_until": None}, ["unrated"]),
        ({"rated_until": DAY - timedelta(days=1)}, ["rating_expired"]),
        ({"agreement_until": None}, ["agreement_not_signed"]),
        ({"agreement_until": DAY - timedelta(days=1)}, ["agreement_expired"]),
        ({"overdue": True}, ["overdue"]),
        ({"sme_active": False, "rated_until": None}, ["sme_suspended", "unrated"]),
        ({"agreement_until": None, "overdue": True}, ["agreement_not_signed", "overdue"]),
    ],
)
def test_r17_a_line_is_drawable_only_when_nothing_is_lacking_or_overdue(
    change: dict[str, Any], lacking: list[str]
) -> None:
    whole = LineState(sme_active=True, programme_active=True, rated_until=DAY, agreement_until=DAY, overdue=False)
    assert why_not_drawable(replace(whole, **change), on=DAY) == lacking


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"owner_id": "other"}, "not_your_document"),
        ({"confirmed_by": "sme"}, "confirmed_by_its_drawer"),
        ({"obligor_id": "other"}, "obligor_not_of_this_programme"),
        ({"currency": "EUR"}, "currency_not_of_this_programme"),
        ({"state": "vouchered"}, "vouchered"),
        ({"due_date": DAY}, "already_due"),
        ({"due_date": DAY + timedelta(days=176)}, "due_beyond_the_longest_tenor"),
    ],
)
def test_a_document_that_cannot_carry_the_drawdown_says_why(change: dict[str, Any], reason: str) -> None:
    check_document(DRAWER, DOCUMENT, on=DAY)
    with pytest.raises(NotEligible) as refused:
        check_document(DRAWER, replace(DOCUMENT, **change), on=DAY)
    assert refused.value.reason == reason


def test_downstream_the_drawer_owes_the_anchors_invoice() -> None:
    drawer = replace(DRAWER, direction="downstream")
    check_document(drawer, replace(DOCUMENT, owner_id="anchor", obligor_id="sme"), on=DAY)
    with pytest.raises(NotEligible):
        check_document(drawer, DOCUMENT, on=DAY)


def test_the_base_is_each_documents_share_rounded_down() -> None:
    documents = [replace(DOCUMENT, eligible_minor=minor) for minor in (101, 103)]
    assert borrowing_base(documents, advance_rate=333_333) == 33 + 34


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"base_minor": 79}, "borrowing_base_exceeded"),
        ({"base_minor": 0}, "borrowing_base_exceeded"),
        ({"lost_documents": ["d"], "base_minor": 0}, "document_not_eligible"),
        ({"freezes": ["overdue"], "lost_documents": ["d"]}, "line_not_drawable"),
    ],
)
def test_r12_an_approval_is_refused_when_what_it_stands_on_is_gone(change: dict[str, Any], code: str | None) -> None:
    given: dict[str, Any] = {"freezes": [], "lost_documents": [], "principal": _cny(80), "base_minor": 80}
    found = None
    try:
        check_approval(**{**given, **change})
    except (NotDrawable, NotEligible, BaseExceeded) as refused:
        found = refused.code
    assert found == code


@pytest.mark.parametrize(
    ("note", "deficient", "claim"),
    [(0, 0, 0), (1_000, 800, 0), (3_000, 2_400, 1_000)],
)
def test_r6_a_credit_note_after_financing_face_100_loan_80(note: int, deficient: int, claim: int) -> None:
    left = 10_000 - note
    assert deficiency(principal_minor=8_000, eligible_minor=left, advance_rate=800_000) == deficient
    claimed = claim_on_seller(principal_minor=8_000, interest_minor=0, payable_minor=left, irrevocable=False)
    assert claimed == claim


def test_r6_the_claim_holds_the_interest_and_an_undertaking_leaves_none() -> None:
    given = {"principal_minor": 8_000, "interest_minor": 90, "payable_minor": 7_000}
    assert claim_on_seller(**given, irrevocable=False) == 1_090
    assert claim_on_seller(**given, irrevocable=True) == 0


def test_a_loan_without_other_cover_leaves_room_for_its_interest() -> None:
    generous = replace(TERMS, advance_rate=1_000_000)
    with pytest.raises(BaseExceeded) as refused:
        offer(generous, [DOCUMENT], principal=_cny(10_000_000), policy=POLICY, on=DAY)
    assert refused.value.reason == "principal_and_interest_exceed_payable"
    found = offer(generous, [DOCUMENT], principal=refused.value.most, policy=POLICY, on=DAY)
    cost = cost_of(generous, found, POLICY)
    assert found.principal.amount_minor + cost.interest_minor <= 10_000_000
    # The anchor's support is other cover.
    drawer = replace(DRAWER, direction="downstream")
    owed = replace(DOCUMENT, owner_id="anchor", obligor_id="sme")
    supported = replace(generous, drawer=drawer, product=product(name="distributor_finance", on=DAY))
    offer(supported, [owed], principal=_cny(10_000_000), policy=POLICY, on=DAY)


def test_a_purchase_is_priced_on_the_obligor_and_holds_the_face() -> None:
    bought = offer(
        replace(TERMS, recourse=False, form="purchase"), [DOCUMENT], principal=_cny(8_000_000), policy=POLICY, on=DAY
    )
    assert bought.exposure == bought.face == _cny(10_000_000)
    assert dict(bought.price.components)["risk"] == 5_000
    lent = offer(TERMS, [DOCUMENT], principal=_cny(8_000_000), policy=POLICY, on=DAY)
    assert lent.exposure == _cny(8_000_000)
    assert dict(lent.price.components)["risk"] == 20_000


def test_who_pays_the_interest_decides_what_a_seller_gets() -> None:
    bought = replace(TERMS, form="purchase")
    found = offer(bought, [DOCUMENT], principal=_cny(8_000_000), policy=POLICY, on=DAY)
    seller = cost_of(bought, found, POLICY)
    anchor = cost_of(replace(bought, interest_payer="anchor"), found, POLICY)
    assert seller.paid_out_minor == 8_000_000 - seller.interest_minor - 8_000
    assert anchor.paid_out_minor == 8_000_000 - 8_000
    assert anchor.all_in_rate < seller.all_in_rate
    loan = cost_of(TERMS, offer(TERMS, [DOCUMENT], principal=_cny(8_000_000), policy=POLICY, on=DAY), POLICY)
    # Interest in advance would reduce the principal: a loan pays it in arrears.
    assert loan.paid_out_minor == 8_000_000 - 8_000


def test_r15_the_buffer_days_lie_between_the_last_due_date_and_maturity() -> None:
    documents = [DOCUMENT, replace(DOCUMENT, document_id="e", due_date=DAY + timedelta(days=20))]
    found = offer(TERMS, documents, principal=_cny(100), policy=POLICY, on=DAY)
    assert found.due_date == DAY + timedelta(days=85)
    assert found.maturity_date == DAY + timedelta(days=90)


def test_a_quoted_price_binds() -> None:
    found = offer(TERMS, [DOCUMENT], principal=_cny(100), policy=POLICY, on=DAY, quoted=Quoted(1, 2, 3))
    assert (found.price.rate, found.price.penalty_rate, found.fee_minor) == (1, 2, 3)


@pytest.mark.parametrize(
    ("principal", "changes", "error"),
    [
        (Money(100, "EUR"), {}, CurrencyMismatch),
        (Money(0, "CNY"), {}, InvalidAmount),
        (Money(100, "CNY"), {"not_drawable": ("unrated",)}, NotDrawable),
    ],
)
def test_what_the_bank_does_not_offer(principal: Money, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        offer(replace(TERMS, **changes), [DOCUMENT], principal=principal, policy=POLICY, on=DAY)


def test_receivables_and_slices_do_not_mix_in_one_drawdown() -> None:
    mixed = [DOCUMENT, replace(DOCUMENT, document_id="s", kind="slice")]
    with pytest.raises(NotEligible, match="mix"):
        offer(TERMS, mixed, principal=_cny(100), policy=POLICY, on=DAY)
