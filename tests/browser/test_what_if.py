"""What if in a real browser: a change is chosen, credit answers over the same origin, the biggest losers come first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

import services.console.main
import services.credit.main
from shared.events.credit import LineChanged
from shared.events.envelope import Event
from shared.values.ids import new_id
from shared.web.auth import COOKIE
from tests.browser.serving import CHROMIUM, served
from tests.integration.console.story import apply, received
from tests.integration.credit.pledging import registered
from tests.integration.credit.world import World
from tests.support.servers import a_database
from tests.support.service import Bench, bench

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: the browser tests are skipped")


@dataclass
class River:
    """Console and credit on one origin, with one programme that both know."""

    origin: str
    console: Bench
    world: World
    browser: Browser
    first: str
    second: str

    async def page(self, language: str, *, context: BrowserContext | None = None) -> Page:
        """Open the what-if page, signed in, in a language."""
        context = context or await self.browser.new_context(base_url=self.origin)
        token = self.console.app.fastapi.state.issuer.issue(
            subject="r", roles=["risk_officer"], party=None, client_id="r"
        )
        await context.add_cookies([{"name": COOKIE, "value": token, "url": self.origin}])
        page = await context.new_page()
        await page.goto(f"/console/what-if?lang={language}")
        return page


async def _river(world: World, console: Bench) -> tuple[str, str]:
    """Make two suppliers, one behind the other, the first with a drawdown; tell console of them."""
    await world.begin()
    first = await world.supplier(traded="600000.00")
    second = await world.supplier(traded="300000.00", buyer_id=first)
    await world.held(first, "1234.50")
    told: list[Event] = [
        world.firm(world.anchor, name="Jiangnan Motors"),
        world.firm(first, name="Huai River Castings"),
        world.firm(second, name="Tai Lake <b>Moulds</b>"),
        world.activated(),
    ]
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT DISTINCT ON (subject) body FROM outbox WHERE type = $1 ORDER BY subject, sequence DESC",
            LineChanged.type,
        )
    told += [LineChanged.model_validate_json(row["body"]) for row in rows]
    await apply(console.database, received(told))
    await world.hear(world.firm(first, name="Huai River Castings"), world.firm(second, name="Tai Lake <b>Moulds</b>"))
    return first, second


@pytest.fixture
async def river(fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path) -> AsyncIterator[River]:
    async with (
        a_database(postgres_url, f"{unique_name}_credit") as other,
        bench("console", services.console.main.build, url=fresh_database, home=tmp_path) as console,
        bench("credit", services.credit.main.build, url=other, home=tmp_path) as credit,
    ):
        world = World(credit)
        firms = await _river(world, console)
        async with served({"console": console, "credit": credit}) as (origin, browser):
            yield River(origin, console, world, browser, *firms)


async def test_a_firm_that_fails_stands_first_with_what_it_loses_and_what_freezes(river: River) -> None:
    page = await river.page("en")
    await page.locator("[name=change]").select_option("failure")
    assert await page.get_by_label("Notches down").is_hidden()
    await page.get_by_label("Enterprise").select_option(river.first)
    await page.get_by_role("button", name="Compare").click()
    await page.get_by_role("heading", name="What it would do").wait_for()
    lines = page.locator("[data-lines] tr")
    assert await lines.count() == 2
    told = {await line.locator("th").inner_text(): await line.inner_text() for line in await lines.all()}
    assert "sme suspended" in told["Huai River Castings"]
    assert "no trade with the anchor" in told["Tai Lake <b>Moulds</b>"], "text stays text"
    stuck = await page.locator("[data-stuck] tr").inner_text()
    assert "1,234.50" in stuck
    assert "Frozen" in stuck
    assert "2 → 0" in await page.locator("[data-total=drawable_lines]").inner_text()
    programmes = page.locator("[data-programmes] tr")
    assert (await programmes.locator("th").inner_text(), await programmes.count()) == ("P", 1)
    assert "2 / 2" in await programmes.inner_text()
    assert await page.locator("[data-left-off]").is_hidden()
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


async def test_a_pair_s_limit_and_a_cover_are_supposed_on_the_page(river: River) -> None:
    await registered(river.world, river.first)
    page = await river.page("en")
    change = page.locator("[name=change]")
    await change.select_option("pair_limit")
    await page.get_by_label("Supplier").select_option(river.first)
    await page.get_by_label("Buyer").select_option(river.world.anchor)
    await page.get_by_label("Limit (CNY)").fill("1000.00")
    await page.get_by_role("button", name="Compare").click()
    stuck = page.locator("[data-stuck] tr")
    await stuck.first.wait_for()
    assert "short (pair)" in await stuck.inner_text()
    await change.select_option("cover")
    assert await page.get_by_label("Limit (CNY)").is_hidden()
    assert "Huai River Castings · building TITLE-7" in await page.locator("[name=cover_id]").inner_text()
    await page.get_by_label("It is gone").check()
    await page.get_by_role("button", name="Compare").click()
    # No loan stands on it, so nothing freezes.
    await expect(stuck).to_have_count(0)
    assert await page.locator("[data-total=drawable_lines]").inner_text() == "2 → 2"
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


WORDS = {
    "en": ("Add another change", "Change 2", "Remove change 1", "Compare", "What it would do"),
    "zh": ("增加一项变化", "变化 2", "移除变化 1", "对比", "影响"),
}


@pytest.mark.parametrize("language", WORDS)
async def test_changes_are_added_and_removed_by_keyboard_and_supposed_together(river: River, language: str) -> None:
    add, nth, remove, compare, heading = WORDS[language]
    page = await river.page(language)
    rows = page.locator("[data-change]")
    assert await page.get_by_role("button", name=remove).is_hidden()
    await rows.first.locator("[name=change]").select_option("limit")
    await page.get_by_role("button", name=add).press("Enter")
    assert await rows.count() == 2
    second = page.get_by_role("group", name=nth)
    await second.locator("[name=enterprise_id]").select_option(river.second)
    assert await second.locator("[name=notches]").is_visible()
    await second.locator("[name=whole_group]").check()
    await page.get_by_role("button", name=compare).press("Enter")
    await page.get_by_role("heading", name=heading, exact=True).wait_for()
    together = await page.locator("[data-total=cap]").inner_text()
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    await page.get_by_role("button", name=remove).press("Enter")
    assert await rows.count() == 1
    assert await page.get_by_role("button", name=remove).is_hidden()
    # What is left is the second change, now the first; the keyboard is in it.
    assert await rows.first.locator("[name=whole_group]").is_checked()
    assert await page.evaluate("document.activeElement.name") == "change"
    await page.locator("[name=scope]").select_option(river.world.programme)
    async with page.expect_response(lambda answer: "/credit/v1/what-if" in answer.url) as answered:
        await page.get_by_role("button", name=compare).press("Enter")
    assert (await (await answered.value).json())["totals"][0]["programmes"] == 1
    assert await page.locator("[data-total=cap]").inner_text() != together


async def test_without_javascript_the_page_reads_and_says_where_else_to_ask(river: River) -> None:
    context = await river.browser.new_context(base_url=river.origin, java_script_enabled=False)
    page = await river.page("en", context=context)
    assert "the API answers the same" in await page.locator("noscript").inner_text()
    assert await page.get_by_role("group", name="Change 1").is_visible()
    assert await page.locator(".supposed").is_hidden()


async def test_the_page_speaks_chinese_and_what_cannot_be_supposed_is_said(river: River) -> None:
    page = await river.page("zh")
    assert await page.get_by_role("heading", level=1).inner_text() == "情景推演"
    await page.locator("[name=change]").select_option("limit")
    await page.get_by_role("button", name="对比").click()
    await page.get_by_role("heading", name="影响", exact=True).wait_for()
    assert "可提款" in await page.locator("[data-lines] tr").first.inner_text()
    await page.locator("[name=change]").select_option("trade")
    await page.get_by_label("供应商").select_option(river.world.anchor)
    await page.get_by_role("button", name="对比").click()
    await page.get_by_role("alert").wait_for()
    assert await page.get_by_role("alert").inner_text() == "变化 1: 两家企业之间没有贸易"
    assert await page.locator(".supposed").is_hidden()


async def test_a_page_without_programmes_says_so(river: River) -> None:
    async with river.console.database.transaction() as tx:
        await tx.pg.execute("DELETE FROM programme_exposure")
    page = await river.page("en")
    assert await page.get_by_text("No programmes yet.").is_visible()
    await page.goto(f"/console/what-if?programme={new_id()}")
    assert await page.get_by_role("button", name="Compare").is_visible()


@pytest.mark.parametrize(("language", "available", "held"), [("en", "can draw", "held"), ("zh", "可用额度", "已占用")])
async def test_a_line_is_explained_now_and_as_it_stood(river: River, language: str, available: str, held: str) -> None:
    page = await river.page(language)
    await page.goto("/console/exposure")
    await page.get_by_role("row", name="Huai River Castings").get_by_role("link").last.click()
    await page.locator("[data-nodes] tr").first.wait_for()
    text = await page.locator("[data-text]").inner_text()
    assert available in text
    assert f"{held} CNY 1,234.50" in text
    assert await page.locator("[data-nodes] tr").count() == 7
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    await page.locator("[name=as_of]").fill("2100-01-01T00:00:00")
    await page.locator("form[data-explanation] button").click()
    await page.get_by_role("alert").wait_for()
    assert "not a past instant" in await page.get_by_role("alert").inner_text()
