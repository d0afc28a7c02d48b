"""Parked events over HTTP, in every service that consumes: who sees them, who proposes, who decides (R22, R23)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.values.ids import new_id
from tests.support.service import Bench, bench
from tributary.services import builds

_CONSUMERS = ("receivables", "credit", "settlement", "console")
_PARK = """
INSERT INTO inbox_parked (topic, subject, sequence, event_id, type, headers, body, reason, waits_topic, waits_subject,
    waits_sequence, error, attempts, parked_at)
VALUES ($1, $2, 1, $3, 'x.y.v1', '[]', '{}', $4, $5, 'w', 0, 'ValueError: no', 1,
    clock_timestamp() - make_interval(mins => $6)) RETURNING parked_id
"""


@pytest.fixture(params=_CONSUMERS)
async def service(request: pytest.FixtureRequest, fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    name = request.param
    async with bench(name, builds([name])[name], url=fresh_database, home=tmp_path) as made:
        yield made


async def _park(service: Bench, subject: str, *, reason: str = "failed", minutes: int = 0) -> int:
    awaited = "scf.x.w.v1" if reason == "waits" else None
    async with service.database.transaction() as tx:
        parked_id: int = await tx.pg.fetchval(_PARK, "scf.x.y.v1", subject, new_id(), reason, awaited, minutes)
    return parked_id


async def test_parked_events_are_listed_page_by_page_with_what_they_wait_for(service: Bench) -> None:
    ids = [await _park(service, "a"), await _park(service, "b", reason="waits")]
    ids.append(await _park(service, "c", reason="waits", minutes=11))
    async with service.caller("bank_maker") as maker:
        first = (await maker.get("/parked", params={"limit": 2})).json()
        rest = (await maker.get("/parked", params={"limit": 2, "cursor": first["next"]})).json()
        assert (await maker.get("/parked", params={"cursor": "bm9uZQ=="})).json()["code"] == "invalid_cursor"
    shown = [*first["items"], *rest["items"]]
    assert ([each["parked_id"] for each in shown], rest["next"]) == (ids, None)
    assert [each["overdue"] for each in shown] == [False, False, True]
    assert [each["waits_for"] for each in shown] == [None, *[{"topic": "scf.x.w.v1", "subject": "w"}] * 2]
    assert {
        name: shown[0][name] for name in ("topic", "subject", "sequence", "type", "reason", "error", "attempts")
    } == {
        "topic": "scf.x.y.v1",
        "subject": "a",
        "sequence": 1,
        "type": "x.y.v1",
        "reason": "failed",
        "error": "ValueError: no",
        "attempts": 1,
    }


async def test_r22_one_of_the_bank_proposes_and_another_approves(service: Bench) -> None:
    parked_id = await _park(service, "a")
    async with service.caller("bank_maker") as maker, service.caller("bank_checker") as checker:
        proposed = await maker.post(f"/parked/{parked_id}/discard", json={"reason": "never meant for us"})
        assert (proposed.status_code, proposed.json()["kind"]) == (201, "parked.discard")
        approval_id = proposed.json()["approval_id"]
        waiting = (await checker.get("/approvals")).json()["items"]
        assert [each["approval_id"] for each in waiting] == [approval_id]
        own = await maker.post(f"/approvals/{approval_id}/approve")
        assert own.status_code in {403, 404}
        assert len((await maker.get("/parked")).json()["items"]) == 1
        approved = await checker.post(f"/approvals/{approval_id}/approve")
        assert (approved.status_code, approved.json()["state"]) == (200, "approved")
        assert (await maker.get("/parked")).json()["items"] == []
        again = await maker.post(f"/parked/{parked_id}/replay", json={"reason": "once more"})
        assert (again.status_code, again.json()["code"]) == (404, "unknown_parked")


async def test_r23_nobody_but_the_bank_sees_or_touches_what_is_parked(service: Bench) -> None:
    parked_id = await _park(service, "a")
    async with service.caller("bank_maker") as maker:
        proposed = await maker.post(f"/parked/{parked_id}/discard", json={"reason": "never meant for us"})
    for role in ("anchor_maker", "anchor_checker", "sme", "erp"):
        async with service.caller(role, party=new_id()) as other:
            assert (await other.get("/parked")).status_code == 403
            for decision in ("replay", "discard"):
                refused = await other.post(f"/parked/{parked_id}/{decision}", json={"reason": "let me"})
                assert refused.status_code == 403
            decided = await other.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert decided.status_code in {403, 404}
    async with service.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT state FROM approval") == "pending"


async def test_what_cannot_be_decided_is_said_with_its_code(service: Bench) -> None:
    async with service.caller("bank_maker") as maker:
        for reason in ("gap", "fork"):
            parked_id = await _park(service, reason, reason=reason)
            refused = await maker.post(f"/parked/{parked_id}/replay", json={"reason": "once more"})
            assert (refused.status_code, refused.json()["code"]) == (409, "not_replayable")
        for path in ("/parked/0/replay", "/parked/9223372036854775808/discard", "/parked/x/discard"):
            assert (await maker.post(path, json={"reason": "once more"})).status_code == 422
        assert (await maker.post(f"/parked/{parked_id}/discard", json={"reason": "a\x00b c"})).status_code == 422
        first = await maker.post(f"/parked/{parked_id}/discard", json={"reason": "a fork"})
        same = await maker.post(f"/parked/{parked_id}/discard", json={"reason": "a fork"})
        other = await maker.post(f"/parked/{parked_id}/discard", json={"reason": "another reason"})
    assert first.json()["approval_id"] == same.json()["approval_id"]
    assert (other.status_code, other.json()["code"]) == (409, "already_proposed")
