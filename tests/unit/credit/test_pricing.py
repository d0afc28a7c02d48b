"""The price: components, floor, dated policies, and what a payable can bear (DOMAIN §4)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from services.credit.domain.pricing import (
    Borrower,
    NothingToLend,
    TrackRecord,
    all_in_rate,
    discount,
    fee,
    largest_principal,
    price,
)
from services.credit.operations.price_policies import price_policy
from shared.values.periods import DayCount
from shared.values.policies import NoPolicy

DAY = date(2026, 3, 2)
POLICY = price_policy(name="pricing", on=DAY)


NEWCOMER = TrackRecord()
SETTLED = TrackRecord(date(2020, 1, 1), 3, date(2026, 2, 1), 1)


def _borrower(*, risk: int = 10_000, tier: int = 1, record: TrackRecord = NEWCOMER, size: str = "medium") -> Borrower:
    return Borrower(risk_spread=risk, product="receivable", tier=tier, record=record, size_class=size)


def test_the_rate_is_the_sum_of_its_named_components() -> None:
    found = price(POLICY, _borrower(tier=2, record=SETTLED, size="micro"), on=DAY, tenor_days=90)
    assert dict(found.components) == {
        "lpr_1y": 30_000,
        "risk": 10_000,
        "product": 6_000,
        "tier": 2_500,
        "life_cycle": 0,
        "repeat_concession": -1_000,
        "inclusive_concession": -3_000,
    }
    assert found.rate == 44_500
    assert found.penalty_rate == 66_750


def test_the_rate_never_falls_below_the_floor_and_the_floor_is_a_component() -> None:
    found = price(POLICY, _borrower(risk=-20_000), on=DAY, tenor_days=90)
    assert found.rate == POLICY.floor == 30_000
    assert dict(found.components)["floor"] == 30_000 - 17_000
    assert sum(rate for _, rate in found.components) == found.rate


@pytest.mark.parametrize(("tenor", "name"), [(365, "lpr_1y"), (366, "lpr_5y")])
def test_lpr_is_that_of_the_tenor(tenor: int, name: str) -> None:
    assert price(POLICY, _borrower(), on=DAY, tenor_days=tenor).components[0][0] == name


def test_tiers_beyond_the_table_pay_its_last_entry() -> None:
    assert dict(price(POLICY, _borrower(tier=9), on=DAY, tenor_days=9).components)["tier"] == POLICY.tier[-1]


@pytest.mark.parametrize(
    ("first_drawn", "component"),
    [
        (None, 1_000),
        (DAY, 1_000),
        (date(2025, 3, 3), 1_000),
        (date(2025, 3, 2), 500),
        (date(2023, 3, 3), 500),
        (date(2023, 3, 2), 0),
        (DAY + timedelta(days=1), 1_000),
    ],
)
def test_the_life_cycle_component_falls_with_the_months_since_the_first_drawdown(
    first_drawn: date | None, component: int
) -> None:
    found = price(POLICY, _borrower(record=TrackRecord(first_drawn)), on=DAY, tenor_days=90)
    assert dict(found.components)["life_cycle"] == component


@pytest.mark.parametrize(
    ("repaid", "concession"), [(0, 0), (1, -500), (2, -500), (3, -1_000), (10, -1_500), (99, -1_500)]
)
def test_the_repeat_concession_grows_with_the_drawdowns_repaid(repaid: int, concession: int) -> None:
    record = TrackRecord(DAY - timedelta(days=9), repaid, DAY - timedelta(days=1), repaid)
    found = price(POLICY, _borrower(record=record), on=DAY, tenor_days=90)
    assert dict(found.components)["repeat_concession"] == concession


def test_what_is_repaid_today_counts_from_tomorrow() -> None:
    record = TrackRecord(DAY, 3, DAY, 2)
    assert [record.repaid_before(DAY + timedelta(days=n)) for n in (-1, 0, 1)] == [1, 1, 3]


@pytest.mark.parametrize(
    ("day", "one_year"),
    [
        (date(2019, 8, 19), 43_500),
        (date(2019, 8, 20), 42_500),
        (date(2022, 1, 19), 38_000),
        (date(2022, 1, 20), 37_000),
        (date(2025, 5, 19), 31_000),
        (date(2025, 5, 20), 30_000),
    ],
)
def test_lpr_is_the_fixing_in_force_on_the_date(day: date, one_year: int) -> None:
    assert price_policy(name="pricing", on=day).lpr_1y == one_year


def test_before_the_first_version_there_is_no_price() -> None:
    with pytest.raises(NoPolicy):
        price_policy(name="pricing", on=date(1999, 12, 31))


def test_the_most_a_payable_bears_at_6_percent_for_90_days_is_98522_16() -> None:
    most = largest_principal(payable_minor=10_000_000, rate=60_000, start=DAY, end=DAY + timedelta(days=90))
    assert most == 9_852_216
    interest = discount(
        face_minor=most, rate=60_000, start=DAY, end=DAY + timedelta(days=90), day_count=DayCount.ACT_360
    )
    assert most + interest <= 10_000_000
    more = most + 1
    assert more + more * 60_000 * 90 / 360 / 1_000_000 > 10_000_000


def test_r2_a_discount_is_simple_interest_on_actual_days() -> None:
    found = discount(
        face_minor=10_000_000,
        rate=120_000,
        start=DAY,
        end=DAY + timedelta(days=90),
        day_count=DayCount.ACT_360,
    )
    assert found == 300_000


def test_the_all_in_rate_holds_interest_and_every_fee_on_what_is_received() -> None:
    assert fee(POLICY, principal_minor=10_000_000) == 10_000
    plain = all_in_rate(principal_minor=10_000_000, interest_minor=600_000, fee_minor=0, tenor_days=365)
    assert plain == 60_000
    costly = all_in_rate(principal_minor=10_000_000, interest_minor=600_000, fee_minor=10_000, tenor_days=365)
    assert costly == 61_061
    with pytest.raises(NothingToLend):
        all_in_rate(principal_minor=10, interest_minor=0, fee_minor=10, tenor_days=1)
