"""The pages in a real browser: clean for assistive technology, readable without JavaScript, live with it.

They need a Chromium on PATH, which no set-up of ours installs; without one they skip.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

import services.console.main
import services.onboarding.main
from services.onboarding.operations.enterprises import propose_suspension, register_enterprise
from services.onboarding.operations.identities import register_identity
from shared.storage.approvals import propose
from shared.web.auth import COOKIE
from tests.browser.serving import CHROMIUM, served
from tests.integration.console.story import DOUBTFUL, DRAW, INVOICE, WAITING, apply, received, story
from tests.support.servers import a_database
from tests.support.service import Bench, bench

PAGES = (
    *("", "today", "queues", "proposals", "feed", "exposure", "drawdowns", "documents", "uploads", "credit-notes"),
    *("what-if", f"loans/{DRAW}", f"loans/{WAITING}", f"documents/{DOUBTFUL}", f"documents/{INVOICE}"),
    *(f"uploads/{DRAW}", "nowhere"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: the browser tests are skipped")


@dataclass
class Site:
    """Console and onboarding on one origin, and a browser."""

    origin: str
    console: Bench
    onboarding: Bench
    browser: Browser

    @asynccontextmanager
    async def page(self, *, signed_in: bool = True, **options: Any) -> AsyncIterator[Page]:
        """Open a page in a context of its own; what the browser complains of fails the test."""
        context = await self.browser.new_context(base_url=self.origin, **options)
        complaints: list[str] = []
        if signed_in:
            issuer = self.console.app.fastapi.state.issuer
            token = issuer.issue(subject="r", roles=["risk_officer"], party=None, client_id="r")
            await context.add_cookies([{"name": COOKIE, "value": token, "url": self.origin}])
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        yield page
        await context.close()
        assert complaints == []


@pytest.fixture
async def site(fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        a_database(postgres_url, f"{unique_name}_onboarding") as other,
        bench("console", services.console.main.build, url=fresh_database, home=tmp_path) as console,
        bench("onboarding", services.onboarding.main.build, url=other, home=tmp_path) as onboarding,
        served({"console": console, "onboarding": onboarding}) as (origin, browser),
    ):
        yield Site(origin, console, onboarding, browser)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_an_accessibility_violation(site: Site, language: str, scheme: str) -> None:
    await apply(site.console.database, received(story()))
    async with site.page(color_scheme=scheme, reduced_motion="reduce") as page:
        for name in PAGES:
            await page.goto(f"/console/{name}?lang={language}")
            assert await page.locator("html").get_attribute("lang") == language
            results = await Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            assert len(results.response["passes"]) > 10, "the rules were not applied"


async def test_pages_read_without_javascript(site: Site) -> None:
    await apply(site.console.database, received(story()))
    async with site.page(java_script_enabled=False) as page:
        await page.goto("/console/feed")
        assert await page.locator("#events tr").count() == min(len(story()), 100), "a page of the feed"
        assert await page.locator(".pause").is_hidden()
        await page.get_by_role("link", name="Exposure").click()
        assert await page.get_by_role("row", name="Huai River Castings").is_visible()
        await page.get_by_role("link", name="中文").click()
        assert await page.get_by_role("heading", level=1).inner_text() == "敞口"


async def test_a_new_event_appears_by_itself_until_the_reader_pauses(site: Site) -> None:
    told = received(story())
    await apply(site.console.database, told[:3])
    async with site.page() as page:
        await page.goto("/console/feed")
        await page.get_by_text("Live", exact=True).wait_for()
        await apply(site.console.database, told[3:4])
        await page.get_by_text("Tai Lake Moulds is registered").wait_for(timeout=60_000)
        assert "Tai Lake Moulds" in await page.locator("#events tr").first.inner_text()
        assert await page.locator("#events tr").count() == 4
        await page.get_by_role("button", name="Pause").click()
        await apply(site.console.database, told[4:5])
        await page.wait_for_timeout(1500)
        assert await page.locator("#events tr").count() == 4
        await page.get_by_role("button", name="Resume").click()
        await page.locator("#events tr").nth(4).wait_for()


@pytest.mark.parametrize("script", [True, False])
async def test_a_person_signs_in_and_out(site: Site, *, script: bool) -> None:
    made = await register_identity(site.onboarding.database, name="Li", roles=["bank_maker"], party=None, actor="test")
    async with site.page(signed_in=False, java_script_enabled=script) as page:
        await page.goto("/console/exposure")
        assert urlsplit(page.url).path == "/console/"
        await page.get_by_label("Client id").fill(made["client_id"])
        if script:
            await page.get_by_label("Client secret").fill("a guess")
            await page.get_by_role("button", name="Sign in").click()
            assert "not known" in await page.get_by_role("alert").inner_text()
        await page.get_by_label("Client secret").fill(made["client_secret"])
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/console/exposure")
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/")
        await page.goto("/console/feed")
        assert urlsplit(page.url).path == "/console/"


async def test_the_keyboard_reaches_the_content_and_a_narrow_screen_never_scrolls_sideways(site: Site) -> None:
    await apply(site.console.database, received(story()))
    async with site.page(viewport={"width": 390, "height": 800}) as page:
        for name in PAGES[1:-1]:
            await page.goto(f"/console/{name}")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.className") == "skip"
            await page.keyboard.press("Enter")
            assert await page.evaluate("document.activeElement.id") == "main"
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_today_tells_what_waits_and_what_happened_just_now_and_comes_anew_by_itself(site: Site) -> None:
    told = received(story())
    referred = next(nth for nth, each in enumerate(told) if each.type == "drawdown.referred.v1")
    await apply(site.console.database, told[:referred])
    async with site.page() as page:
        await page.goto("/console/today")
        await page.get_by_text("Live", exact=True).wait_for()
        assert await page.get_by_role("link", name="Referred drawdowns").count() == 0
        await apply(site.console.database, told[referred : referred + 1])
        await page.get_by_text("A person decides on the drawdown").wait_for(timeout=60_000)
        assert await page.locator("#events tr").count() == 8, "the oldest goes"
        await page.get_by_role("link", name="Referred drawdowns").wait_for(timeout=60_000)
        await page.get_by_role("link", name="Referred drawdowns").click()
        await page.get_by_role("link", name="Huai River Castings").click()
        await page.get_by_role("heading", name="Drawdown of Huai River Castings").wait_for()
        assert await page.get_by_role("button", name="Sign and decide").is_visible()


@pytest.mark.parametrize("place", ["today", "uploads"])
async def test_a_session_that_ended_is_told_and_leads_back_to_the_page(site: Site, place: str) -> None:
    async with site.page() as page:
        if place == "today":
            await page.goto("/console/today")
            await page.get_by_text("Live", exact=True).wait_for()
            await page.context.clear_cookies()
        else:
            await page.route("**/receivables/v1/**", lambda route: route.fulfill(status=401, body="{}"))
            await page.goto("/console/uploads")
        alert = page.get_by_role("alert").filter(has_text="Your session has ended")
        await alert.wait_for(timeout=60_000)
        assert await alert.count() == 1
        await alert.get_by_role("link", name="Sign in").click()
        assert await page.locator("[name=redirect]").get_attribute("value") == f"/console/{place}"


async def test_r22_a_proposal_is_listed_for_a_second_person_and_never_decided_by_who_made_it(site: Site) -> None:
    database = site.onboarding.database
    people = {
        role: await register_identity(database, name=role, roles=[role], party=None, actor="test")
        for role in ("bank_maker", "bank_checker")
    }
    firm = await register_enterprise(
        database,
        name="Huai River Castings",
        country="CN",
        legal_identifiers={"uscc": "91350100M000100Y43"},
        group_head_id=None,
        size_class="small",
        industry="",
        account="ACC-1",
        actor="test",
    )
    maker = people["bank_maker"]
    await propose_suspension(database, enterprise_id=firm, reason="court order", actor=maker["identity_id"])
    async with site.page() as page:
        await page.goto("/console/today")
        await page.get_by_role("link", name="Proposals for a second person").click()
        row = page.get_by_role("row", name="A firm is suspended")
        assert "court order" in await row.inner_text()
        await row.get_by_role("radio").check()
        await page.get_by_label("Approve").check()
        for role, answer in (("bank_maker", "never who proposed it"), ("bank_checker", "Decided")):
            await page.get_by_label("Client id").fill(people[role]["client_id"])
            await page.get_by_label("Client secret").fill(people[role]["client_secret"])
            await page.get_by_role("button", name="Sign and decide").click()
            await page.get_by_text(answer).wait_for()
        await row.wait_for(state="detached", timeout=60_000)
    async with database.reader() as tx:
        state = await tx.pg.fetchval("SELECT state FROM enterprise WHERE enterprise_id = $1", firm)
    assert state == "suspended"


async def test_what_another_tab_decided_meanwhile_is_refused_and_says_so(site: Site) -> None:
    database = site.onboarding.database
    checker = await register_identity(database, name="c", roles=["bank_checker"], party=None, actor="test")
    async with database.transaction() as tx:
        await propose(tx, kind="programme.limit", subject="p", content={}, proposer="somebody")
    async with site.page() as page:
        await page.goto("/console/proposals")
        await page.get_by_role("radio", name="Decide on A programme's limit changes").check()
        async with database.transaction() as tx:
            await tx.pg.execute("UPDATE approval SET state = 'declined', decided_by = 'another'")
        await page.get_by_label("Decline").check()
        await page.get_by_label("Why").fill("not now")
        await page.get_by_label("Client id").fill(checker["client_id"])
        await page.get_by_label("Client secret").fill(checker["client_secret"])
        await page.get_by_role("button", name="Sign and decide").click()
        await page.get_by_text("Somebody decided before").wait_for()
