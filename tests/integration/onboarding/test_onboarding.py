"""Who takes part, and under which terms, through HTTP on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from services.onboarding.main import build
from services.onboarding.operations.identities import ensure_administrator
from shared.storage.audit import broken_links, seal
from tests.support.service import Bench, bench

TERMS: dict[str, Any] = {
    "currency": "CNY",
    "limit": {"amount": "1000.00", "currency": "CNY"},
    "upstream_limit": {"amount": "1000.00", "currency": "CNY"},
    "downstream_limit": {"amount": "400.00", "currency": "CNY"},
    "issuance_limit": {"amount": "500.00", "currency": "CNY"},
    "max_tier": 2,
    "advance_rate": "0.800000",
    "concentration_share": "0.500000",
    "max_tenor_days": 180,
    "buffer_days": 5,
    "grace_days": 3,
    "recourse": True,
    "interest_payer": "seller",
    "pricing_policy": "pricing",
    "propagation_policy": "propagation",
    "auto_approve_up_to": {"amount": "500.00", "currency": "CNY"},
    "cut_off": "17:00:00",
    "zone": "Asia/Shanghai",
    "collection_account": "COLLECT-1",
}
FIRM: dict[str, Any] = {"name": "Anchor", "country": "CN", "account": "ACC-1", "size_class": "large"}


@pytest.fixture
async def onboarding(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("onboarding", build, url=fresh_database, home=tmp_path) as made:
        yield made


async def _events(onboarding: Bench) -> list[str]:
    async with onboarding.database.reader() as tx:
        return [row["type"] for row in await tx.pg.fetch("SELECT type FROM outbox ORDER BY position")]


async def _active_programme(maker: httpx.AsyncClient, checker: httpx.AsyncClient) -> str:
    anchor = (await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"]
    proposed = (await maker.post("/programmes", json={"name": "P", "anchor_id": anchor, "terms": TERMS})).json()
    assert (await checker.post(f"/approvals/{proposed['approval_id']}/approve")).status_code == 200
    return str(proposed["programme_id"])


def _member(firm: str, **changes: str) -> dict[str, str]:
    return {"enterprise_id": firm, "direction": "upstream", **changes}


async def test_the_first_administrator_signs_in_with_the_secret_in_its_file(onboarding: Bench, tmp_path: Path) -> None:
    path = await ensure_administrator(onboarding.database, home=tmp_path)
    again = await ensure_administrator(onboarding.database, home=tmp_path)
    assert path == again
    assert path.stat().st_mode & 0o777 == 0o600
    credentials = json.loads(path.read_text())
    async with onboarding.caller("sme", party="x") as nobody:
        right = await nobody.post("/token", data={"grant_type": "client_credentials", **credentials})
        wrong = await nobody.post("/token", data={**credentials, "client_secret": "guess"})
    assert right.status_code == 200
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_client")


async def test_a_start_that_ends_before_the_administrator_is_kept_leaves_credentials_that_the_next_start_makes_good(
    onboarding: Bench, tmp_path: Path
) -> None:
    async with onboarding.database.transaction() as tx:
        await tx.pg.execute("ALTER TABLE identity ADD CONSTRAINT full_disk CHECK (false)")
    with pytest.raises(asyncpg.CheckViolationError):
        await ensure_administrator(onboarding.database, home=tmp_path)
    path = tmp_path / "administrator.json"
    left = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    async with onboarding.caller("sme", party="x") as nobody:
        assert (await nobody.post("/token", data=json.loads(left))).status_code == 401
        async with onboarding.database.transaction() as tx:
            await tx.pg.execute("ALTER TABLE identity DROP CONSTRAINT full_disk")
        await asyncio.gather(*(ensure_administrator(onboarding.database, home=tmp_path) for _ in range(3)))
        assert path.read_text() == left
        assert (await nobody.post("/token", data=json.loads(left))).status_code == 200
    async with onboarding.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM identity") == 1


async def test_r24_a_firm_with_a_wrong_identifier_is_refused_and_nothing_is_kept(onboarding: Bench) -> None:
    async with onboarding.caller("bank_maker") as maker:
        right = await maker.post("/enterprises", json={**FIRM, "legal_identifiers": {"uscc": "91512081MA62K0260E"}})
        wrong = await maker.post("/enterprises", json={**FIRM, "legal_identifiers": {"uscc": "91512081MA62K0260F"}})
        twice = await maker.post("/enterprises", json={**FIRM, "legal_identifiers": {"uscc": "91512081MA62K0260E"}})
        listed = await maker.get("/enterprises")
    assert right.status_code == 201, right.text
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_legal_identifier")
    assert (twice.status_code, twice.json()["code"]) == (409, "already_registered")
    assert len(listed.json()["items"]) == 1
    assert await _events(onboarding) == ["enterprise.registered.v1"]


async def test_r22_who_proposes_a_programme_cannot_approve_it(onboarding: Bench) -> None:
    async with onboarding.caller("bank_maker") as maker, onboarding.caller("bank_checker") as checker:
        anchor = (await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"]
        proposed = await maker.post("/programmes", json={"name": "P", "anchor_id": anchor, "terms": TERMS})
        assert proposed.status_code == 201, proposed.text
        approval, programme = proposed.json()["approval_id"], proposed.json()["programme_id"]
        own = await maker.post(f"/approvals/{approval}/approve")
        assert (own.status_code, own.json()["code"]) == (403, "own_proposal")
        assert (await maker.get(f"/programmes/{programme}")).json()["state"] == "pending_approval"
        assert (await checker.post(f"/approvals/{approval}/approve")).status_code == 200
        assert (await checker.post(f"/approvals/{approval}/approve")).json()["code"] == "already_decided"
        assert (await maker.get(f"/programmes/{programme}")).json()["state"] == "active"
        limits = {name: {"amount": "600.00", "currency": "CNY"} for name in ("limit", "upstream_limit")}
        change = await maker.post(
            f"/programmes/{programme}/limit-changes",
            json={**limits, "downstream_limit": limits["limit"], "reason": "watch list"},
        )
        assert (await checker.post(f"/approvals/{change.json()['approval_id']}/approve")).status_code == 200
        assert (await maker.get(f"/programmes/{programme}")).json()["terms"]["limit"]["amount"] == "600.00"
    assert await _events(onboarding) == [
        "enterprise.registered.v1",
        "programme.activated.v1",
        "programme.limit_changed.v1",
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"max_tenor_days": 366}, "invalid_terms"),
        ({"advance_rate": "1.5"}, "invalid_terms"),
        ({"zone": "Mars/Olympus"}, "invalid_zone"),
        ({"limit": {"amount": "-1.00", "currency": "CNY"}}, "invalid_terms"),
        ({"limit": {"amount": "1e9", "currency": "CNY"}}, "invalid_amount"),
        ({"upstream_limit": {"amount": "1.00", "currency": "EUR"}}, "currency_mismatch"),
        ({"currency": "ZZZ"}, "currency_mismatch"),
        ({"advance_rate": "a lot"}, "invalid_rate"),
        ({"interest_payer": "nobody"}, "invalid_request"),
    ],
)
async def test_terms_that_cannot_be_are_refused_and_nothing_is_kept(
    onboarding: Bench, change: dict[str, Any], code: str
) -> None:
    async with onboarding.caller("bank_maker") as maker:
        anchor = (await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"]
        body = {"name": "P", "anchor_id": anchor, "terms": {**TERMS, **change}}
        answer = await maker.post("/programmes", json=body)
        waiting = await maker.get("/approvals")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert waiting.json()["items"] == []


async def test_r22_what_an_sme_signs_commits_the_bank_only_once_the_bank_signs_too(onboarding: Bench) -> None:
    async with onboarding.caller("bank_maker") as maker, onboarding.caller("bank_checker") as checker:
        anchor, firm = [(await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"] for _ in range(2)]
        made = (await maker.post("/programmes", json={"name": "P", "anchor_id": anchor, "terms": TERMS})).json()
        await checker.post(f"/approvals/{made['approval_id']}/approve")
        await maker.post(f"/programmes/{made['programme_id']}/members", json=_member(firm))
        dates = {"signed_date": "2026-01-01", "expiry_date": "2028-01-01"}
        nothing = {"programme_id": made["programme_id"], **dates, "committed": {"amount": "0.00", "currency": "CNY"}}
        async with onboarding.caller("sme", party=firm) as sme:
            path = f"/enterprises/{firm}/line-agreements"
            at_once = await sme.post(path, json=nothing)
            too_much = await sme.post(path, json={**nothing, "committed": {"amount": "1000.01", "currency": "CNY"}})
            waiting = await sme.post(path, json={**nothing, "committed": {"amount": "900.00", "currency": "CNY"}})
        assert at_once.json()["approval_id"] is None
        assert (too_much.status_code, too_much.json()["code"]) == (422, "invalid_terms")
        assert (await _events(onboarding)).count("enterprise.line_agreement_signed.v1") == 1
        countersigned = await checker.post(f"/approvals/{waiting.json()['approval_id']}/approve")
    assert countersigned.status_code == 200, countersigned.text
    assert (await _events(onboarding)).count("enterprise.line_agreement_signed.v1") == 2


async def test_roles_are_kept_apart_and_foreign_parties_out(onboarding: Bench) -> None:
    async with onboarding.caller("administrator") as admin, onboarding.caller("bank_maker") as maker:
        both = await admin.post("/identities", json={"name": "x", "roles": ["bank_maker", "bank_checker"]})
        lost = await admin.post("/identities", json={"name": "x", "roles": ["sme"]})
        forbidden = await maker.post("/identities", json={"name": "x", "roles": ["bank_maker"]})
        firm = (await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"]
    assert both.json()["code"] == lost.json()["code"] == "invalid_roles"
    assert forbidden.json()["code"] == "forbidden"
    async with onboarding.caller("sme", party="somebody-else") as sme:
        foreign = await sme.get(f"/enterprises/{firm}")
        sme.headers["authorization"] = "Bearer nonsense"
        invalid = await sme.get(f"/enterprises/{firm}")
        del sme.headers["authorization"]
        missing = await sme.get(f"/enterprises/{firm}")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_party")
    assert (invalid.status_code, invalid.json()["code"]) == (401, "invalid_token")
    assert (missing.status_code, missing.json()["code"]) == (401, "missing_token")


async def test_i11_the_audit_chain_holds_and_shows_a_change(onboarding: Bench) -> None:
    async with onboarding.caller("bank_maker") as maker:
        for _ in range(3):
            await maker.post("/enterprises", json=FIRM)
    assert await seal(onboarding.database, owner="test") == 3
    async with onboarding.database.transaction() as tx:
        assert await broken_links(tx) == []
        await tx.pg.execute("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
        await tx.pg.execute("UPDATE audit SET actor = 'another' WHERE position = 2")
        assert await broken_links(tx) == [2]


async def test_trade_in_two_currencies_is_two_links_and_a_second_record_of_one_updates_it(onboarding: Bench) -> None:
    async with onboarding.caller("bank_maker") as maker:
        seller, buyer = [(await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"] for _ in range(2)]
        found = {}
        for currency, amount in (("EUR", "100.00"), ("USD", "200.00"), ("EUR", "300.00")):
            traded = {"amount": amount, "currency": currency}
            body = {"supplier_id": seller, "buyer_id": buyer, "traded": traded, "contract": "C-1"}
            found[currency, amount] = (await maker.post("/links", json=body)).json()["link_id"]
    assert found["EUR", "100.00"] == found["EUR", "300.00"] != found["USD", "200.00"]


async def test_r22_a_temporary_increase_takes_two_persons_and_is_shown_with_its_dates(onboarding: Bench) -> None:
    more = {"amount": "500.00", "currency": "CNY"}
    none = {"amount": "0.00", "currency": "CNY"}
    body: dict[str, Any] = {"limit": more, "upstream_limit": more, "downstream_limit": none, "reason": "the season"}
    body |= {"valid_from": "2026-03-02", "valid_until": "2026-03-31"}
    async with onboarding.caller("bank_maker") as maker, onboarding.caller("bank_checker") as checker:
        programme = await _active_programme(maker, checker)
        path = f"/programmes/{programme}/limit-increases"
        proposed = (await maker.post(path, json=body)).json()
        assert (await maker.post(f"/approvals/{proposed['approval_id']}/approve")).json()["code"] == "own_proposal"
        assert (await maker.get(f"/programmes/{programme}")).json()["limit_increases"] == []
        assert (await checker.post(f"/approvals/{proposed['approval_id']}/approve")).status_code == 200
        (shown,) = (await maker.get(f"/programmes/{programme}")).json()["limit_increases"]
        refused = {
            "never ends": {**body, "valid_until": "2028-03-31"},
            "ends before it begins": {**body, "valid_until": "2026-03-01"},
            "is a cut": {**body, "limit": {"amount": "-1.00", "currency": "CNY"}},
            "is nothing": {**body, "limit": none, "upstream_limit": none},
        }
        for name, wrong in refused.items():
            answer = await maker.post(path, json=wrong)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_terms"), name
    del body["reason"], shown["increase_id"]
    assert shown == body
    assert (await _events(onboarding))[-1] == "programme.limit_increased.v1"
