"""A hold takes every node of its path or none (R10, R12), and which nodes those are (DOMAIN §3)."""

from __future__ import annotations

import pytest

from services.credit.domain.limits import LimitExceeded, Move, Node, available_on, binding, hold
from services.credit.domain.paths import Level, Place, Step, path_of
from shared.values.money import Money

PATH = (Step(Level.GROUP, "group"), Step(Level.PROGRAMME, "programme"), Step(Level.LINE, "line"))


def _nodes(*, group: int = 10_000, programme: int = 10_000, line: int = 5_000) -> dict[str, Node]:
    sanctioned = {"group": group, "programme": programme, "line": line}
    return {name: Node(name, amount, 0, 0) for name, amount in sanctioned.items()}


def _cny(minor: int) -> Money:
    return Money(minor, "CNY")


def test_r10_of_six_holds_of_1000_on_5000_exactly_five_succeed() -> None:
    nodes, outcomes = _nodes(), []
    for _ in range(6):
        try:
            hold(nodes, PATH, exposure=_cny(1_000))
            outcomes.append("held")
        except LimitExceeded as refused:
            outcomes.append(refused.binding_node)
    assert outcomes == ["held"] * 5 + ["line"]
    assert {node.held for node in nodes.values()} == {5_000}


def test_a_refusal_names_the_node_that_binds_most_and_holds_nowhere() -> None:
    nodes = _nodes(group=700, programme=600, line=5_000)
    with pytest.raises(LimitExceeded) as refused:
        hold(nodes, PATH, exposure=_cny(1_000))
    assert (refused.value.binding_node, refused.value.available) == ("programme", _cny(600))
    assert {node.held for node in nodes.values()} == {0}


def test_between_equals_the_node_nearest_to_the_line_binds() -> None:
    assert binding(_nodes(group=5, programme=5, line=5), PATH).node_id == "line"


def test_what_a_line_can_draw_is_the_minimum_over_its_path() -> None:
    nodes = _nodes(programme=4_000)
    nodes["group"].utilised, nodes["group"].held = 6_000, 500
    assert available_on(nodes, PATH) == 3_500


def test_r12_a_limit_below_its_use_has_nothing_available_and_a_shortfall() -> None:
    node = Node("line", 100, 80, 70)
    assert (node.available, node.shortfall) == (0, 50)
    with pytest.raises(LimitExceeded):
        hold({"line": node}, PATH[2:], exposure=_cny(1))


def test_a_node_that_carries_a_share_is_asked_for_its_share_only() -> None:
    path = (Step(Level.GROUP, "group", 300_000), Step(Level.LINE, "line"))
    nodes = _nodes(group=30)
    hold(nodes, path, exposure=_cny(101))
    assert (nodes["group"].held, nodes["line"].held) == (30, 101)
    assert Move(held_before=101, utilised_after=101).changes(path) == {"group": (-30, 30), "line": (-101, 101)}


def _place(*, direction: str = "upstream", recourse: bool = True, support: int = 0, tier: int = 1) -> Place:
    return Place("l", "p", "sme", "head", direction, tier, "CNY", recourse, support)


@pytest.mark.parametrize(
    ("place", "obligor", "expected"),
    [
        (
            _place(),
            "anchor",
            "group/head/CNY obligor/anchor/CNY programme/p direction/p/upstream tier/p/upstream/1 sme/sme/CNY line/l",
        ),
        (
            _place(recourse=False, tier=2),
            "anchor",
            "group/head/CNY obligor/anchor/CNY programme/p direction/p/upstream tier/p/upstream/2 line/l",
        ),
        (
            _place(direction="downstream", support=250_000),
            "sme",
            "group/head/CNY obligor/sme/CNY programme/p direction/p/downstream tier/p/downstream/1 line/l",
        ),
        (
            _place(direction="downstream"),
            "sme",
            "obligor/sme/CNY programme/p direction/p/downstream tier/p/downstream/1 line/l",
        ),
    ],
)
def test_a_path_is_that_of_the_domain_root_first(place: Place, obligor: str, expected: str) -> None:
    path = path_of(place, obligor_id=obligor)
    assert [step.node_id for step in path] == expected.split()
    assert [step.level for step in path] == sorted(step.level for step in path)
    group = next((step.share for step in path if step.level is Level.GROUP), None)
    assert group == (1_000_000 if place.direction == "upstream" else place.anchor_support or None)
