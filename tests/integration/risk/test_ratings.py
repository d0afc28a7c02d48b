"""A rating is recorded with its reasons, or refused by name; through HTTP on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.risk.main import build
from tests.support.service import Bench, bench

_FIRM = "01900000-0000-7000-8000-000000000000"
_RATING: dict[str, Any] = {
    "enterprise_id": _FIRM,
    "grade": "A",
    "cap": {"amount": "1000.00", "currency": "CNY"},
    "risk_spread": "0.008000",
    "reasons": ["accounts of three years"],
    "valid_until": "2030-01-01",
}


@pytest.fixture
async def risk(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("risk", build, url=fresh_database, home=tmp_path) as made:
        yield made


async def test_a_rating_is_kept_with_its_reasons_and_told(risk: Bench) -> None:
    async with risk.caller("risk_officer") as officer:
        answer = await officer.post("/ratings", json=_RATING)
        kept = (await officer.get(f"/ratings/{_FIRM}")).json()
    assert answer.status_code == 201, answer.text
    assert "accounts of three years" in json.dumps(kept)
    assert await _told(risk) == ["rating.recorded.v1"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"reasons": ["a\x00b"]}, "invalid_request"),
        ({"reasons": ["\ud800"]}, "invalid_request"),
        ({"reasons": ["x" * 1001]}, "invalid_request"),
        ({"reasons": []}, "invalid_request"),
        ({"reasons": [" "]}, "invalid_rating"),
        ({"risk_spread": "\ud800"}, "invalid_request"),
        ({"multiplier": "9"}, "invalid_rating"),
        ({"grade": "AAAA"}, "invalid_rating"),
        ({"cap": {"amount": "-1.00", "currency": "CNY"}}, "invalid_rating"),
        ({"cap": {"amount": "1.00", "currency": "XXX"}}, "unknown_currency"),
        ({"enterprise_id": "nobody"}, "invalid_id"),
        ({"valid_until": "2030-02-30"}, "invalid_request"),
    ],
)
async def test_a_rating_that_means_nothing_is_refused_by_name(risk: Bench, said: dict[str, Any], code: str) -> None:
    async with risk.caller("risk_officer") as officer:
        headers = {"content-type": "application/json"}
        answer = await officer.post("/ratings", content=json.dumps({**_RATING, **said}), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert await _told(risk) == []


async def _told(risk: Bench) -> list[str]:
    async with risk.database.reader() as tx:
        return [row["type"] for row in await tx.pg.fetch("SELECT type FROM outbox ORDER BY position")]
