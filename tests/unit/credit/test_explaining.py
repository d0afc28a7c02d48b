"""The derivation of a line in words: each node, each number, in both languages."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from services.credit.domain.blocks import BARS
from services.credit.domain.explaining import Base, Derivation, explain
from services.credit.domain.limits import Node
from services.credit.domain.paths import Level, Step
from services.credit.queries.comparing import JUDGED

DERIVED = Derivation(
    name="Huai River Castings",
    currency="CNY",
    direction="upstream",
    tier=2,
    volume=60_000,
    weight=30_000,
    floor=0,
    ceiling=45_000,
    bounds={"rating_cap": 45_000, "quota": 90_000},
    reserved=20_000,
    cap=20_000,
    available=10_000,
    binding="line/l",
    path=(Step(Level.GROUP, "group/a/CNY", 300_000), Step(Level.LINE, "line/l")),
    nodes={"group/a/CNY": Node("group/a/CNY", 5_000, 6_000, 0), "line/l": Node("line/l", 20_000, 4_000, 6_000)},
    own=frozenset(Level),
    reasons=(),
    base=None,
)


def test_each_node_is_a_sum_that_a_reader_can_check() -> None:
    assert explain(DERIVED, language="en") == [
        "Huai River Castings can draw CNY 100.00: the line itself binds.",
        (
            "Trade of CNY 600.00 reaches it on tier 2 (upstream) and weighs CNY 300.00 there; propagation reserves "
            "CNY 200.00 between floor CNY 0.00 and ceiling CNY 450.00 (least of rating cap CNY 450.00, quota "
            "CNY 900.00): cap CNY 200.00."
        ),
        (
            "The anchor group's limit (carries 0.300000 of each drawdown): sanctioned CNY 50.00 − held CNY 60.00 − "
            "utilised CNY 0.00 = available CNY 0.00, short by CNY 10.00."
        ),
        "The line itself: sanctioned CNY 200.00 − held CNY 40.00 − utilised CNY 60.00 = available CNY 100.00.",
    ]


def test_the_chinese_text_says_the_same_in_the_words_of_the_field() -> None:
    told = explain(DERIVED, language="zh")
    assert told[0] == "Huai River Castings当前可用额度为 CNY 100.00，由本授信额度约束。"
    assert told[3] == "本授信额度：核定额度 CNY 200.00 − 已占用 CNY 40.00 − 已使用 CNY 60.00 = 可用 CNY 100.00。"
    assert "第 2 层（上游）" in told[1]
    assert "缺口 CNY 10.00" in told[2]


def test_r23_of_what_others_share_only_what_is_left_is_told() -> None:
    (_, _, group, line) = explain(replace(DERIVED, own=frozenset({Level.LINE})), language="en")
    assert group == "The anchor group's limit (carries 0.300000 of each drawdown): available CNY 0.00."
    assert "utilised" in line


@pytest.mark.parametrize(
    ("language", "base", "barred"),
    [
        (
            "en",
            "2 free documents, eligible CNY 1,000.00 × advance rate 0.800000, carry CNY 800.00 of new principal.",
            "It cannot be drawn now: unrated, sme suspended.",
        ),
        (
            "zh",
            "未被占用的单据 2 份，合格金额 CNY 1,000.00 × 融资比例 0.800000，可支持新增本金 CNY 800.00。",
            "目前不可提款：未评级、企业已暂停。",
        ),
    ],
)
def test_documents_and_what_bars_a_line_are_told_last(language: str, base: str, barred: str) -> None:
    derived = replace(DERIVED, base=Base(2, 100_000, 80_000, 800_000), reasons=("unrated", "sme_suspended"))
    assert explain(derived, language="zh" if language == "zh" else "en")[-2:] == [base, barred]


def test_a_reason_that_nobody_translated_is_still_told() -> None:
    assert explain(replace(DERIVED, reasons=("brand_new",)), language="zh")[-1] == "目前不可提款：brand new。"


def test_every_node_and_every_reason_has_its_words_in_chinese() -> None:
    path = tuple(Step(level, f"{level.name}/x") for level in Level)
    nodes = {step.node_id: Node(step.node_id, 5_000, 0, 0) for step in path}
    reasons = (*JUDGED, *BARS.values(), "anchor_unrated", "anchor_unknown", "no_product", "no_registered_cover")
    derived = replace(DERIVED, name="", path=path, nodes=nodes, binding=path[0].node_id, reasons=reasons)
    told = "\n".join(explain(derived, language="zh")).replace("CNY", "")
    assert re.findall("[A-Za-z_]+", told) == []
    english = "\n".join(explain(derived, language="en"))
    assert "_" not in english
    assert len(re.findall("available CNY", english)) == len(Level)
