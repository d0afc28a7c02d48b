"""I1–I4 and I8–I10: each way to spoil limits, loans, documents and the ledger is caught, and nothing else is."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.integration.verify.clean import Copies
from tributary.verify.check import run_checks
from tributary.verify.result import Result
from tributary.verify.snapshots import world_of

pytestmark = pytest.mark.xdist_group("verify")


async def _run(module: ModuleType, settings: Copies) -> Result:
    async with world_of(settings) as world:
        result: Result = await module.check(world)
    return result


async def test_a_clean_state_is_found_clean_by_every_check(clean: Copies) -> None:
    results = await run_checks(clean)
    assert list(results) == [f"I{n}" for n in range(1, 12)]
    assert {name: result.examples for name, result in results.items() if result.examples} == {}
    assert all(result.checked > 0 and result.violations == 0 for result in results.values())
