"""What holds of every pass-through, whatever the rates: its bounds, its weights; that the LPR alone moves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.pass_through import PassThrough, Weighed, anchor_rate, stand_alone, weigh
from services.credit.domain.pricing import TrackRecord
from services.credit.operations.price_policies import price_policy
from shared.values.rates import MILLION

DAY = date(2026, 3, 2)
POLICY = price_policy(name="pricing", on=DAY)
_RATES = st.integers(min_value=0, max_value=400_000)
_MEASURED = st.builds(PassThrough, offered=_RATES, stand_alone=_RATES, anchor=_RATES)
_WEIGHED = st.builds(Weighed, volume_minor=st.integers(min_value=0, max_value=10**15), measured=_MEASURED)


@given(_MEASURED)
def test_the_share_lies_between_nothing_and_all_exactly_when_the_rate_lies_between_alone_and_the_anchor(
    found: PassThrough,
) -> None:
    if found.share is None:
        assert found.anchor >= found.stand_alone
        return
    between = found.anchor <= found.offered <= found.stand_alone
    # A share that rounds to one of its bounds may belong to a rate just outside.
    assert not between or 0 <= found.share <= MILLION
    assert between or found.share <= 0 or found.share >= MILLION


@given(_MEASURED, st.integers(min_value=1, max_value=1_000))
def test_a_lower_rate_never_passes_through_less(found: PassThrough, less: int) -> None:
    cheaper = replace(found, offered=found.offered - less)
    assert cheaper.passed_through == found.passed_through + less
    assert found.share is None or (cheaper.share or 0) >= found.share


@given(st.lists(_WEIGHED, max_size=8))
def test_a_weighted_rate_lies_between_the_rates_it_is_of_and_their_order_does_not_matter(parts: list[Weighed]) -> None:
    found = weigh(parts)
    counted = [part for part in parts if part.volume_minor]
    if found is None:
        assert not counted
        return
    assert found == weigh(list(reversed(parts)))
    assert found.volume_minor == sum(part.volume_minor for part in counted)
    for name in ("offered", "stand_alone", "anchor"):
        rates = [getattr(part.measured, name) for part in counted]
        assert min(rates) <= getattr(found.measured, name) <= max(rates)


@given(st.integers(min_value=0, max_value=100_000), st.integers(min_value=0, max_value=90_000), _RATES)
def test_above_the_floor_the_day_s_lpr_moves_every_rate_alike(own: int, anchors: int, up: int) -> None:
    dearer = replace(POLICY, lpr_1y=POLICY.lpr_1y + up)

    def gap(policy: Any) -> int:
        alone = stand_alone(policy, own_spread=own, record=TrackRecord(), size_class="micro", on=DAY, tenor_days=90)
        return alone.rate - anchor_rate(policy, anchor_spread=anchors, on=DAY, tenor_days=90)

    assert gap(dearer) == gap(POLICY)
