"""The planted bugs still fit the code, and the tests that must notice them exist (`make mutations` runs them)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutations.planted import PLANTED, Planted

_ROOT = Path(__file__).resolve().parents[2]
_FEWEST = 20


def test_there_are_enough_and_no_two_are_called_the_same() -> None:
    names = [planted.name for planted in PLANTED]
    assert len(names) == len(set(names)) >= _FEWEST


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.name)
def test_a_planted_bug_fits_the_code_and_its_test_exists(planted: Planted) -> None:
    for change in planted.changes:
        assert (_ROOT / change.file).read_text(encoding="utf-8").count(change.before) == 1, change
        assert change.before != change.after
    for test in planted.tests:
        file, _, name = test.partition("::")
        assert re.search(rf"def {name}\(", (_ROOT / file).read_text(encoding="utf-8")), test
