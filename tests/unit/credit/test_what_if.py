"""What if: which drawdowns freeze or are trapped, what firms would lack, what the bank may expect to lose."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.credit.domain.risk_weights import RiskWeights, rescaled, rounded_loss
from services.credit.domain.what_if import Line, Open, Side, expected_losses, frozen, liquidity, trapped
from services.credit.operations.risk_weights import risk_weights

TODAY = date(2026, 3, 2)
WEIGHTS = risk_weights(on=TODAY)
LINE = Line("l", "p", "firm", "upstream", 1, 1000, 1000, 400, 0, drawable=True, reasons=())
CLOSED = LINE._replace(available=0, drawable=False, reasons=("sme_suspended",))
SHORT = LINE._replace(cap=500, available=0, shortfall=100)
USED = Open("u", "l", "p", "firm", "anchor", False, True, 600, 600, TODAY + timedelta(days=20), ("group/a", "line/l"))  # noqa: FBT003 - it does not wait
WAITING = replace(USED, drawdown_id="w", waits=True, exposure=70, used=0)


def side(line: Line, *, short: tuple[str, ...] = (), failed: tuple[str, ...] = (), **grades: str) -> Side:
    return Side({line.line_id: line}, frozenset(short), grades, frozenset(failed))


def expected_loss(drawdowns: list[Open], of: Side, secured: dict[str, dict[str, int]] | None = None) -> int:
    return rounded_loss(sum(expected_losses(drawdowns, of, WEIGHTS, secured or {}).values()))


def test_what_waits_freezes_when_its_line_closes_or_its_path_falls_short_or_its_obligor_fails() -> None:
    cases = {
        ("sme_suspended",): side(CLOSED),
        ("short:group/a",): side(LINE, short=("group/a", "group/of others")),
        ("obligor_failed",): side(LINE, failed=("anchor",)),
    }
    for reasons, after in cases.items():
        (found,) = frozen([USED, WAITING], before=side(LINE), after=after)
        assert (found.drawdown, found.amount, found.reasons) == (WAITING, 70, reasons)


def test_what_was_frozen_or_trapped_before_is_not_the_changes_doing() -> None:
    assert frozen([WAITING], before=side(CLOSED), after=side(CLOSED, failed=("anchor",))) == []
    assert trapped([USED], before=side(SHORT), after=side(SHORT, failed=("firm",))) == []


def test_what_is_used_is_trapped_with_failing_firms_and_on_lines_short_of_their_use() -> None:
    cases = {
        ("firm_failed",): side(CLOSED, failed=("firm",)),
        ("obligor_failed",): side(LINE, failed=("anchor",)),
        ("line_short",): side(SHORT),
    }
    for reasons, after in cases.items():
        (found,) = trapped([USED, WAITING], before=side(LINE), after=after)
        assert (found.drawdown, found.amount, found.reasons) == (USED, 600, reasons)


def test_a_gap_is_what_a_firm_could_draw_and_was_promised_less_what_is_left() -> None:
    after = side(CLOSED)
    stuck = frozen([WAITING], before=side(LINE), after=after)
    (gap,) = liquidity([USED, WAITING], before=side(LINE), after=after, stuck=stuck, today=TODAY)
    assert (gap.could_draw_before, gap.could_draw_after, gap.frozen, gap.gap) == (400, 0, 70, 470)
    assert (gap.drawn, gap.cannot_roll_soon, gap.cannot_roll_later) == (600, 600, 600)


@pytest.mark.parametrize(("days", "soon", "later"), [(30, 100, 100), (31, 0, 100), (91, 0, 0)])
def test_a_line_short_of_its_use_rolls_what_falls_due_less_what_it_is_short(days: int, soon: int, later: int) -> None:
    due = replace(USED, maturity_date=TODAY + timedelta(days=days))
    (gap,) = liquidity([due], before=side(LINE), after=side(SHORT), stuck=[], today=TODAY)
    assert (gap.cannot_roll_soon, gap.cannot_roll_later) == (soon, later)


def test_expected_loss_is_use_by_the_obligors_default_by_what_recourse_leaves() -> None:
    million = replace(USED, used=1_000_000_00)
    assert expected_loss([million], side(LINE, anchor="A")) == 1_000_000_00 * 15 * 30 // 10_000 // 100
    bought = replace(million, is_loan=False)
    assert expected_loss([bought], side(LINE, anchor="A")) == 1_000_000_00 * 15 * 45 // 10_000 // 100
    own_debt = replace(million, firm_id="anchor")
    assert expected_loss([own_debt], side(LINE, anchor="A")) == expected_loss([bought], side(LINE, anchor="A"))


def test_an_obligor_that_fails_defaults_for_certain_and_recourse_to_a_firm_that_fails_is_worth_nothing() -> None:
    assert expected_loss([USED], side(LINE, failed=("anchor",), anchor="AAA")) == 600 * 30 // 100
    assert expected_loss([USED], side(LINE, failed=("anchor", "firm"), anchor="AAA")) == 600 * 45 // 100


def test_what_covers_secure_is_lost_at_the_share_of_their_kind_and_the_rest_at_the_usual_one() -> None:
    loan = replace(USED, used=1_000_000_00)
    here = side(LINE, anchor="B")
    covered = expected_loss([loan], here, {"u": {"building": 400_000_00, "guarantee": 100_000_00}})
    assert covered == (400_000_00 * 10 + 100_000_00 * 15 + 500_000_00 * 30) * 5 // 100 // 100
    assert covered < expected_loss([loan], here)
    assert expected_loss([loan], here, {"u": {"building": 9_000_000_00}}) == 1_000_000_00 * 10 * 5 // 100 // 100
    assert expected_loss([loan], here, {"u": {"a kind of tomorrow": 400_000_00}}) == expected_loss([loan], here)


def test_what_several_lines_can_draw_is_no_more_than_what_all_of_them_share_leaves() -> None:
    other = LINE._replace(line_id="k", programme_id="q", available=300)
    left = {"l": {"group/a": 450, "line/l": 400}, "k": {"group/a": 450, "line/k": 300}}
    sides = Side({"l": LINE, "k": other}, frozenset(), {}, shared=lambda line: left[line.line_id])
    assert sides.draws(["l", "k"]) == 450
    assert sides.draws(["l"]) == 400
    apart = replace(sides, shared=lambda _: {})
    assert apart.draws(["l", "k"]) == 700
    closed = replace(sides, lines={"l": CLOSED, "k": other})
    assert closed.draws(["l", "k"]) == 300


def test_expected_loss_is_rounded_once() -> None:
    tiny = [replace(USED, used=1)] * 1000
    assert expected_loss(tiny, side(LINE, anchor="AAA")) == 0
    assert expected_loss(tiny, side(LINE, anchor="B")) == 15


def test_notches_go_down_and_up_the_policys_grades_and_end_at_its_ends() -> None:
    grades = {each.grade: each for each in WEIGHTS.grades}
    assert WEIGHTS.moved(grades["A"], notches=2).grade == "BB"
    assert WEIGHTS.moved(grades["A"], notches=-1).grade == "AA"
    assert WEIGHTS.moved(grades["CCC"], notches=5).grade == "D"
    assert WEIGHTS.moved(grades["AA"], notches=-5).grade == "AAA"


def test_a_cap_follows_its_grade_rounded_down_and_nothing_becomes_nothing() -> None:
    assert rescaled(1_000_001, before=700_000, after=300_000) == 428_571
    assert rescaled(0, before=0, after=300_000) == 0


def test_the_policys_grades_are_those_of_the_raters_each_worse_than_the_one_before() -> None:
    assert [each.grade for each in WEIGHTS.grades] == ["AAA", "AA", "A", "BBB", "BB", "B", "CCC", "D"]
    for name in ("cap", "multiplier", "default"):
        values = [getattr(each, name) for each in WEIGHTS.grades]
        assert values == sorted(values, reverse=name != "default")
    assert isinstance(WEIGHTS, RiskWeights)
    assert WEIGHTS.loss_with_recourse < WEIGHTS.loss_without_recourse
    assert set(WEIGHTS.loss_secured) == {"building", "instrument", "equipment", "guarantee"}
    assert max(WEIGHTS.loss_secured.values()) < WEIGHTS.loss_with_recourse
