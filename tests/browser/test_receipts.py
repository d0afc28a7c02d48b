"""A maker signs what becomes of money that waits, a checker approves: by clicks, against settlement itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe

import services.console.main
import services.onboarding.main
import services.settlement.main
from services.onboarding.operations.identities import register_identity
from shared.events.settlement import CollectionReceived
from shared.values.ids import new_id
from shared.web.auth import COOKIE
from tests.browser.serving import CHROMIUM, served
from tests.integration.console.story import DAY, apply, cny, received
from tests.support.servers import a_database
from tests.support.service import bench

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: the browser tests are skipped")


async def test_r25_a_maker_signs_where_waiting_money_goes_and_a_checker_approves(
    fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path
) -> None:
    async with (
        a_database(postgres_url, f"{unique_name}_onboarding") as first,
        a_database(postgres_url, f"{unique_name}_settlement") as second,
        bench("console", services.console.main.build, url=fresh_database, home=tmp_path) as console,
        bench("onboarding", services.onboarding.main.build, url=first, home=tmp_path) as onboarding,
        bench("settlement", services.settlement.main.build, url=second, home=tmp_path) as settlement,
        served({"console": console, "onboarding": onboarding, "settlement": settlement}) as (origin, browser),
    ):
        people = {
            role: await register_identity(onboarding.database, name=role, roles=[role], party=None, actor="test")
            for role in ("bank_maker", "bank_checker")
        }
        async with settlement.caller("bank_maker") as maker:
            await maker.post("/book", json={"opening_date": DAY.isoformat()})
            entry = {
                "entry_id": "1",
                "amount": cny("70.00").model_dump(),
                "direction": "credit",
                "value_date": DAY.isoformat(),
                "reference": "no such loan",
            }
            body = {"account": "COLLECT-1", "entries": [entry]}
            await maker.post("/statements", json=body, headers={"idempotency-key": new_id()})
            (waits,) = (await maker.get("/suspense")).json()["items"]
        said = CollectionReceived(
            collection_id=waits["suspense_id"],
            account="COLLECT-1",
            received=cny("70.00"),
            applied=cny("0.00"),
            unmatched=cny("70.00"),
            value_date=DAY,
            reference="no such loan",
        )
        await apply(console.database, received([said]))
        context = await browser.new_context(base_url=origin)
        token = console.app.fastapi.state.issuer.issue(subject="r", roles=["risk_officer"], party=None, client_id="r")
        await context.add_cookies([{"name": COOKIE, "value": token, "url": origin}])
        page = await context.new_page()

        async def sign(role: str, answer: str) -> None:
            await page.get_by_label("Why").fill("seen on the statement")
            await page.get_by_label("Client id").fill(people[role]["client_id"])
            await page.get_by_label("Client secret").fill(people[role]["client_secret"])
            await page.get_by_role("button", name="Sign and decide").click()
            await page.get_by_text(answer).wait_for()

        await page.goto("/console/queues")
        await page.get_by_role("link", name="no such loan").click()
        assert (await Axe().run(page)).violations_count == 0
        await page.get_by_label("To a loan").check()
        await page.get_by_label("Id of the loan").fill(new_id())
        await sign("bank_maker", "It cannot be cleared so")
        await page.get_by_label("Back to the payer").check()
        await page.get_by_label("The payer's account").fill("PAYER-1")
        await page.get_by_label("Amount, all of it").fill("30.00")
        await sign("bank_checker", "Only a maker of the bank proposes it.")
        await sign("bank_maker", "Proposed. A second person decides.")
        await page.goto("/console/proposals")
        await page.get_by_role("row", name="Money that waits is cleared").get_by_role("radio").check()
        await page.get_by_label("Approve").check()
        await page.get_by_label("Client id").fill(people["bank_checker"]["client_id"])
        await page.get_by_label("Client secret").fill(people["bank_checker"]["client_secret"])
        await page.get_by_role("button", name="Sign and decide").click()
        await page.get_by_text("Decided").wait_for()
        await context.close()
        async with settlement.caller("bank_maker") as maker:
            (waits,) = (await maker.get("/suspense")).json()["items"]
    assert waits["waiting"]["amount"] == "40.00"
