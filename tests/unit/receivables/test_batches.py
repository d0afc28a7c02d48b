"""Deciding on many receivables at once, and the table of a receivable's life (DOMAIN §2, R22)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.batches import (
    BatchTooLarge,
    Named,
    Standing,
    digest_of,
    read_named,
    totals_of,
    why_not,
)
from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.receivables import (
    AlreadyApplied,
    Executed,
    NotPossible,
    State,
    Step,
    advance,
    advance_cancelled,
)
from shared.values.money import Money

STANDING = Standing("r", "validated", disputed=False, open=Money(100, "CNY"))
_money = st.builds(Money, st.integers(1, 10**9), st.sampled_from(["CNY", "EUR", "JPY"]))


def test_what_is_not_decided_says_why() -> None:
    assert why_not(None, step=Step.CONFIRM) == "unknown_receivable"
    assert why_not(STANDING, step=Step.CONFIRM, chosen=Money(100, "CNY")) is None
    assert why_not(STANDING, step=Step.CONFIRM, chosen=Money(101, "CNY")) == "amount_changed"
    assert why_not(replace(STANDING, disputed=True), step=Step.CONFIRM) == "disputed"
    assert why_not(replace(STANDING, disputed=True), step=Step.REJECT) is None
    for state in ("confirmed", "assigned", "financed", "settled", "rejected", "cancelled"):
        for step in (Step.CONFIRM, Step.REJECT):
            assert why_not(replace(STANDING, state=state), step=step) == state


@given(amounts=st.lists(_money, max_size=20), chance=st.randoms(use_true_random=False))
def test_r22_the_digest_is_of_every_id_and_amount_and_the_sums_are_by_currency(
    amounts: list[Money], chance: Random
) -> None:
    chosen = [Standing(f"r{nth:03}", "validated", disputed=False, open=each) for nth, each in enumerate(amounts)]
    shuffled = list(chosen)
    chance.shuffle(shuffled)
    assert digest_of(shuffled) == digest_of(chosen)
    for nth, each in enumerate(chosen):
        other = replace(each, open=Money(each.open.amount_minor + 1, each.open.currency))
        assert digest_of([*chosen[:nth], other, *chosen[nth + 1 :]]) != digest_of(chosen)
    totals = {each.currency: each.amount_minor for each in totals_of(amounts)}
    assert sum(totals.values()) == sum(each.amount_minor for each in amounts)
    assert list(totals) == sorted({each.currency for each in amounts})


def test_a_list_names_receivables_by_seller_and_number() -> None:
    assert read_named([["seller_id", "number"], [" s ", " INV  1 "]]) == [Named("s", "INV 1")]
    with pytest.raises(BatchTooLarge):
        read_named([["seller_id", "number"], *([["s", "1"]] * 10_001)])
    for bad in ([], [["number"]], [["seller_id", "number"], ["s"]], [["seller_id", "number"], ["s", " "]]):
        with pytest.raises(UnreadableDocument):
            read_named(bad)


@given(state=st.sampled_from(list(State)), steps=st.lists(st.sampled_from(list(Step)), max_size=8))
def test_r8_what_is_taken_back_or_rejected_never_lives_again(state: State, steps: list[Step]) -> None:
    here, ended = state, False
    for step in steps:
        ended = ended or here in {State.CANCELLED, State.REJECTED, State.SETTLED}
        try:
            made = advance(document_id="r", state=here, asked=step)
        except NotPossible:
            continue
        if isinstance(made, Executed):
            assert not ended
            here = made.state
        else:
            assert isinstance(made, AlreadyApplied)


@pytest.mark.parametrize("state", list(State))
def test_only_what_nobody_stands_on_is_taken_back(state: State) -> None:
    free = {State.VALIDATED, State.REFERRED, State.CONFIRMED, State.CANCELLED}
    for vouchered, paid in ((False, 0), (True, 0), (False, 1)):
        try:
            advance_cancelled(document_id="r", state=state, vouchered=vouchered, paid_minor=paid)
            done = True
        except NotPossible:
            done = False
        assert done == (state in free and not vouchered and not paid)
