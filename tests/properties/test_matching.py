"""Three-way match of order, delivery and invoice: what holds whatever they say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.matching import (
    Before,
    Match,
    Ordered,
    Tolerances,
    delivered_by_line,
    match,
    took,
)
from services.receivables.domain.trade_lines import TradeLine

EXACT = Tolerances(0, 0, 0, needs_delivery=False)
RANK = {"unmatched": 0, "partial": 1, "matched": 2}
quantities = st.decimals(min_value=1, max_value=10_000, places=3, allow_nan=False)
prices = st.decimals(min_value=0, max_value=10_000, places=4, allow_nan=False)
shares = st.integers(0, 200_000)
tolerances = st.builds(Tolerances, shares, shares, shares, needs_delivery=st.booleans())


@st.composite
def orders(draw: st.DrawFn) -> Ordered:
    lines = tuple(_line(str(nth), draw(quantities), draw(prices)) for nth in range(1, draw(st.integers(1, 5)) + 1))
    return Ordered(lines, sum(each.amount_minor or 0 for each in lines), "CNY")


@st.composite
def invoices(draw: st.DrawFn, ordered: Ordered) -> list[TradeLine]:
    """Lines that mean lines of the order, or none, in any quantity and at any price; one may come twice."""
    numbers = st.sampled_from([*(each.line_id for each in ordered.lines), "not there"])
    return [
        replace(_line(f"i{nth}", draw(quantities), draw(prices)), order_line=draw(numbers), item="")
        for nth in range(draw(st.integers(1, 6)))
    ]


def _line(number: str, quantity: Decimal, price: Decimal) -> TradeLine:
    return TradeLine(number, f"item-{number}", "", quantity, "C62", price, int(quantity * price * 100))


def _citing(line: TradeLine, quantity: Decimal) -> TradeLine:
    price = line.price or Decimal(0)
    return TradeLine(line.line_id, "", "", quantity, "C62", price, int(quantity * price * 100), line.line_id)


def _delivery(lines: tuple[TradeLine, ...]) -> list[TradeLine]:
    return [TradeLine(each.line_id, each.item, "", each.quantity, each.unit) for each in lines]


def _match(ordered: Ordered, delivered: dict[str, Decimal] | None, lines: list[TradeLine], of: Tolerances) -> Match:
    return match(ordered, delivered, lines=lines, amount_minor=_sum(lines), currency="CNY", tolerances=of)


def _sum(lines: list[TradeLine]) -> int:
    return sum(each.amount_minor or 0 for each in lines)


@given(ordered=orders(), within=tolerances)
def test_what_was_ordered_and_delivered_and_is_invoiced_alike_matches(ordered: Ordered, within: Tolerances) -> None:
    delivered = delivered_by_line(ordered, _delivery(ordered.lines))
    lines = [_citing(each, each.quantity) for each in ordered.lines]
    found = _match(ordered, delivered, lines, within)
    assert (found.status, found.reasons) == ("matched", ())
    assert [(each.status, each.order_line) for each in found.lines] == [
        ("matched", each.line_id) for each in ordered.lines
    ]


@given(st.data())
def test_wider_tolerances_and_more_deliveries_never_make_a_match_worse(data: st.DataObject) -> None:
    ordered = data.draw(orders())
    lines, narrow = data.draw(invoices(ordered)), data.draw(tolerances)
    more = [data.draw(shares) for _ in range(3)]
    wide = Tolerances(
        narrow.quantity + more[0], narrow.price + more[1], narrow.amount + more[2], needs_delivery=narrow.needs_delivery
    )
    some = {each.line_id: data.draw(st.decimals(0, 10_000, places=3)) for each in ordered.lines}
    all_ = {key: value + data.draw(quantities) for key, value in some.items()}
    least = _match(ordered, some, lines, narrow)
    for better in (_match(ordered, some, lines, wide), _match(ordered, all_, lines, narrow)):
        assert RANK[better.status] >= RANK[least.status]
        assert all(
            RANK[after.status] >= RANK[before.status] for before, after in zip(least.lines, better.lines, strict=True)
        )


@given(st.data())
def test_in_which_order_the_lines_come_makes_no_difference(data: st.DataObject) -> None:
    ordered = data.draw(orders())
    lines, within = data.draw(invoices(ordered)), data.draw(tolerances)
    delivered = {each.line_id: data.draw(quantities) for each in ordered.lines}
    turned = data.draw(st.permutations(lines))
    first, second = _match(ordered, delivered, lines, within), _match(ordered, delivered, turned, within)
    assert first.status == second.status
    assert {each.line_id: each for each in first.lines} == {each.line_id: each for each in second.lines}


@given(st.data())
def test_invoices_that_match_one_after_another_take_no_more_than_was_ordered_or_delivered(data: st.DataObject) -> None:
    ordered = data.draw(orders())
    delivered = {each.line_id: data.draw(quantities) for each in ordered.lines}
    before, matched = Before({}), dict.fromkeys(delivered, Decimal(0))
    for _ in range(data.draw(st.integers(1, 5))):
        lines = [_citing(each, data.draw(quantities)) for each in ordered.lines]
        amount = _sum(lines)
        found = match(
            ordered, delivered, lines=lines, amount_minor=amount, currency="CNY", tolerances=EXACT, before=before
        )
        if found.status == "matched":
            for line in lines:
                matched[line.order_line] += line.quantity
        before = took(ordered, before, lines=lines, amount_minor=amount)
    for each in ordered.lines:
        assert matched[each.line_id] <= min(each.quantity, delivered[each.line_id])


@given(ordered=orders(), over=st.decimals(min_value=Decimal("0.001"), max_value=100, places=3))
def test_one_unit_above_the_order_is_told_by_its_line(ordered: Ordered, over: Decimal) -> None:
    delivered = delivered_by_line(ordered, _delivery(ordered.lines))
    lines = [_citing(each, each.quantity) for each in ordered.lines]
    lines[0] = _citing(ordered.lines[0], ordered.lines[0].quantity + over)
    found = _match(ordered, delivered, lines, replace(EXACT, amount=10**9))
    assert found.lines[0].reasons == ("quantity_above_order", "delivered_in_part")
    assert all(each.status == "matched" for each in found.lines[1:])
    assert found.status == ("partial" if len(lines) > 1 else "unmatched")
