"""A netting is accepted by all or by nobody, once by each, and in time (R14)."""

from __future__ import annotations

from datetime import date

import pytest

from services.settlement.domain.netting import Cash, Debt
from services.settlement.domain.proposals import (
    AlreadyApplied,
    Executed,
    NettingClosed,
    NettingTooLate,
    State,
    accept,
    check_declinable,
    run,
)

_DAY = date(2026, 1, 5)


def _accept(
    state: str, *, before: bool = False, others_wait: bool = False, is_late: bool = False
) -> Executed | AlreadyApplied:
    return accept(netting_id="n", state=state, accepted_before=before, others_wait=others_wait, is_late=is_late)


def test_r14_the_last_acceptance_makes_it_accepted_and_no_other_does() -> None:
    assert _accept("proposed", others_wait=True) == Executed(State.PROPOSED)
    assert _accept("proposed") == Executed(State.ACCEPTED)


@pytest.mark.parametrize("state", ["proposed", "accepted", "settled"])
def test_who_accepted_before_changes_nothing_even_after_the_deadline(state: str) -> None:
    assert _accept(state, before=True, is_late=True) == AlreadyApplied()


def test_what_is_late_or_over_takes_no_answer() -> None:
    with pytest.raises(NettingTooLate):
        _accept("proposed", is_late=True)
    for state in ("accepted", "settled", "ended"):
        with pytest.raises(NettingClosed, match=state):
            _accept(state)
        with pytest.raises(NettingClosed, match=state):
            check_declinable(netting_id="n", state=state)
    with pytest.raises(NettingClosed, match="ended"):
        _accept("ended", before=True)
    check_declinable(netting_id="n", state="proposed")


def test_a_run_proposes_strangers_apart_and_quotes_cash_only_when_asked() -> None:
    debts = [
        Debt("ab", "A", "B", 5, _DAY),
        Debt("ba", "B", "A", 3, _DAY),
        Debt("cd", "C", "D", 7, _DAY),
        Debt("dc", "D", "C", 7, _DAY),
    ]
    found = run(debts, legs_at_most=10)
    assert [bundle.legs for bundle in found.bundles] == [{"ab": 3, "ba": 3}, {"cd": 7, "dc": 7}]
    assert (found.cleared_minor, found.cash_for_all_minor, found.with_cash) == (20, 2, None)
    with_cash = run(debts, legs_at_most=10, cash=Cash(1)).with_cash
    assert with_cash is not None
    assert (with_cash.cleared_minor, with_cash.given, with_cash.kept) == (21, {"A": 1}, {"B": 1})


def test_nothing_to_net_proposes_nothing() -> None:
    assert run([], legs_at_most=10, cash=Cash(100)).bundles == ()
    assert run([Debt("ab", "A", "B", 5, _DAY)], legs_at_most=10).bundles == ()
