"""In which order the files of a run begin: a long one that began last would leave the other workers idle."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Each takes twenty seconds of a processor or more, the first a hundred: most start servers, or a whole platform.
LONGEST_FIRST = (
    "faults/test_processes.py",
    "integration/platform/test_up.py",
    "journeys/test_told_platform.py",
    "journeys/test_demo_in_processes.py",
    "properties/test_simulation.py",
    "journeys/test_demo_on_folders.py",
    "faults/test_broker_killed.py",
    "browser/test_pages.py",
    "journeys/test_demo.py",
    "browser/test_intake.py",
    "faults/test_broker_nodes.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; the others keep their order."""
    places = {TESTS / file: nth for nth, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
