"""Relay and inbox over a model of the servers, interleaving by interleaving (tests/properties/simulation)."""

from __future__ import annotations

import pytest

from tests.properties.simulation.running import run_many, tell_one

_SHORT, _LONG = 1_000, 20_000


def test_every_interleaving_keeps_every_promise(request: pytest.FixtureRequest) -> None:
    tally = run_many(range(_LONG if request.config.getoption("--run-long") else _SHORT))
    assert not tally.broken, tally.broken


def test_a_seed_replays_step_by_step() -> None:
    first: list[str] = []
    again: list[str] = []
    tell_one(11, first.append)
    tell_one(11, again.append)
    assert first == again
    assert len(first) > 50
