"""S26: what a firm lacks week by week, and which drawdowns close it at the least cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from services.credit.domain.cash_needs import Flow, Instrument, Mix, cheapest_mix, forecast
from shared.values.periods import DayCount

DAY = date(2026, 3, 2)
INVOICE = Instrument(
    name="invoice",
    most_minor=8_000_000,
    exposure_minor=8_000_000,
    rate=60_000,
    fee_rate=1_000,
    form="loan",
    day_count=DayCount.ACT_360,
    shortest_days=1,
    longest_days=180,
    limits={"line": 1_000_000},
    repaid_on=DAY + timedelta(days=70),
    matures_on=DAY + timedelta(days=75),
)
CREDIT = replace(INVOICE, name="credit", rate=90_000, shortest_days=7, repaid_on=None, matures_on=None, revolving=True)


def _day(week: int) -> date:
    return DAY + timedelta(days=7 * week)


def _mix(flows: list[Flow], *instruments: Instrument, line: int = 10_000_000, opening: int = 0, weeks: int = 13) -> Mix:
    return cheapest_mix(
        flows,
        instruments,
        available={"line": line},
        start=DAY,
        weeks=weeks,
        opening_minor=opening,
        minimum_minor=0,
    )


def test_a_week_s_closing_is_the_next_one_s_opening_and_the_gap_is_what_lacks_of_the_minimum() -> None:
    flows = [
        Flow(DAY - timedelta(days=9), 100),
        Flow(DAY + timedelta(days=6), -40),
        Flow(_day(1), -80),
        Flow(_day(2), 5),
    ]
    first, second = forecast(flows, start=DAY, weeks=2, opening_minor=10, minimum_minor=20)
    assert (first.opening, first.inflow, first.outflow, first.closing, first.gap) == (10, 100, 40, 70, 0)
    assert (second.start, second.opening, second.outflow, second.closing, second.gap) == (_day(1), 70, 80, -10, 30)


def test_where_nothing_lacks_nothing_is_drawn() -> None:
    found = _mix([Flow(_day(3), -1_000)], INVOICE, CREDIT, opening=1_000)
    assert (found.draws, found.cost_minor, found.uncovered_minor) == ((), 0, 0)


def test_a_gap_is_closed_when_it_comes_and_not_before() -> None:
    found = _mix([Flow(_day(4), -1_000_000), Flow(_day(10), 5_000_000)], INVOICE)
    (draw,) = found.draws
    assert (draw.week, draw.on, draw.repaid_on) == (4, _day(4), INVOICE.repaid_on)
    assert 1_000_000 <= draw.paid_out <= 1_000_000 + 5
    assert draw.interest == round(draw.principal * 0.06 * 47 / 360)
    assert found.uncovered_minor == 0


def test_a_short_gap_takes_the_dearer_credit_of_a_week_rather_than_the_cheaper_of_ten() -> None:
    flows = [Flow(DAY, -1_000_000), Flow(_day(1), 3_000_000)]
    (draw,) = _mix(flows, INVOICE, replace(CREDIT, fee_rate=0)).draws
    assert (draw.instrument, draw.repaid_on) == ("credit", _day(1))
    (draw,) = _mix(flows, INVOICE, replace(CREDIT, fee_rate=20_000)).draws
    assert draw.instrument == "invoice"


def test_what_one_instrument_cannot_carry_the_next_cheapest_does() -> None:
    found = _mix([Flow(DAY, -9_000_000), Flow(_day(9), 20_000_000)], INVOICE, CREDIT)
    assert [each.instrument for each in found.draws] == ["credit", "invoice"]
    assert next(each.principal for each in found.draws if each.instrument == "invoice") == 8_000_000
    assert found.uncovered_minor == 0


def test_a_shared_limit_bounds_what_is_open_at_a_time_and_what_is_repaid_is_free_again() -> None:
    flows = [Flow(DAY, -900_000), Flow(_day(2), 950_000), Flow(_day(4), -900_000), Flow(_day(6), 999_000)]
    found = _mix(flows, CREDIT, line=1_000_000)
    assert [(each.on, each.repaid_on) for each in found.draws] == [(DAY, _day(2)), (_day(4), _day(6))]
    assert found.uncovered_minor == 0


def test_what_does_not_revolve_is_drawn_once() -> None:
    flows = [Flow(DAY, -900_000), Flow(_day(2), 950_000), Flow(_day(4), -900_000), Flow(_day(6), 999_000)]
    again = _mix(flows, CREDIT, line=1_000_000)
    once = _mix(flows, replace(CREDIT, most_minor=1_000_000, exposure_minor=1_000_000, revolving=False))
    assert sum(each.principal for each in once.draws) <= 1_000_000 < sum(each.principal for each in again.draws)
    # Kept from the first gap to the second, it costs the weeks between.
    assert once.cost_minor > again.cost_minor


def test_a_purchase_takes_its_face_from_the_limits_and_its_discount_before() -> None:
    bought = replace(INVOICE, form="purchase", exposure_minor=10_000_000)
    found = _mix([Flow(DAY, -9_000_000)], bought, line=5_000_000)
    (draw,) = found.draws
    assert draw.principal == 4_000_000
    assert draw.paid_out == draw.principal - draw.fee - draw.interest
    assert draw.repaid == draw.principal
    assert found.uncovered_minor == 9_000_000 - draw.paid_out + draw.repaid


def test_what_nothing_can_close_stays_open_and_is_said() -> None:
    found = _mix([Flow(DAY, -9_000_000), Flow(_day(9), 20_000_000)], INVOICE)
    (draw,) = found.draws
    assert draw.principal == 8_000_000
    assert found.uncovered_minor == 9_000_000 - draw.paid_out


def test_an_instrument_that_must_run_long_is_drawn_early_where_it_could_not_be_drawn_later() -> None:
    long = replace(INVOICE, shortest_days=60)
    found = _mix([Flow(_day(4), -1_000_000), Flow(_day(9), 5_000_000)], long)
    assert [each.week for each in found.draws] == [2]
    assert found.uncovered_minor == 0
