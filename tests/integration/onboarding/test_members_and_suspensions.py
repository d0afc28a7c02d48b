"""Who may be a member and sign, and how firms and programmes are suspended and come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.onboarding.main import build
from tests.integration.onboarding.test_onboarding import FIRM, TERMS
from tests.support.service import Bench, bench

_SIGNED = {
    "signed_date": "2026-01-01",
    "expiry_date": "2028-01-01",
    "committed": {"amount": "0.00", "currency": "CNY"},
}


@dataclass
class Office:
    """A bank with one active programme, its anchor, and a firm."""

    service: Bench
    maker: httpx.AsyncClient
    checker: httpx.AsyncClient
    sme: httpx.AsyncClient
    anchor: str
    firm: str
    programme: str

    async def approve(self, proposed: httpx.Response) -> httpx.Response:
        assert proposed.status_code == 201, proposed.text
        return await self.checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")

    async def admit(self, enterprise_id: str, **changes: str) -> httpx.Response:
        body = {"enterprise_id": enterprise_id, "direction": "upstream", **changes}
        return await self.maker.post(f"/programmes/{self.programme}/members", json=body)

    async def sign(self, **changes: Any) -> httpx.Response:
        body = {"programme_id": self.programme, **_SIGNED, **changes}
        return await self.sme.post(f"/enterprises/{self.firm}/line-agreements", json=body)

    async def told(self) -> list[str]:
        async with self.service.database.reader() as tx:
            return [row["type"] for row in await tx.pg.fetch("SELECT type FROM outbox ORDER BY position")]


@pytest.fixture
async def office(fresh_database: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with bench("onboarding", build, url=fresh_database, home=tmp_path) as service, AsyncExitStack() as stack:
        maker = await stack.enter_async_context(service.caller("bank_maker"))
        checker = await stack.enter_async_context(service.caller("bank_checker"))
        anchor, firm = [(await maker.post("/enterprises", json=FIRM)).json()["enterprise_id"] for _ in range(2)]
        sme = await stack.enter_async_context(service.caller("sme", party=firm))
        made = (await maker.post("/programmes", json={"name": "P", "anchor_id": anchor, "terms": TERMS})).json()
        assert (await checker.post(f"/approvals/{made['approval_id']}/approve")).status_code == 200
        yield Office(service, maker, checker, sme, anchor, firm, made["programme_id"])


def _refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_r22_two_persons_suspend_a_firm_and_two_persons_reinstate_it(office: Office) -> None:
    path = f"/enterprises/{office.firm}"
    early = await office.maker.post(f"{path}/reinstatements", json={"reason": "nothing happened"})
    assert _refused(early) == (409, "not_suspended")
    suspended = await office.maker.post(f"{path}/suspensions", json={"reason": "court enforcement"})
    assert (await office.approve(suspended)).status_code == 200
    assert (await office.maker.get(path)).json()["state"] == "suspended"
    twice = [await office.maker.post(f"{path}/reinstatements", json={"reason": "settled"}) for _ in range(2)]
    own = await office.maker.post(f"/approvals/{twice[0].json()['approval_id']}/approve")
    assert _refused(own) == (403, "own_proposal")
    assert (await office.maker.get(path)).json()["state"] == "suspended"
    assert (await office.approve(twice[0])).status_code == 200
    assert _refused(await office.approve(twice[1])) == (409, "not_suspended")
    assert (await office.maker.get(path)).json()["state"] == "active"
    assert (await office.told())[-2:] == ["enterprise.suspended.v1", "enterprise.reinstated.v1"]


async def test_r22_two_persons_suspend_a_programme_and_nobody_joins_or_signs_after(office: Office) -> None:
    path = f"/programmes/{office.programme}"
    twice = [await office.maker.post(f"{path}/suspensions", json={"reason": "anchor on watch"}) for _ in range(2)]
    own = await office.maker.post(f"/approvals/{twice[0].json()['approval_id']}/approve")
    assert _refused(own) == (403, "own_proposal")
    assert (await office.maker.get(path)).json()["state"] == "active"
    assert (await office.approve(twice[0])).status_code == 200
    assert (await office.maker.get(path)).json()["state"] == "suspended"
    again = await office.maker.post(f"{path}/suspensions", json={"reason": "once more"})
    for refused in (await office.approve(twice[1]), again, await office.admit(office.firm), await office.sign()):
        assert _refused(refused) == (409, "programme_not_active")
    assert (await office.told()).count("programme.suspended.v1") == 1


@pytest.mark.parametrize("path", ["enterprises/{}/reinstatements", "programmes/{}/suspensions"])
async def test_what_is_not_known_is_neither_suspended_nor_reinstated_and_only_by_makers(
    office: Office, path: str
) -> None:
    nobody = f"/{path.format('01900000-0000-7000-8000-000000000000')}"
    unknown = await office.maker.post(nobody, json={"reason": "because"})
    assert _refused(unknown) == (404, "unknown_enterprise" if "enterprises" in path else "unknown_programme")
    assert _refused(await office.checker.post(nobody, json={"reason": "because"})) == (403, "forbidden")
    assert _refused(await office.maker.post(nobody, json={})) == (422, "invalid_request")


async def test_only_a_member_signs_a_line_agreement(office: Office) -> None:
    assert _refused(await office.sign()) == (409, "not_a_member")
    committed = await office.sign(committed={"amount": "10.00", "currency": "CNY"})
    assert _refused(committed) == (409, "not_a_member")
    assert (await office.admit(office.firm)).status_code == 201
    assert (await office.sign()).status_code == 201


@pytest.mark.parametrize(
    ("signed", "expiry", "status"),
    [
        ("2026-01-01", "2031-01-01", 201),
        ("2026-01-01", "2031-01-02", 422),
        ("2024-02-29", "2029-02-28", 201),
        ("2024-02-29", "2029-03-01", 422),
        ("2026-01-01", "2026-01-01", 422),
        ("9998-01-01", "9999-12-31", 201),
    ],
)
async def test_a_line_agreement_runs_for_five_years_at_most(
    office: Office, signed: str, expiry: str, status: int
) -> None:
    await office.admit(office.firm)
    answer = await office.sign(signed_date=signed, expiry_date=expiry)
    assert answer.status_code == status, answer.text
    if status != 201:
        assert answer.json()["code"] == "invalid_terms"


async def test_the_anchor_is_no_member_of_its_own_programme(office: Office) -> None:
    assert _refused(await office.admit(office.anchor)) == (422, "invalid_terms")
    assert "programme.member_admitted.v1" not in await office.told()


async def test_a_second_admission_may_change_the_support_but_not_the_direction(office: Office) -> None:
    assert (await office.admit(office.firm, direction="downstream", anchor_support="0.5")).status_code == 201
    assert _refused(await office.admit(office.firm, direction="upstream")) == (409, "direction_fixed")
    assert (await office.admit(office.firm, direction="downstream", anchor_support="0.8")).status_code == 201
    (member,) = (await office.maker.get(f"/programmes/{office.programme}")).json()["members"]
    assert (member["direction"], member["anchor_support"]) == ("downstream", "0.800000")
    assert (await office.told()).count("programme.member_admitted.v1") == 2
