"""Whatever is paid whenever, a loan's instalments keep every cent (R3, R5, R15, R17, R20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.credit.domain.plans import Kind, Lent, Planned, by_dates, due_dates
from services.settlement.domain.accrual import Balance, Earned, earned_through
from services.settlement.domain.instalments import Instalment, schedule
from services.settlement.domain.loans import State
from services.settlement.domain.waterfall import PARTS, Owed
from services.settlement.operations.accrue import accrue
from services.settlement.operations.loan_rows import Loan, Work
from services.settlement.operations.overdue import owed_on
from services.settlement.operations.receive import receive
from shared.events.settlement import LoanClosed, LoanCured, LoanOverdue, LoanRepaid
from shared.values.periods import DayCount

START = date(2026, 1, 5)


@dataclass
class _Book:
    """A loan in memory, its open day, and everything that was booked and said of it."""

    loan: Loan
    today: date = START
    work: Work = field(default_factory=lambda: Work(START))
    received: int = 0

    def pass_days(self, days: int) -> None:
        self.today += timedelta(days=days)
        if self.loan.state is State.DISBURSED:
            accrue(self.loan, self.work, through=self.today)
        self.work.open_date = self.today

    def pay(self, minor: int, *, days_ago: int = 0) -> None:
        value_date = max(START, self.today - timedelta(days=days_ago))
        allocation, _ = receive(
            self.loan, receipt_minor=minor, value_date=value_date, collection_id="c", order=PARTS, work=self.work
        )
        assert allocation.total == minor
        self.received += minor


def _loan(planned: Planned, lent: Lent, *, grace: int, early: str) -> _Book:
    row = {
        "loan_id": "l",
        "form": "loan",
        "currency": "CNY",
        "principal_minor": lent.principal,
        "face_minor": lent.principal,
        "holdback_minor": 0,
        "discount_minor": 0,
        "costs_minor": 0,
        "rate": lent.rate,
        "penalty_rate": lent.rate * 3 // 2,
        "day_count": lent.day_count.value,
        "interest_payer": "seller",
        "recourse": True,
        "maturity_date": planned.maturity,
        "grace_days": grace,
        "early_repayment": early,
    }
    parts = [Instalment(nth, each.due_date, each.principal) for nth, each in enumerate(planned.instalments, start=1)]
    return _Book(
        Loan(
            row=row,
            state=State.DISBURSED,
            balances=[Balance(START, each.principal, each.nth) for each in parts],
            instalments=parts,
            earned=Earned(),
            outstanding=lent.principal,
            interest_paid=0,
            penalty_paid=0,
            costs_paid=0,
            received=0,
            reason=None,
            incident=None,
            disbursed_date=START,
            closed_date=None,
            accrued_through=START,
            last_receipt_date=None,
        )
    )


@st.composite
def _plans(draw: st.DrawFn, *, most_days: int = 200) -> tuple[Planned, Lent]:
    term = draw(st.integers(2, most_days))
    count = draw(st.integers(1, min(6, term)))
    dates = due_dates(start=START, maturity=START + timedelta(days=term), instalments=count)
    lent = Lent(
        principal=draw(st.integers(count, 10**10)),
        rate=draw(st.integers(0, 240_000)),
        start=START,
        maturity=dates[-1],
        day_count=draw(st.sampled_from(DayCount)),
    )
    kind: Kind = draw(st.sampled_from(["equal_principal", "equal_instalments", "interest_only"]))
    return Planned(kind, tuple(by_dates(kind, lent, dates)), "shorten"), lent


_EARLY = st.sampled_from(["shorten", "lower", "refused"])
# Days pass, then a share of the principal is paid, dated some days back.
_STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 600_000), st.integers(0, 20)), max_size=8)


def _check(book: _Book) -> None:
    loan, repayment = book.loan, book.loan.repayment
    left = repayment.left
    repaid = [event for event in book.work.events if isinstance(event, LoanRepaid)]
    assert sum(left.values()) == loan.outstanding
    assert loan.outstanding == loan.row["principal_minor"] - sum(each.principal.minor for each in repaid)
    assert sum(each.principal for each in loan.instalments) == loan.row["principal_minor"]
    assert all(0 <= left[each.nth] <= each.principal for each in loan.instalments)
    settled = [each.settled is not None for each in loan.instalments]
    assert settled == sorted(settled, reverse=True)
    assert all(not left[each.nth] for each in loan.instalments if each.settled)
    # What was posted is what was earned, whatever came late.
    assert loan.accrued_through is not None
    assert loan.earned == earned_through(repayment.terms, loan.balances, through=loan.accrued_through)
    assert loan.interest_paid <= loan.earned.interest
    assert loan.penalty_paid <= loan.earned.penalty
    booked = [line for each in book.work.booked for line in each.entry.postings]
    assert sum(line.debit - line.credit for line in booked) == 0
    assert sum(line.credit - line.debit for line in booked if line.account == "interest_income") == loan.earned.interest


@settings(max_examples=150, deadline=None)
@given(case=_plans(), grace=st.integers(0, 10), early=_EARLY, steps=_STEPS)
def test_r5_whatever_is_paid_whenever_every_cent_is_somewhere(
    *, case: tuple[Planned, Lent], grace: int, early: str, steps: Sequence[tuple[int, int, int]]
) -> None:
    book = _loan(*case, grace=grace, early=early)
    for days, share, ago in steps:
        book.pass_days(days)
        if book.loan.state is State.CLOSED:
            break
        book.pay(max(1, book.loan.row["principal_minor"] * share // 1_000_000), days_ago=ago)
        _check(book)
    went = sum(line.debit for each in book.work.booked for line in each.entry.postings if line.account == "nostro")
    assert went == book.received
    closed = [event for event in book.work.events if isinstance(event, LoanClosed)]
    assert (len(closed) == 1) == (book.loan.state is State.CLOSED)
    if closed:
        assert sum(each.billed or 0 for each in book.loan.instalments) == book.loan.earned.interest
        assert book.loan.next_due_date is None
        owed = owed_on(book.loan, on=book.today)
        assert owed == Owed()


@settings(max_examples=150, deadline=None)
@given(case=_plans(), grace=st.integers(0, 5), early=_EARLY)
def test_r3_paid_on_its_dates_each_instalment_costs_what_the_plan_said_and_the_last_takes_the_residue(
    *, case: tuple[Planned, Lent], grace: int, early: str
) -> None:
    planned, lent = case
    book = _loan(planned, lent, grace=grace, early=early)
    for nth, each in enumerate(planned.instalments):
        book.pass_days((each.due_date - book.today).days)
        line = schedule(book.loan.repayment, on=book.today)[nth]
        assert line.instalment.principal + line.interest == each.total
        if each.total:
            book.pay(each.total)
    loan = book.loan
    assert (loan.state, loan.earned.interest, loan.earned.penalty) == (State.CLOSED, planned.interest, 0)
    assert [each.billed for each in loan.instalments] == [each.interest for each in planned.instalments]
    assert not [event for event in book.work.events if isinstance(event, LoanOverdue | LoanCured)]


@settings(max_examples=100, deadline=None)
@given(case=_plans(), grace=st.integers(0, 5), days=st.integers(1, 5), every=st.integers(1, 3))
def test_who_pays_each_instalment_some_days_ahead_is_never_late(
    *, case: tuple[Planned, Lent], grace: int, days: int, every: int
) -> None:
    planned, lent = case
    book, previous = _loan(planned, lent, grace=grace, early="shorten"), START
    for nth, each in enumerate(planned.instalments):
        # Not before the one before it is due: two in one period are one and an early repayment.
        ahead = max(previous, each.due_date - timedelta(days=days if nth % every == 0 else 0))
        previous = each.due_date
        book.pass_days(max(0, (ahead - book.today).days))
        if book.loan.state is State.CLOSED:
            break
        line = schedule(book.loan.repayment, on=book.today)[nth]
        asked = line.instalment.principal + line.interest - line.principal_paid - line.interest_paid
        if asked:
            book.pay(asked)
    book.pass_days(20)
    assert not [event for event in book.work.events if isinstance(event, LoanOverdue)]


@settings(max_examples=100, deadline=None)
@given(case=_plans(most_days=120), grace=st.integers(0, 5), steps=_STEPS)
def test_r18_days_closed_one_by_one_or_all_at_once_post_and_say_the_same(
    *, case: tuple[Planned, Lent], grace: int, steps: Sequence[tuple[int, int, int]]
) -> None:
    at_once, one_by_one = (_loan(*case, grace=grace, early="shorten") for _ in range(2))
    for days, share, _ in steps:
        at_once.pass_days(days)
        for _ in range(days):
            one_by_one.pass_days(1)
        assert at_once.loan.instalments == one_by_one.loan.instalments
        if at_once.loan.state is State.CLOSED:
            break
        for book in (at_once, one_by_one):
            book.pay(max(1, book.loan.row["principal_minor"] * share // 1_000_000))
    assert at_once.loan.earned == one_by_one.loan.earned
    said = [
        [(event.days_past_due, event.due_date) for event in book.work.events if isinstance(event, LoanOverdue)]
        for book in (at_once, one_by_one)
    ]
    assert said[0] == said[1]
