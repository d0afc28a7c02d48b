from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.credit.main import build
from services.credit.operations import price_policies, product_policies, purposes
from shared.values import policies
from tests.integration.credit.world import World
from tests.support.service import bench

_CACHES = (
    policies.policy_versions,
    product_policies.product,
    product_policies.drawn_product,
    price_policies.price_policy,
    purposes.purpose_rules,
)


@pytest.fixture
async def world(fresh_database: str, tmp_path: Path) -> AsyncIterator[World]:
    async with bench("credit", build, url=fresh_database, home=tmp_path) as made:
        yield World(made)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A policies folder of the test's own, a copy of ours to begin with."""
    shutil.copytree(policies.POLICIES, tmp_path / "policies")
    monkeypatch.setattr(policies, "POLICIES", tmp_path / "policies")
    for cache in _CACHES:
        cache.cache_clear()
    yield tmp_path / "policies"
    for cache in _CACHES:
        cache.cache_clear()
