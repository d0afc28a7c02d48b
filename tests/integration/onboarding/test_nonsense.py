"""What nobody can mean is refused by name, and nothing of it is kept or told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.onboarding.main import build
from tests.integration.onboarding.test_onboarding import FIRM, TERMS
from tests.support.service import Bench, bench

_JSON = {"content-type": "application/json"}
_NONE = "01900000-0000-7000-8000-000000000000"
_YUAN = {"amount": "1.00", "currency": "CNY"}
_MEMBER = {"enterprise_id": _NONE, "direction": "upstream"}
_LINK = {"supplier_id": _NONE, "buyer_id": _NONE, "traded": _YUAN, "contract": "C"}


@pytest.fixture
async def onboarding(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("onboarding", build, url=fresh_database, home=tmp_path) as made:
        yield made


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b"], ids=["nul", "escape", "surrogate"])
@pytest.mark.parametrize(
    ("role", "path", "sent"),
    [
        ("administrator", "/identities", ({"name": "x", "roles": ["bank_maker"]}, "name")),
        ("bank_maker", "/enterprises", (FIRM, "name")),
        ("bank_maker", "/enterprises", (FIRM, "industry")),
        ("bank_maker", "/enterprises", (FIRM, "account")),
        ("bank_maker", "/links", (_LINK, "contract")),
        ("bank_maker", f"/enterprises/{_NONE}/suspensions", ({}, "reason")),
        ("bank_maker", f"/programmes/{_NONE}/members", (_MEMBER, "anchor_support")),
        ("bank_checker", f"/approvals/{_NONE}/decline", ({}, "reason")),
    ],
)
async def test_text_that_no_database_keeps_is_refused(
    onboarding: Bench, role: str, path: str, sent: tuple[dict[str, Any], str], text: str
) -> None:
    body, field = sent
    async with onboarding.caller(role) as caller:
        answer = await caller.post(path, content=json.dumps({**body, field: text * 3}), headers=_JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    assert field in answer.json()["fields"][0]["field"]
    await _assert_nothing_was_told(onboarding)


async def test_credentials_that_nobody_was_given_are_no_fault_of_ours(onboarding: Bench) -> None:
    async with onboarding.caller("sme", party=_NONE) as nobody:
        answer = await nobody.post("/token", data={"client_id": "a\x00b", "client_secret": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"pricing_policy": "typo"}, "invalid_terms"),
        ({"pricing_policy": "../pricing"}, "invalid_terms"),
        ({"pricing_policy": "settlement"}, "invalid_terms"),
        ({"propagation_policy": "typo"}, "invalid_terms"),
        ({"propagation_policy": "\ud800"}, "invalid_terms"),
        ({"collection_account": ""}, "invalid_terms"),
        ({"collection_account": "a\x00b"}, "invalid_terms"),
        ({"cut_off": "17:00:00+08:00"}, "invalid_terms"),
        ({"auto_approve_up_to": {"amount": "much", "currency": "CNY"}}, "invalid_amount"),
        ({"auto_approve_up_to": {"amount": "-1.00", "currency": "CNY"}}, "invalid_terms"),
        ({"zone": "\ud800"}, "invalid_zone"),
        ({"advance_rate": "\ud800"}, "invalid_rate"),
    ],
)
async def test_a_programme_that_no_service_could_follow_is_not_even_proposed(
    onboarding: Bench, terms: dict[str, Any], code: str
) -> None:
    async with onboarding.caller("bank_maker") as maker:
        anchor = (await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"]
        body = {"name": "P", "anchor_id": anchor, "terms": {**TERMS, **terms}}
        answer = await maker.post("/programmes", content=json.dumps(body), headers=_JSON)
        waiting = (await maker.get("/approvals")).json()["items"]
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert waiting == []


async def test_a_body_in_pieces_that_grows_too_large_is_refused_as_one_that_says_so(onboarding: Bench) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b"a" * 1024 * 1024

    async with onboarding.caller("bank_maker") as maker:
        answer = await maker.post("/enterprises", content=pieces())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    await _assert_nothing_was_told(onboarding)


async def _assert_nothing_was_told(onboarding: Bench) -> None:
    async with onboarding.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM outbox") == 0
