"""When a loan on goods is called for more security (R6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.top_ups import called, goods_for
from shared.values.rates import share_of

_amounts = st.integers(min_value=0, max_value=10**9)


def test_r6_a_call_is_made_above_the_share_once_and_again_when_it_has_grown_as_much() -> None:
    loan = {"principal_minor": 100_000, "above": 50_000}
    assert called(lacking_minor=5_000, asked_minor=0, **loan) == 0
    assert called(lacking_minor=5_001, asked_minor=0, **loan) == 5_001
    assert called(lacking_minor=10_001, asked_minor=5_001, **loan) == 5_001
    assert called(lacking_minor=10_002, asked_minor=5_001, **loan) == 10_002
    assert called(lacking_minor=1, asked_minor=5_001, **loan) == 5_001
    assert called(lacking_minor=0, asked_minor=5_001, **loan) == 0


@given(lacking=_amounts, principal=_amounts, asked=_amounts, above=st.integers(min_value=0, max_value=1_000_000))
def test_r6_no_call_lags_behind_what_is_lacking_by_more_than_the_share(
    lacking: int, principal: int, asked: int, above: int
) -> None:
    now = called(lacking_minor=lacking, principal_minor=principal, above=above, asked_minor=asked)
    assert lacking - now <= share_of(amount=principal, millionths=above)
    assert now in {0, asked, lacking}
    assert now == called(lacking_minor=lacking, principal_minor=principal, above=above, asked_minor=now)


@given(lacking=_amounts, rate=st.integers(min_value=1, max_value=1_000_000))
def test_the_goods_called_for_carry_what_is_lacking_and_a_unit_less_would_not(lacking: int, rate: int) -> None:
    worth = goods_for(lacking_minor=lacking, advance_rate=rate)
    assert share_of(amount=worth, millionths=rate) >= lacking
    assert worth == 0 or share_of(amount=worth - 1, millionths=rate) < lacking
