"""Explanations over HTTP: in whose language, what documents carry, and as of any past instant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.credit.world import World


async def _explained(world: World, line_id: str, *, headers: dict[str, str] | None = None, **query: str) -> Any:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.get(f"/lines/{line_id}/explanation", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("accepted", "asked", "language"),
    [
        ("", {}, "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", {}, "zh"),
        ("fr,en-GB;q=0.9,zh;q=0.1", {}, "en"),
        ("fr", {}, "en"),
        ("zh", {"language": "en"}, "en"),
        ("en", {"language": "zh"}, "zh"),
    ],
)
async def test_an_explanation_speaks_the_readers_language(
    world: World, accepted: str, asked: dict[str, str], language: str
) -> None:
    await world.begin()
    line = await world.line_of(await world.supplier())
    told = await _explained(world, line["line_id"], headers={"accept-language": accepted}, **asked)
    assert told["language"] == language
    assert ("可用" in told["text"]) is (language == "zh")
    assert ("can draw CNY 1,000,000.00" in told["text"]) is (language == "en")


async def test_an_explanation_says_what_the_free_documents_carry(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = await world.line_of(supplier)
    await world.held(supplier, "1000.00", amount="50000.00")
    await world.receivable(supplier, amount="100000.00")
    told = await _explained(world, line["line_id"])
    assert told["base"] == {
        "documents": 1,
        "eligible": {"amount": "100000.00", "currency": "CNY"},
        "advance_rate": "0.800000",
        "carries": {"amount": "80000.00", "currency": "CNY"},
    }
    assert "carry CNY 80,000.00 of new principal" in told["text"]
