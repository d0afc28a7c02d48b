"""Fixtures of every fault test: failpoints that are passed in the test's own process are counted too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from shared.runtime import failpoints
from tests.faults.report import Report


@pytest.fixture(autouse=True)
def _count_here(report: Report) -> Iterator[None]:
    """Count what relays and inboxes in this process pass; a test may hook something else in their place."""
    failpoints.hook(partial(report.reached, "in the test"))
    yield
    failpoints.hook(None)
