"""The pass-through meter: what a firm would pay alone, and how much of the anchor's advantage reaches it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from services.credit.domain.pass_through import PassThrough, Weighed, anchor_rate, stand_alone, weigh
from services.credit.domain.pricing import TrackRecord
from services.credit.operations.price_policies import price_policy

DAY = date(2026, 3, 2)
POLICY = price_policy(name="pricing", on=DAY)


def test_alone_a_firm_pays_for_its_own_grade_unsecured_and_for_no_tier() -> None:
    found = stand_alone(POLICY, own_spread=40_000, record=TrackRecord(), size_class="small", on=DAY, tenor_days=90)
    assert dict(found.components) == {
        "lpr_1y": 30_000,
        "risk": 40_000,
        "product": 20_000,
        "tier": 0,
        "life_cycle": 1_000,
        "repeat_concession": 0,
        "inclusive_concession": -2_000,
    }
    assert found.rate == 89_000


def test_the_anchor_is_asked_as_a_large_borrower_of_long_standing() -> None:
    assert anchor_rate(POLICY, anchor_spread=5_000, on=DAY, tenor_days=90) == 55_000
    assert anchor_rate(POLICY, anchor_spread=-90_000, on=DAY, tenor_days=90) == POLICY.floor


@pytest.mark.parametrize(
    ("offered", "alone", "anchor", "passed", "share"),
    [
        (50_000, 90_000, 40_000, 40_000, 800_000),
        (40_000, 90_000, 40_000, 50_000, 1_000_000),
        (0, 90_000, 40_000, 90_000, 1_800_000),
        (90_000, 90_000, 40_000, 0, 0),
        (95_000, 90_000, 40_000, -5_000, -100_000),
        # The anchor has no advantage, or is the weaker of the two: nothing to pass on.
        (50_000, 60_000, 60_000, 10_000, None),
        (50_000, 60_000, 80_000, 10_000, None),
    ],
)
def test_the_share_is_of_what_the_anchor_has_to_give(
    offered: int, alone: int, anchor: int, passed: int, share: int | None
) -> None:
    found = PassThrough(offered=offered, stand_alone=alone, anchor=anchor)
    assert (found.passed_through, found.share) == (passed, share)


def test_a_programme_s_rates_are_weighted_by_volume() -> None:
    small = Weighed(1_000, PassThrough(offered=50_000, stand_alone=90_000, anchor=40_000))
    large = Weighed(3_000, PassThrough(offered=70_000, stand_alone=80_000, anchor=40_000))
    found = weigh([small, large, replace(large, volume_minor=0)])
    assert found == Weighed(4_000, PassThrough(offered=65_000, stand_alone=82_500, anchor=40_000))
    assert found.measured.share == 411_765


def test_a_programme_without_open_drawdowns_has_no_pass_through() -> None:
    assert weigh([]) is None
