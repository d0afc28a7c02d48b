"""R6, R7, R8, R9 and R13 as pure rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from services.receivables.domain.documents import Identifier, Party, check_document_type
from services.receivables.domain.duplicates import Standing, number_key, same_claim, why_refer
from services.receivables.domain.financeable import IrrevocableUndertaking, dilute, financeable_minor
from services.receivables.domain.parties import Directory, UnknownParty, is_other_than
from services.receivables.domain.priority import Assignee, discharging_payee, distribute, rank
from services.receivables.domain.receivables import (
    AlreadyApplied,
    Assignment,
    Executed,
    Happened,
    NotPossible,
    State,
    Step,
    advance,
    advance_assignment,
)
from services.receivables.domain.slices import (
    InvalidSlice,
    SliceState,
    SliceStep,
    VoucherSlice,
    VoucherTooLong,
    advance_slice,
    check_movable,
    check_term,
    counted_minor,
    split,
)
from shared.values.money import InvalidAmount, Money


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


@pytest.mark.parametrize(("note", "left"), [(1000, 9000), (3000, 7000), (10_000, 0)])
def test_r6_a_note_lowers_the_eligible_base(note: int, left: int) -> None:
    found = dilute(receivable_id="r", financeable=cny(10_000), by=cny(note), undertaking="none", vouchered=False)
    assert found == cny(left)


@pytest.mark.parametrize("note", [0, -1, 10_001])
def test_r6_a_note_is_above_zero_and_within_what_is_payable(note: int) -> None:
    with pytest.raises(InvalidAmount):
        dilute(receivable_id="r", financeable=cny(10_000), by=cny(note), undertaking="none", vouchered=False)


@pytest.mark.parametrize(("undertaking", "vouchered"), [("irrevocable", False), ("none", True)])
def test_r6_who_undertook_irrevocably_pays_face(undertaking: str, vouchered: bool) -> None:  # noqa: FBT001 - a case
    with pytest.raises(IrrevocableUndertaking):
        dilute(receivable_id="r", financeable=cny(1), by=cny(1), undertaking=undertaking, vouchered=vouchered)


@pytest.mark.parametrize(
    ("payable", "confirmed", "deductions", "expected"),
    [(100, 100, 0, 100), (100, 80, 0, 80), (80, 100, 0, 80), (100, 80, 30, 50), (100, 80, 90, 0)],
)
def test_r7_financeable_is_the_lesser_of_payable_and_confirmed_less_deductions(
    payable: int, confirmed: int, deductions: int, expected: int
) -> None:
    found = financeable_minor(payable_minor=payable, confirmed_minor=confirmed, deductions_minor=deductions)
    assert found == expected


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("INV-001", "inv 001", True),
        ("INV-001", "INV001", True),
        ("ＩＮＶ－００１", "INV-001", True),
        ("2026/112", "2026-112", True),
        ("1/11", "11/1", False),
        ("001", "1", False),
        ("A_1", "a1", True),
        ("---", "--", False),
    ],
)
def test_r8_a_number_is_compared_without_its_spelling(left: str, right: str, same: bool) -> None:  # noqa: FBT001 - a case
    assert (number_key(left) == number_key(right)) is same


def test_r8_a_namesake_in_another_year_or_to_another_obligor_refers() -> None:
    standing = [_standing("r1", "o1", 2025), _standing("r2", "o2", 2026)]
    reasons = why_refer(standing, obligor_id="o1", issue_year=2026, document_type="380", other_payee=False)
    assert reasons == ["same_number_in_another_year", "same_number_to_another_obligor"]
    alone = why_refer([], obligor_id="o1", issue_year=2026, document_type="393", other_payee=True)
    assert alone == ["payee_is_not_the_seller", "factored_invoice"]


def test_r8_a_namesake_of_the_same_year_to_the_same_obligor_is_the_same_claim() -> None:
    standing = [_standing("r1", "o1", 2025), _standing("r2", "o2", 2026), _standing("r3", "o2", 2026)]
    assert same_claim(standing, obligor_id="o2", issue_year=2026) == standing[1]
    assert same_claim(standing, obligor_id="o1", issue_year=2026) is None
    assert same_claim(standing, obligor_id="o2", issue_year=2025) is None


def _standing(receivable_id: str, obligor_id: str, issue_year: int) -> Standing:
    return Standing(receivable_id, obligor_id, issue_year, number="1", syntax="json")


@pytest.mark.parametrize("code", ["380", "384", "389", "326", "393", "575", "387", "877"])
def test_r8_commercial_invoices_are_taken(code: str) -> None:
    assert check_document_type(code) == code


def test_a_party_is_who_any_identifier_says_else_who_alone_has_the_name() -> None:
    book = Directory(
        known=frozenset({"e1", "e2"}),
        by_identifier={"DE136695976": frozenset({"e1"}), "GLN12345": frozenset({"e2"})},
        by_name={"two": frozenset({"e1", "e2"}), "one": frozenset({"e2"})},
    )
    assert book.resolve(Party(name="one", vat="de 136-695-976"), which="seller") == "e1"
    assert book.resolve(Party(name="x", electronic=Identifier("gln 12345", "0088")), which="seller") == "e2"
    assert book.resolve(Party(name="ONE "), which="seller") == "e2"
    assert book.resolve(Party(name="other", trading_name="One"), which="obligor") == "e2"
    assert book.resolve(Party(enterprise_id="e1"), which="seller") == "e1"
    for party, why in (
        (Party(name="two"), "ambiguous"),
        (Party(name="nobody"), "not_registered"),
        (Party(enterprise_id="e9"), "not_registered"),
        (Party(vat="DE136695976", electronic=Identifier("GLN12345")), "ambiguous"),
    ):
        with pytest.raises(UnknownParty) as caught:
            book.resolve(party, which="seller")
        assert caught.value.why == why


def test_r8_a_payee_is_another_when_nothing_in_common() -> None:
    seller = Party(name="Seller", vat="DE136695976")
    assert is_other_than(Party(name="Factor"), seller, seller_id="e1")
    assert not is_other_than(Party(name="SELLER"), seller, seller_id="e1")
    assert not is_other_than(Party(name="S. Ltd", legal=Identifier("DE136695976")), seller, seller_id="e1")
    assert not is_other_than(Party(enterprise_id="e1"), seller, seller_id="e1")
    assert is_other_than(Party(enterprise_id="e2"), seller, seller_id="e1")


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_r9_registered_first_by_time_then_notified_then_pro_rata() -> None:
    hour = timedelta(hours=1)
    late = Assignee("late", 50, registered_at=NOON + hour)
    early = Assignee("early", 60, registered_at=NOON, notified_at=NOON + 5 * hour)
    told = Assignee("told", 40, notified_at=NOON - hour)
    one, two = Assignee("one", 30), Assignee("two", 60)
    everybody = [two, told, one, late, early]
    assert [each.assignee_id for each in rank(everybody)][:3] == ["early", "late", "told"]
    assert distribute(everybody, receipt_minor=160) == {"early": 60, "late": 50, "told": 40, "one": 4, "two": 6}
    assert distribute(everybody, receipt_minor=100) == {"early": 60, "late": 40, "told": 0, "one": 0, "two": 0}
    assert distribute([one, two], receipt_minor=1000) == {"one": 30, "two": 60}


def test_r9_before_notice_the_seller_discharges_after_it_only_the_assignee() -> None:
    assert discharging_payee(notified=False) == "seller"
    assert discharging_payee(notified=True) == "assignee"


def test_r13_a_split_keeps_the_face_and_gives_the_end() -> None:
    piece = VoucherSlice("s", 0, 100, "b")
    replaced, made = split(piece, amount_minor=40, transferee_id="c", slice_ids=["t", "u"])
    assert (replaced.state, counted_minor([replaced, *made])) == (SliceState.REPLACED, 100)
    assert made == [VoucherSlice("t", 60, 100, "c"), VoucherSlice("u", 0, 60, "b")]
    _, whole = split(piece, amount_minor=100, transferee_id="c", slice_ids=["t", "u"])
    assert whole == [VoucherSlice("t", 0, 100, "c")]
    for amount in (0, -1, 101):
        with pytest.raises(InvalidSlice):
            split(piece, amount_minor=amount, transferee_id="c", slice_ids=["t", "u"])


@pytest.mark.parametrize("state", [each for each in SliceState if each is not SliceState.LIVE])
def test_r13_only_a_live_slice_moves(state: SliceState) -> None:
    piece = VoucherSlice("s", 0, 100, "b", state)
    with pytest.raises(NotPossible):
        check_movable(piece, amount_minor=10, maturity_date=date(2026, 12, 1), today=None)


def test_r13_a_matured_slice_does_not_move_and_a_slice_is_paid_once() -> None:
    live = VoucherSlice("s", 0, 100, "b")
    check_movable(live, amount_minor=10, maturity_date=date(2026, 12, 1), today=date(2026, 11, 30))
    with pytest.raises(NotPossible):
        check_movable(live, amount_minor=10, maturity_date=date(2026, 12, 1), today=date(2026, 12, 1))
    financed = VoucherSlice("s", 0, 100, "b", SliceState.FINANCED)
    assert advance_slice(financed, SliceStep.PAY) == Executed(SliceState.PAID)
    assert advance_slice(VoucherSlice("s", 0, 100, "b", SliceState.PAID), SliceStep.PAY) == AlreadyApplied()
    with pytest.raises(NotPossible):
        advance_slice(live, SliceStep.PAY)


def test_r13_a_slice_on_which_no_loan_stands_is_paid_to_its_holder_once() -> None:
    assert advance_slice(VoucherSlice("s", 0, 100, "b"), SliceStep.PAY_HOLDER) == Executed(SliceState.PAID)
    for state in (SliceState.OFFERED, SliceState.ASSIGNED, SliceState.FINANCED, SliceState.PAID):
        with pytest.raises(NotPossible):
            advance_slice(VoucherSlice("s", 0, 100, "b", state), SliceStep.PAY_HOLDER)


def test_r15_a_voucher_never_runs_for_more_than_the_policy_allows() -> None:
    start = date(2026, 1, 1)
    check_term(issued_on=start, maturity_date=start + timedelta(days=366), most_days=366)
    with pytest.raises(VoucherTooLong):
        check_term(issued_on=start, maturity_date=start + timedelta(days=367), most_days=366)


def test_a_receivable_goes_only_where_its_life_leads() -> None:
    assert advance(document_id="r", state="validated", asked=Step.CONFIRM) == Executed(State.CONFIRMED)
    assert advance(document_id="r", state="confirmed", asked=Step.CONFIRM) == AlreadyApplied()
    for state, step in (("referred", Step.CONFIRM), ("confirmed", Step.REJECT), ("settled", Step.ASSIGN)):
        with pytest.raises(NotPossible):
            advance(document_id="r", state=state, asked=step)


@pytest.mark.parametrize(
    ("state", "happened", "expected"),
    [
        ("assigned", Happened.RELEASED, Assignment.FREED),
        ("withdrawn", Happened.DISBURSED, Assignment.FINANCED),
        ("freed", Happened.DISBURSED, Assignment.FINANCED),
        ("financed", Happened.CLOSED, Assignment.SETTLED),
        ("financed", Happened.RELEASED, None),
        ("refused", Happened.RELEASED, None),
        ("settled", Happened.CLOSED, None),
        ("financed", Happened.WITHDRAWN, None),
    ],
)
def test_an_assignment_follows_its_drawdown_and_ignores_what_comes_late(
    state: str, happened: Happened, expected: Assignment | None
) -> None:
    step = advance_assignment(state, happened)
    assert step == (AlreadyApplied() if expected is None else Executed(expected))
