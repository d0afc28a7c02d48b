"""Goods as security, rule by rule: what they are worth, what devices change of it, what repayment releases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.goods import (
    Repaid,
    State,
    Step,
    UnknownGoodsClass,
    advance,
    quantity_text,
    read_quantity,
    receipt_asset,
    released,
)
from services.receivables.domain.readings import (
    Bounds,
    InvalidReading,
    Observed,
    Reading,
    Watch,
    bounds_of,
    metres_between,
    observe,
    read_csv,
    read_json,
    read_lines,
)
from services.receivables.domain.receivables import AlreadyApplied, NotPossible
from services.receivables.domain.valuing_goods import Appraisal, Depreciation, Lot, Valuation, appraise, goods_rules
from shared.values.policies import policy_on

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = goods_rules(policy_on("goods", on=DAY))
SHANGHAI = (31_230_400, 121_473_700)
WATCH = Watch(Bounds(temperature=(0, 800)), *SHANGHAI, radius_m=500)


def _worth(
    *valuations: Valuation, kind: str = "general", seen: Observed | None = None, days: int = 0, condition: str = "good"
) -> Appraisal:
    """Appraise a thousand units so many days after the first day."""
    lot = Lot(kind, condition, 1_000_000)
    return appraise(lot, valuations, seen or Observed(), RULES, on=DAY + timedelta(days=days))


def _valued(minor: int = 10_000, *, days: int = 0, condition: str | None = None, source: str = "exchange") -> Valuation:
    return Valuation(DAY + timedelta(days=days), minor, source, condition)


def test_goods_are_worth_their_valuation_and_a_share_by_their_condition_is_lent_against() -> None:
    assert _worth(_valued()) == Appraisal(10_000_000, 8_000_000, (), DAY, "goods/2000-01")
    assert _worth(_valued(), condition="new").eligible_minor == 9_000_000
    seen = _worth(_valued(condition="worn"), condition="new")
    assert (seen.value_minor, seen.eligible_minor) == (10_000_000, 5_000_000)


def test_value_falls_straight_to_the_residual_or_by_a_share_of_itself_a_day() -> None:
    # A year to a fifth: 80 of 100 parts in 365 days, so 73 days take 16.
    assert _worth(_valued(), days=0).value_minor == 10_000_000
    straight = Depreciation("straight_line", days=365, residual=200_000)
    assert (float(straight.left(73)), float(straight.left(365)), float(straight.left(9_999))) == (0.84, 0.2, 0.2)
    daily = Depreciation("per_day", rate=100_000)
    assert [float(daily.left(days)) for days in (0, 1, 2)] == [1.0, 0.9, 0.81]
    # Grain loses a thousandth a day: 0.999 and 0.998001 of 100,000.00.
    assert [_worth(_valued(), kind="grain", days=days).value_minor for days in (1, 2)] == [9_990_000, 9_980_010]


def test_the_latest_valuation_by_then_counts_and_of_one_day_the_lowest() -> None:
    series = (_valued(10_000), _valued(9_000, days=2), _valued(9_500, days=2, source="appraiser"), _valued(1, days=9))
    for order in (series, series[::-1]):
        assert _worth(*order, kind="metal", days=2).value_minor == 9_000_000
        assert _worth(*order, kind="metal", days=1).valued_date == DAY


@pytest.mark.parametrize(
    ("appraisal", "reasons"),
    [
        (_worth(), ("not_valued",)),
        (_worth(_valued(days=3)), ("not_valued",)),
        (_worth(_valued(), days=61), ("valuation_stale",)),
        (_worth(_valued(), condition="damaged"), ("condition_damaged",)),
        (_worth(_valued(), seen=Observed(in_place=False, place_at=NOON)), ("out_of_place",)),
        (_worth(_valued(), kind="chilled", seen=Observed(excursion_date=DAY)), ("out_of_bounds",)),
    ],
)
def test_nothing_is_lent_on_goods_with_which_something_is_wrong(appraisal: Appraisal, reasons: tuple[str, ...]) -> None:
    assert (appraisal.eligible_minor, appraisal.reasons) == (0, reasons)


def test_less_measured_than_pledged_counts_as_measured_within_the_tolerance_as_pledged() -> None:
    def measured(milli: int) -> Appraisal:
        return _worth(_valued(), seen=Observed(measured_milli=milli, measured_at=NOON))

    assert (measured(995_000).eligible_minor, measured(995_000).reasons) == (8_000_000, ())
    assert (measured(994_999).eligible_minor, measured(994_999).reasons) == (7_959_992, ("quantity_short",))
    assert measured(0).eligible_minor == 0
    assert measured(2_000_000).eligible_minor == 8_000_000
    # What they are worth is told of what is pledged, whatever is missing.
    assert measured(0).value_minor == 10_000_000


def test_goods_that_were_outside_of_their_bounds_count_less_until_they_are_valued_on_a_later_day() -> None:
    spoilt = Observed(excursion_date=DAY)
    assert _worth(_valued(), seen=spoilt).eligible_minor == 4_000_000
    assert _worth(_valued(), _valued(8_000, days=1), seen=spoilt, days=1).reasons == ()


def test_what_a_later_version_of_the_policy_drops_carries_nothing_and_stops_nobody() -> None:
    dropped = replace(RULES, classes={}, version="goods/2027-01")
    found = appraise(Lot("metal", "good", 1000), [_valued()], Observed(), dropped, on=DAY)
    assert found == Appraisal(0, 0, ("not_in_policy",), DAY, "goods/2027-01")


def test_a_class_that_the_policy_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(UnknownGoodsClass, match="chilled"):
        RULES.of("furniture")


def test_readings_are_judged_by_bounds_and_place() -> None:
    cold, warm = (Reading("d", NOON, temperature=degrees) for degrees in (400, 801))
    assert (WATCH.bounds.broken_by(cold), WATCH.bounds.broken_by(warm)) == (False, True)
    near = Reading("d", NOON, latitude=31_231_400, longitude=121_473_700)
    far = Reading("d", NOON, latitude=31_330_400, longitude=121_473_700)
    assert (WATCH.in_place(near), WATCH.in_place(far), WATCH.in_place(cold)) == (True, False, None)
    assert round(metres_between(SHANGHAI, (31_330_400, 121_473_700))) == 11_119
    agreed = WATCH.bounds.within(bounds_of({"humidity": ["10", "60.5"]}))
    assert agreed == Bounds(temperature=(0, 800), humidity=(1000, 6050))
    with pytest.raises(InvalidReading, match="least above"):
        bounds_of({"temperature": ["8", "0"]})


def test_of_readings_the_last_counts_of_one_instant_the_worse_and_an_excursion_is_remembered() -> None:
    later = NOON + timedelta(hours=1)
    readings = [
        Reading("a", NOON, quantity_milli=900, temperature=900),
        Reading("b", NOON, quantity_milli=800, latitude=31_230_400, longitude=121_473_700),
        Reading("c", NOON, latitude=32_000_000, longitude=121_473_700),
        Reading("a", later, temperature=500),
    ]
    for order in (readings, readings[::-1]):
        assert observe(Observed(), order, WATCH) == Observed(
            800, NOON, in_place=False, place_at=NOON, excursion_date=DAY
        )
    moved_back = Reading("c", later, latitude=31_230_400, longitude=121_473_700)
    assert observe(observe(Observed(), readings, WATCH), [moved_back], WATCH).in_place is True


def test_readings_come_as_json_ndjson_or_csv_and_each_bad_one_is_refused_alone() -> None:
    wanted = Reading("T-1", NOON, temperature=-1850, quantity_milli=12_500)
    row = '{"device": "T-1", "measured_at": "2026-03-02T20:00:00+08:00", "temperature": -18.5, "quantity": "12.5"}'
    assert list(read_json(f'{{"readings": [{row}]}}'.encode())) == [wanted]
    assert list(read_lines(f"{row}\n\n{row}\n".encode())) == [wanted, wanted]
    table = "device,measured_at,quantity,temperature\nT-1,2026-03-02T12:00:00Z,12.5,-18.5\n,x,1,2\n"
    first, second = read_csv(table.encode())
    assert first == wanted
    assert isinstance(second, InvalidReading)
    assert second.field == "device"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("[]", "reading"),
        ("{", "reading"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "colour": "red"}', "reading"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z"}', "reading"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00", "humidity": 5}', "measured_at"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "humidity": 101}', "humidity"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "humidity": true}', "humidity"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "temperature": NaN}', "temperature"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "temperature": 1e9}', "temperature"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "latitude": 31}', "place"),
        ('{"device": "T", "measured_at": "2026-03-02T12:00:00Z", "quantity": "-1"}', "quantity"),
        ('{"device": "\\u0000", "measured_at": "2026-03-02T12:00:00Z", "quantity": "1"}', "device"),
    ],
)
def test_a_reading_that_says_nothing_is_refused_with_its_field(row: str, field: str) -> None:
    (found,) = read_lines(row.encode())
    assert isinstance(found, InvalidReading)
    assert found.field == field


@pytest.mark.parametrize("data", [b"[]", b'{"readings": {}}', b"{", b"\xff"])
def test_what_is_no_document_of_readings_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        list(read_json(data))


def test_quantities_are_exact_to_the_thousandth() -> None:
    assert [read_quantity(text) for text in ("1", "0.001", "12.50")] == [1000, 1, 12_500]
    assert [quantity_text(milli) for milli in (1000, 1, 12_500, 0)] == ["1", "0.001", "12.5", "0"]
    for text in ("0", "0.000", "-1", "1.2345", "1e3", "", "١"):
        with pytest.raises(UnreadableDocument):
            read_quantity(text)


def test_repayment_releases_in_proportion_and_less_of_goods_that_fell() -> None:
    half = Repaid(lent_minor=600, outstanding_minor=300, carried_minor=1000)
    facts = {"quantity_milli": 100_000, "released_milli": 0, "policy": "proportional"}
    assert released(**facts, eligible_minor=1000, repaid=half) == 50_000  # type: ignore[arg-type] # facts of three types
    # The goods carry 800 now; 500 must stay for what is open, so three eighths go.
    assert released(**facts, eligible_minor=800, repaid=half) == 37_500  # type: ignore[arg-type] # as above
    assert released(**facts, eligible_minor=400, repaid=half) == 0  # type: ignore[arg-type] # as above
    assert released(**{**facts, "policy": "at_the_end"}, eligible_minor=1000, repaid=half) == 0  # type: ignore[arg-type] # as above
    # A reversal takes nothing back.
    kept = {**facts, "released_milli": 50_000}
    assert released(**kept, eligible_minor=500, repaid=replace(half, outstanding_minor=600)) == 50_000  # type: ignore[arg-type] # as above
    assert released(**facts, eligible_minor=0, repaid=replace(half, outstanding_minor=0)) == 0  # type: ignore[arg-type] # as above


def test_a_receipt_goes_from_registered_to_pledged_and_back_and_nowhere_else() -> None:
    assert advance(goods_id="g", state="registered", asked=Step.AGREE).state is State.AGREED  # type: ignore[union-attr] # it was executed
    assert advance(goods_id="g", state="rejected", asked=Step.REJECT) == AlreadyApplied()
    for state in ("assigned", "financed", "registered", "released"):
        with pytest.raises(NotPossible):
            advance(goods_id="g", state=state, asked=Step.GIVE_BACK)


def test_r8_the_registry_names_goods_by_warehouse_and_number_whoever_holds_the_receipt() -> None:
    assert receipt_asset(warehouse_key="yangshan 3", number_key="wr1") == "goods/yangshan 3/wr1"
