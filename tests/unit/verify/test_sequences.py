"""How the sequences of one aggregate stand to each other, and what a result counts."""

from __future__ import annotations

import pytest

from tributary.verify.result import Result
from tributary.verify.topics import Place, Sequences


@pytest.mark.parametrize(
    ("seen", "places"),
    [
        ([1, 2, 3], ["next", "next", "next"]),
        ([1, 2, 1, 2, 3], ["next", "next", "copy", "copy", "next"]),
        ([2, 3], ["ahead", "next"]),
        ([1, 3, 2, 4], ["next", "ahead", "late", "next"]),
        ([1, 3, 3, 4, 2, 5], ["next", "ahead", "copy", "next", "late", "next"]),
        ([1, 3, 5], ["next", "ahead", "ahead"]),
    ],
)
def test_one_gap_is_noticed_once_and_copies_are_told_apart(seen: list[int], places: list[str]) -> None:
    sequences = Sequences()
    assert [sequences.see(each) for each in seen] == [Place(place) for place in places]


def test_what_was_seen_is_known_and_nothing_else() -> None:
    sequences = Sequences()
    for each in (1, 2, 5):
        sequences.see(each)
    assert [each in sequences for each in range(1, 7)] == [True, True, False, False, True, False]


def test_what_is_in_flight_is_a_violation_only_after_a_minute() -> None:
    result = Result()
    result.fly("an event was not sent", age_s=59.9)
    assert (result.violations, result.flying) == (0, 1)
    result.fly("an event was not sent", age_s=61.2)
    assert (result.violations, result.flying, result.oldest_s) == (1, 2, 61.2)
    assert result.examples == ["an event was not sent for 61 s"]


def test_examples_are_few_however_many_violations_there_are() -> None:
    result = Result()
    for n in range(100):
        result.violate(f"the {n}th")
    assert result.wire()["violations"] == 100
    assert result.wire()["examples"] == ["the 0th", "the 1th", "the 2th", "the 3th", "the 4th"]
