"""In which order the files of a run begin: a long one that began last would leave the other workers idle."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Each takes more than ten seconds of a processor, most of them the whole platform and a story told on it.
LONGEST_FIRST = (
    "journeys/test_told_platform.py",
    "journeys/test_demo_on_folders.py",
    "faults/test_processes.py",
    "journeys/test_demo_in_processes.py",
    "journeys/test_orders.py",
    "journeys/test_products.py",
    "journeys/test_demo.py",
    "integration/platform/test_up.py",
    "properties/test_simulation.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; the others keep their order."""
    places = {TESTS / file: nth for nth, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
