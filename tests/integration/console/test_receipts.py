"""A receipt's page: what waits of it, and the form where a maker signs what becomes of that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.console.main import build
from shared.events.settlement import CollectionCleared, CollectionReceived
from shared.values.ids import new_id
from shared.web.auth import COOKIE
from tests.integration.console.story import DAY, LINE, apply, cny, received
from tests.support.service import Bench, bench


@pytest.fixture
async def console(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("console", build, url=fresh_database, home=tmp_path) as made:
        yield made


async def test_r25_what_waits_of_a_receipt_has_a_page_where_a_maker_signs_what_becomes_of_it(console: Bench) -> None:
    came = CollectionReceived(
        collection_id=new_id(),
        account="COLLECT-1",
        received=cny("70.00"),
        applied=cny("0.00"),
        unmatched=cny("70.00"),
        value_date=DAY,
        reference="no such loan",
    )
    gone = CollectionCleared(
        collection_id=came.collection_id,
        clearing_id=new_id(),
        way="payer",
        amount=cny("70.00"),
        passed=cny("70.00"),
        unmatched=cny("0.00"),
        value_date=DAY,
    )
    told = received([came, gone])
    await apply(console.database, told[:1])
    token = console.app.fastapi.state.issuer.issue(subject="r", roles=["bank_maker"], party=None, client_id="r")
    transport = httpx.ASGITransport(console.app, raise_app_exceptions=False)
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", cookies={COOKIE: token}, headers=headers
    ) as reader:
        queue = (await reader.get("/console/queues")).text
        waits = (await reader.get(f"/console/receipts/{came.collection_id}")).text
        await apply(console.database, told[1:])
        cleared = (await reader.get(f"/console/receipts/{came.collection_id}", params={"lang": "zh"})).text
        missing = await reader.get(f"/console/receipts/{LINE}")
    assert f'href="/console/receipts/{came.collection_id}"' in queue
    assert f'data-decide="/settlement/v1/suspense/{came.collection_id}/clearings"' in waits
    assert "data-decide" not in cleared
    assert "收款 no such loan" in cleared
    assert missing.status_code == 404
