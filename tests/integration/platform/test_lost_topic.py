"""A broker that lost everything is noticed loudly, and its topics are built again from the outboxes (R19, R25)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx

from shared.runtime.settings import Settings
from shared.web.issuer import Issuer
from tests.support.messaging import until
from tributary.events import republish, show
from tributary.platform import Platform, running_platform


def _token(platform: Platform, *roles: str) -> dict[str, str]:
    issuer = Issuer(home=platform.settings.home, issuer="tributary", audience="tributary")
    return {"authorization": f"Bearer {issuer.issue(subject='m', roles=roles, party=None, client_id='m')}"}


async def _feed(http: httpx.AsyncClient, headers: dict[str, str]) -> list[str]:
    answer = await http.get("/console/v1/events", params={"limit": 500}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [each["event_id"] for each in answer.json()["items"] if each["type"] == "enterprise.registered.v1"]


async def test_r19_a_lost_cluster_stops_relays_and_inboxes_until_the_topics_are_published_again(tmp_path: Path) -> None:
    settings = Settings.model_construct(home=tmp_path, port=0)
    firm = {"name": "Anchor", "country": "CN", "account": "ACC-1", "size_class": "large"}
    async with (
        running_platform(settings, durable=False) as platform,
        httpx.AsyncClient(base_url=platform.origin, timeout=60) as http,
    ):
        maker = _token(platform, "bank_maker")
        for _ in range(3):
            assert (await http.post("/onboarding/v1/enterprises", json=firm, headers=maker)).status_code == 201

        async def three_came() -> bool:
            return len(await _feed(http, maker)) == 3

        await until(three_came, within_s=60)
        before = await _feed(http, maker)

    shutil.rmtree(tmp_path / "kafka")
    async with (
        running_platform(settings, durable=False) as platform,
        httpx.AsyncClient(base_url=platform.origin, timeout=60) as http,
    ):

        async def both_sides_say_so() -> bool:
            sender = (await http.get("/onboarding/v1/health/ready")).json()
            reader = (await http.get("/console/v1/health/ready")).json()
            return "republish" in json.dumps(sender["problems"]) and "offset" in json.dumps(reader["problems"])

        await until(both_sides_say_so, within_s=60)
        # Commands go on: what they say waits in the outbox.
        maker = _token(platform, "bank_maker")
        assert (await http.post("/onboarding/v1/enterprises", json=firm, headers=maker)).status_code == 201
        # The cluster is gone: the heads of the audit log, on their topic, are lost like everything.
        done = await republish(platform.settings, service="onboarding", topics=[])
        assert done.rows > 4
        assert "console" in done.rewound

    async with (
        running_platform(settings, durable=False) as platform,
        httpx.AsyncClient(base_url=platform.origin, timeout=60) as http,
    ):

        async def four_came() -> bool:
            return len(await _feed(http, maker)) == 4

        await until(four_came, within_s=60)
        assert (await _feed(http, maker))[:3] == before
        assert (await http.get("/onboarding/v1/health/ready")).status_code == 200
        shown = await show(platform.settings, event_id=before[0])
        assert (shown["topic"], shown["headers"]["ce_id"]) == ("scf.onboarding.enterprise.v1", before[0])
