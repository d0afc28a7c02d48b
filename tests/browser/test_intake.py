"""Intake in a real browser: an upload as it goes, what rules found, how lines match, a decision that is signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

import services.console.main
import services.onboarding.main
from services.onboarding.operations.identities import register_identity
from services.receivables.operations.take_uploads import work_uploads
from shared.events.envelope import EVENT_TYPES, Event
from shared.web.auth import COOKIE
from tests.browser.serving import CHROMIUM, served
from tests.integration.console.story import apply, received
from tests.integration.receivables import order_desk as at
from tests.integration.receivables.desk import ANCHOR, FACTOR, SUPPLIER, Desk, desk, disbursed, receivable
from tests.support import hostile
from tests.support.einvoices import Sample, ubl
from tests.support.servers import a_database
from tests.support.service import Bench, bench

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: the browser tests are skipped")
ZIP = {"content-type": "application/zip"}
INVOICE = Sample(SUPPLIER, ANCHOR)


@dataclass
class Hall:
    """Console, onboarding and receivables on one origin, and a browser; console hears what receivables says."""

    origin: str
    console: Bench
    onboarding: Bench
    desk: Desk
    browser: Browser

    async def hear(self) -> None:
        """Tell console everything that was said so far, anew: what it knows already it passes by."""
        async with self.desk.bench.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT type, body FROM outbox ORDER BY position")
        said: list[Event] = [EVENT_TYPES[row["type"]].model_validate_json(row["body"]) for row in rows]
        await apply(self.console.database, received(said))

    @asynccontextmanager
    async def page(self, role: str, *, language: str = "en", **options: Any) -> AsyncIterator[Page]:
        """Open a page signed in with a role; what the browser complains of fails the test."""
        context = await self.browser.new_context(base_url=self.origin, **options)
        token = self.console.app.fastapi.state.issuer.issue(subject="r", roles=[role], party=None, client_id="r")
        await context.add_cookies(
            [
                {"name": COOKIE, "value": token, "url": self.origin},
                {"name": "tributary_language", "value": language, "url": self.origin},
            ]
        )
        complaints: list[str] = []
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        results = await Axe().run(page)
        await context.close()
        assert complaints == []
        assert results.violations_count == 0, results.generate_report()


@pytest.fixture
async def hall(fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path) -> AsyncIterator[Hall]:
    async with (
        a_database(postgres_url, f"{unique_name}_onboarding") as second,
        a_database(postgres_url, f"{unique_name}_receivables") as third,
        bench("console", services.console.main.build, url=fresh_database, home=tmp_path) as console,
        bench("onboarding", services.onboarding.main.build, url=second, home=tmp_path) as onboarding,
        desk(third, tmp_path) as opened,
        served({"console": console, "onboarding": onboarding, "receivables": opened.bench}) as (origin, browser),
    ):
        yield Hall(origin, console, onboarding, opened, browser)


async def _referred(hall: Hall) -> str:
    """Take in an invoice that breaks a rule in two places and one once; return its receivable."""
    nameless = ubl(INVOICE).replace(b"<cbc:Name>Parts</cbc:Name>", b"")
    answer = (await hall.desk.upload(nameless)).json()
    assert answer["state"] == "referred"
    await hall.hear()
    return str(answer["receivable_id"])


async def test_an_upload_is_followed_from_the_list_to_each_of_its_documents(hall: Hall) -> None:
    files = {
        "1.xml": ubl(INVOICE),
        "2.xml": ubl(replace(INVOICE, number="W-1", payee=FACTOR)),
        "3.xml": b"<note/>",
        "4.xml": ubl(replace(INVOICE, number="N-1")).replace(b"<cbc:Name>Parts</cbc:Name>", b""),
    }
    assert (await hall.desk.upload(hostile.archive(files), ZIP, file="many.zip")).status_code == 202
    async with hall.page("bank_maker") as page:
        await page.goto("/console/uploads")
        await page.get_by_text("waiting", exact=True).wait_for()
        await work_uploads(hall.desk.bench.database)
        # The page asks again by itself.
        await page.get_by_text("4 / 4").wait_for(timeout=60_000)
        await page.get_by_role("link", name="many.zip").click()
        await page.get_by_text("4 of 4 answered").wait_for()
        await page.locator("tbody tr").nth(3).wait_for()
        told = [await row.inner_text() for row in await page.locator("tbody tr").all()]
        assert ["accepted" in told[0], "payee is not the seller" in told[1], "refused" in told[2]] == [True] * 3
        await page.get_by_text("Findings: 1").click()
        assert await page.get_by_text("A line's item has no name (BT-153).").is_visible()
        await hall.hear()
        await page.locator("tbody tr").nth(1).get_by_role("link").click()
        await page.get_by_role("heading", name="Document W-1").wait_for()
        await page.get_by_text("Nothing was found.").wait_for()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_r22_a_decision_on_what_waits_is_signed_by_a_checker_whoever_opened_the_page(
    hall: Hall, language: str
) -> None:
    receivable_id = await _referred(hall)
    maker = await register_identity(hall.onboarding.database, name="Li", roles=["bank_maker"], party=None, actor="t")
    checker = await register_identity(
        hall.onboarding.database, name="Wu", roles=["bank_checker"], party=None, actor="t"
    )
    plain = {"en": "A line's item has no name (BT-153).", "zh": "明细行缺少货物或服务名称（BT-153）。"}[language]
    async with hall.page("bank_maker", language=language) as page:
        await page.goto(f"/console/documents/{receivable_id}")
        await page.get_by_text(plain).wait_for()
        assert "BR-25" in await page.locator(".findings").inner_text()
        await page.locator(".findings summary").click()
        assert "InvoiceLine[1]" in await page.locator(".findings .where").inner_text()
        form = page.locator("form.decision")
        await form.locator("[value=accept]").check()
        await form.locator("[name=reason]").fill("seen with the seller")
        for who, secret in ((maker, "a guess"), (maker, maker["client_secret"])):
            await form.locator("[name=client_id]").fill(who["client_id"])
            await form.locator("[name=client_secret]").fill(secret)
            await form.get_by_role("button").click()
            await form.get_by_role("alert").wait_for()
            assert await form.locator("[name=client_secret]").input_value() == ""
        assert await hall.desk.state(receivable_id) == "referred"
        await form.locator("[name=client_id]").fill(checker["client_id"])
        await form.locator("[name=client_secret]").fill(checker["client_secret"])
        await form.get_by_role("button").click()
        await form.get_by_role("status").wait_for()
        assert await hall.desk.state(receivable_id) == "validated"
        await hall.hear()
        await page.locator("form.decision").wait_for(state="detached", timeout=60_000)
    (accepted,) = await hall.desk.events("receivable.accepted.v1")
    assert accepted["reason"] == "seen with the seller"


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_r6_a_credit_note_that_waits_is_shared_out_and_signed(hall: Hall, language: str) -> None:
    first = await hall.desk.confirmed(INVOICE)
    second = await hall.desk.confirmed(
        replace(INVOICE, number="INV-2", gross="600.00", prepaid="0.00", payable="600.00")
    )
    held = hall.desk.held(receivable(first))
    await hall.desk.hear(held)
    await hall.desk.hear(disbursed(held.drawdown_id))
    note = replace(
        INVOICE,
        number="CN-1",
        type_code="381",
        gross="1100.00",
        prepaid="0.00",
        payable="1100.00",
        cites=(("INV-1", None), ("INV-2", None)),
    )
    taken = (await hall.desk.upload(ubl(note, root="CreditNote"))).json()
    assert taken["reasons"] == ["invoices_financed_apart"]
    await hall.hear()
    checker = await register_identity(
        hall.onboarding.database, name="Wu", roles=["bank_checker"], party=None, actor="t"
    )
    above = {"en": "more than is open", "zh": "超过未结金额"}[language]
    async with hall.page("bank_maker", language=language) as page:
        await page.goto("/console/queues")
        await page.get_by_role("link", name="CN-1").click()
        form = page.locator("form.decision")
        await form.locator("input.by").nth(1).wait_for()
        await form.locator("[value=accept]").check()
        await form.locator("[name=reason]").fill("as the seller invoiced")
        for by, refused in (("600.01", above), ("600.00", None)):
            await form.locator("input.by").nth(0).fill("400.00")
            await form.locator("input.by").nth(1).fill(by)
            await form.locator("[name=client_id]").fill(checker["client_id"])
            await form.locator("[name=client_secret]").fill(checker["client_secret"])
            await form.get_by_role("button").click()
            if refused:
                await form.get_by_role("alert").wait_for()
                assert refused in await form.get_by_role("alert").inner_text()
        await form.get_by_role("status").wait_for()
        await hall.hear()
        await page.locator("form.decision").wait_for(state="detached", timeout=60_000)
        assert "100.00" in await page.locator("dl.facts").inner_text(), "what lowers nothing is told"
    left = [(await hall.desk.read(f"/receivables/{each}"))["financeable"]["amount"] for each in (first, second)]
    assert left == ["600.00", "0.00"]


async def test_the_lines_of_a_match_are_told_with_their_reasons_on_a_phone_too(hall: Hall) -> None:
    await at.ordered(hall.desk)
    invoice_id = await at.invoiced(hall.desk, at.invoice(hall.desk, "INV-1", ("1", "60", "6"), ("2", "50", "8")))
    await at.delivered(hall.desk, at.delivery(hall.desk, "R-1", ("1", "40")))
    await hall.hear()
    async with hall.page("risk_officer", viewport={"width": 390, "height": 800}) as page:
        await page.goto(f"/console/documents/{invoice_id}")
        await page.locator("[data-lines] tr").nth(2).wait_for()
        told = [await row.inner_text() for row in await page.locator("[data-lines] tbody tr").all()]
        assert "delivered in part" in told[0]
        assert "not delivered" in told[1]
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
