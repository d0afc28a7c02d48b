"""Cover: its life, what is taken off its value by kind and age, its rank behind others, and whose loan it secures."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from services.credit.domain.covers import (
    Cover,
    CoverState,
    CoverStep,
    CoverStepNotPossible,
    Need,
    after,
    allocate,
    lending_values,
)
from services.credit.operations.cover_policies import haircuts

DAY = date(2026, 3, 2)
HAIRCUTS = haircuts(on=DAY)
PLANT = Cover(
    cover_id="plant",
    asset="title 7",
    kind="building",
    state=CoverState.REGISTERED,
    value_minor=1_000_000,
    valued_on=DAY,
    prior_minor=0,
    rank=1,
    secured_minor=5_000_000,
    valid_until=date(2030, 1, 1),
)


@pytest.mark.parametrize(
    ("kind", "valued_on", "carried"),
    [
        ("building", DAY, 700_000),
        ("building", date(2025, 3, 3), 700_000),
        ("building", date(2025, 3, 2), 600_000),
        ("building", date(2023, 3, 2), 0),
        ("equipment", DAY, 500_000),
        ("equipment", date(2024, 9, 2), 350_000),
        ("instrument", date(2025, 12, 1), 800_000),
        ("guarantee", DAY, 800_000),
        ("building", date(2026, 3, 3), 0),
    ],
)
def test_the_haircut_goes_by_kind_and_by_the_age_of_the_valuation(kind: str, valued_on: date, carried: int) -> None:
    assert HAIRCUTS.carried(kind, value_minor=1_000_000, valued_on=valued_on, on=DAY) == carried


@pytest.mark.parametrize(
    ("changes", "carried"),
    [
        ({}, 700_000),
        ({"prior_minor": 250_000}, 450_000),
        ({"prior_minor": 900_000}, 0),
        ({"secured_minor": 300_000}, 300_000),
        ({"valid_until": date(2026, 3, 1)}, 0),
        ({"valid_until": DAY}, 700_000),
        ({"state": CoverState.VALUED}, 0),
        ({"state": CoverState.RELEASED}, 0),
        ({"state": CoverState.ENFORCED}, 0),
    ],
)
def test_a_charge_carries_what_prior_ones_leave_up_to_what_it_secures_while_it_is_registered(
    changes: dict[str, object], carried: int
) -> None:
    assert lending_values([replace(PLANT, **changes)], HAIRCUTS, on=DAY) == {"plant": carried}  # type: ignore[arg-type] # named as they are


def test_charges_on_one_asset_share_its_least_value_by_rank() -> None:
    first = replace(PLANT, secured_minor=400_000)
    second = replace(PLANT, cover_id="second", rank=2, value_minor=900_000, prior_minor=30_000)
    assert lending_values([second, first], HAIRCUTS, on=DAY) == {"plant": 400_000, "second": 200_000}


def test_each_loan_is_secured_the_oldest_first_by_the_cover_of_the_fewest_lines_first() -> None:
    general = PLANT
    special = replace(PLANT, cover_id="special", line_ids=frozenset({"b"}))
    found = allocate(
        [general, special],
        {"plant": 500, "special": 300},
        [Need("2", "b", 400), Need("1", "a", 300), Need("3", "a", 200)],
    )
    assert found.secured == {"1": {"plant": 300}, "2": {"special": 300, "plant": 100}, "3": {"plant": 100}}
    assert found.left == {"plant": 0, "special": 0}
    assert [found.of_loan(name) for name in "123"] == [300, 400, 100]


def test_a_line_s_next_loan_is_supported_by_what_is_left_of_its_cover() -> None:
    special = replace(PLANT, cover_id="special", line_ids=frozenset({"b"}))
    found = allocate([PLANT, special], {"plant": 500, "special": 300}, [Need("1", "a", 200)])
    assert [found.support([PLANT, special], line_ids=[line]) for line in "ab"] == [300, 600]


@pytest.mark.parametrize(
    ("state", "step", "then"),
    [
        (CoverState.PROPOSED, CoverStep.VALUE, CoverState.VALUED),
        (CoverState.VALUED, CoverStep.VALUE, CoverState.VALUED),
        (CoverState.VALUED, CoverStep.REGISTER, CoverState.REGISTERED),
        (CoverState.REGISTERED, CoverStep.VALUE, CoverState.REGISTERED),
        (CoverState.REGISTERED, CoverStep.RELEASE, CoverState.RELEASED),
        (CoverState.REGISTERED, CoverStep.ENFORCE, CoverState.ENFORCED),
        (CoverState.PROPOSED, CoverStep.REGISTER, None),
        (CoverState.VALUED, CoverStep.ENFORCE, None),
        (CoverState.RELEASED, CoverStep.VALUE, None),
        (CoverState.ENFORCED, CoverStep.RELEASE, None),
    ],
)
def test_a_pledge_is_valued_before_it_is_registered_and_ends_released_or_enforced(
    state: CoverState, step: CoverStep, then: CoverState | None
) -> None:
    if then is None:
        with pytest.raises(CoverStepNotPossible, match=f"it_is_{state}"):
            after(state, step, cover_id="c")
    else:
        assert after(state, step, cover_id="c") is then
