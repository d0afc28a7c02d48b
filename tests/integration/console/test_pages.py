"""Pages and JSON, over ASGI on a real PostgreSQL."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import services.console
from services.console.api.assets import assets
from services.console.api.languages import LANGUAGES, LOCALES
from services.console.domain.summaries import SUMMARIES, WORDS
from services.console.main import build
from shared.events.credit import DrawdownTopUpDue
from shared.events.settlement import LoanOverdue
from shared.web.auth import BANK, COOKIE, unclassified_routes
from tests.integration.console.story import (
    DOUBTFUL,
    DRAW,
    INVOICE,
    LINE,
    LOOKED_AT,
    PROGRAMME,
    QUIET,
    SUPPLIER,
    apply,
    received,
    story,
)
from tests.support.service import Bench, bench

PAGES = (
    *("/console/today", "/console/proposals"),
    *("/console/feed", "/console/exposure", "/console/drawdowns", "/console/documents", "/console/uploads"),
    "/console/credit-notes",
    *("/console/queues", "/console/what-if"),
)
_JINJA = {"method_map": [("**.html", "jinja2")], "options_map": {"**.html": {"newstyle_gettext": "true"}}}


@pytest.fixture
async def console(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("console", build, url=fresh_database, home=tmp_path) as made:
        yield made


def _browser(console: Bench, *roles: str, party: str | None = None, accept: str = "text/html") -> httpx.AsyncClient:
    """Return a browser that has signed in: a cookie, no Authorization header."""
    cookies = {}
    if roles:
        issuer = console.app.fastapi.state.issuer
        cookies = {COOKIE: issuer.issue(subject="reader", roles=roles, party=party, client_id="reader")}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(console.app, raise_app_exceptions=False),
        base_url="http://test",
        cookies=cookies,
        headers={"accept": accept},
    )


async def test_a_page_without_a_token_leads_to_the_sign_in_form(console: Bench) -> None:
    async with _browser(console) as nobody:
        answers = [await nobody.get(page) for page in PAGES]
        form = await nobody.get("/console/")
        deep = await nobody.get("/console/documents", params={"state": "referred"})
        back = await nobody.get(deep.headers["location"])
        foreign = [await nobody.get("/console/", params={"next": place}) for place in ("//evil", "https://e.vil", "/x")]
    assert [(answer.status_code, urlsplit(answer.headers["location"]).path) for answer in answers] == [
        (303, "/console/")
    ] * len(PAGES)
    assert 'action="/onboarding/v1/token"' in form.text
    assert 'name="redirect" value="/console/today"' in form.text
    assert 'name="redirect" value="/console/documents?state=referred"' in back.text, "and back to where one was"
    assert all('name="redirect" value="/console/today"' in answer.text for answer in foreign)


async def test_a_program_without_a_token_gets_a_problem_and_not_a_page(console: Bench) -> None:
    async with _browser(console, accept="application/json") as nobody:
        page = await nobody.get("/console/feed")
        events = await nobody.get("/console/v1/events", headers={"accept": "text/html"})
    for answer in (page, events):
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")


async def test_r23_a_party_sees_neither_pages_nor_json(console: Bench) -> None:
    for role in ("anchor_maker", "anchor_checker", "sme", "erp"):
        async with _browser(console, role, party=SUPPLIER) as party:
            answers = [await party.get(page) for page in (*PAGES, "/console/stream")]
            exposure = await party.get("/console/v1/exposure")
        assert {answer.status_code for answer in answers} == {403}
        assert "<h1>" in answers[0].text
        assert (exposure.status_code, exposure.json()["code"]) == (403, "forbidden")


async def test_the_banks_people_read_every_page_before_anything_happened(console: Bench) -> None:
    for role in BANK:
        async with _browser(console, role) as reader:
            answers = [await reader.get(page) for page in PAGES]
        assert [answer.status_code for answer in answers] == [200] * len(PAGES)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_pages_tell_the_story_in_both_languages(console: Bench, language: str) -> None:
    await apply(console.database, received(story()))
    async with _browser(console, "risk_officer") as reader:
        pages = {page: (await reader.get(page, params={"lang": language})).text for page in PAGES}
        again = await reader.get("/console/feed")
    expected = {
        "en": ("Huai River Castings draws 100.00 CNY", "Short by", "above automatic approval"),
        "zh": ("Huai River Castings申请提款 100.00 CNY", "可用", "超过自动审批限额"),
    }[language]
    assert expected[0] in pages["/console/feed"]
    assert expected[2] in pages["/console/queues"]
    assert f'<html lang="{language}">' in again.text, "the language asked for is remembered"
    assert "Jiangnan supply" in pages["/console/exposure"]
    assert "450.00" in pages["/console/exposure"]
    if language == "zh":
        assert expected[1] in pages["/console/exposure"]
    assert "E2E-3" in pages["/console/queues"]


async def test_r15_a_loan_shows_its_schedule_what_is_due_and_what_is_late_with_its_penalty(console: Bench) -> None:
    told = received(story())
    late = next(nth for nth, each in enumerate(told) if isinstance(each.event, LoanOverdue))
    await apply(console.database, told[: late + 1])
    async with _browser(console, "bank_checker") as reader:
        overview = await reader.get("/console/drawdowns")
        page = (await reader.get(f"/console/loans/{DRAW}")).text
        await apply(console.database, told[late + 1 :])
        closed = (await reader.get(f"/console/loans/{DRAW}", params={"lang": "zh"})).text
        waiting = await reader.get(f"/console/loans/{QUIET}")
        missing = await reader.get(f"/console/loans/{LINE}")
    assert f'href="/console/loans/{DRAW}"' in overview.text
    for shown in ("4 days past due", "42.10", "2026-04-01", "overdue", "scheduled", "4 days", "9%"):
        assert shown in page, shown
    assert page.count("<tr>") == 3, "two instalments and their head"
    for shown in ("还款计划", "已还", "60.00", "2026年5月11日"):
        assert shown in closed, shown
    assert closed.count("<tr>") == 6, "two receipts and their head beside"
    assert "放款后开始显示还款计划" in waiting.text
    assert missing.status_code == 404


async def test_a_document_shows_why_it_waits_how_it_matches_and_where_a_decision_is_signed(console: Bench) -> None:
    await apply(console.database, received(story()))
    async with _browser(console, "bank_checker") as reader:
        waiting = (await reader.get(f"/console/documents/{DOUBTFUL}")).text
        accepted = (await reader.get(f"/console/documents/{LOOKED_AT}")).text
        matched = (await reader.get(f"/console/documents/{INVOICE}")).text
        referred = (await reader.get("/console/documents", params={"state": "referred"})).text
        queue = (await reader.get("/console/queues")).text
        missing = await reader.get(f"/console/documents/{LINE}")
    assert "payee is not the seller" in waiting
    assert f'data-decide="/receivables/v1/receivables/{DOUBTFUL}/referral-decisions"' in waiting
    assert "data-decide" not in accepted
    assert "1 of 2 lines match." in matched
    assert (referred.count("INV-3"), referred.count("INV-4"), referred.count("INV-1")) == (1, 0, 0)
    assert "INV-4" not in queue, "what a person accepted waits no more"
    assert missing.status_code == 404


async def test_a_credit_note_shows_what_it_lowers_or_why_it_waits_and_where_a_decision_is_signed(
    console: Bench,
) -> None:
    await apply(console.database, received(story()))
    async with _browser(console, "bank_maker") as reader:
        queue = (await reader.get("/console/queues")).text
        waiting = (await reader.get("/console/credit-notes", params={"state": "referred"})).text
        (address,) = re.findall(r'href="(/console/credit-notes/[^"]+)">CN-3<', queue)
        page = (await reader.get(address)).text
        chinese = (await reader.get(address, params={"lang": "zh"})).text
        everything = (await reader.get("/console/credit-notes", params={"lang": "en"})).text
        (applied,) = re.findall(r'href="(/console/credit-notes/[^"]+)">CN-2<', everything)
        lowered = (await reader.get(applied)).text
        missing = await reader.get(f"/console/credit-notes/{LINE}")
    assert ("invoices financed apart" in queue, "CN-2" in queue) == (True, False)
    assert ("CN-3" in waiting, "CN-1" in waiting) == (True, False)
    assert "invoices financed apart" in page
    assert f'data-decide="{address.replace("/console", "/receivables/v1")}/decisions"' in page
    assert "所引用发票的融资情况不同" in chinese
    assert ("INV-11" in lowered, "5.00" in lowered, "data-decide" in lowered) == (True, True, False)
    assert missing.status_code == 404


async def test_r6_a_loan_that_is_called_for_more_security_waits_in_a_queue_until_nothing_is_lacking(
    console: Bench,
) -> None:
    told = received(story())
    due = next(nth for nth, each in enumerate(told) if isinstance(each.event, DrawdownTopUpDue))
    await apply(console.database, told[: due + 1])
    async with _browser(console, "risk_officer") as reader:
        waiting = (await reader.get("/console/queues", params={"lang": "zh"})).text
        await apply(console.database, told[due + 1 :])
        over = (await reader.get("/console/queues")).text
    (queue,) = re.findall(r'<section class="queue" aria-labelledby="top-ups-due">.*?</section>', waiting, re.DOTALL)
    assert ("补仓" in queue, "10.00" in queue, f'href="/console/loans/{DRAW}"' in queue) == (True, True, True)
    assert 'id="top-ups-due"' not in over


async def test_a_browser_is_answered_in_its_own_language(console: Bench) -> None:
    async with _browser(console) as reader:
        chinese = await reader.get("/console/", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
        other = await reader.get("/console/", headers={"accept-language": "fr"})
    assert "登录" in chinese.text
    assert "Sign in" in other.text


def test_every_message_is_translated_and_no_translation_is_left_over() -> None:
    templates = Path(services.console.__file__).parent / "templates"
    found = {message for _, _, message, _, _ in extract_from_dir(templates, **_JINJA)}  # type: ignore[arg-type] # a typed dict's worth
    wanted = {message[0] if isinstance(message, tuple) else message for message in found}
    wanted |= {*SUMMARIES.values(), *WORDS}
    for language in set(LANGUAGES) - {"en"}:
        kept: dict[str, Any] = {}
        for path in (LOCALES / language).glob("*.po"):
            with path.open("rb") as source:
                kept |= {_first(each.id): each for each in read_po(source, locale=language) if each.id}
        assert set(kept) == wanted
        for text, message in kept.items():
            assert message.string, text
            assert not message.fuzzy
            translated = message.string[0] if isinstance(message.string, tuple) else message.string
            assert set(re.findall(r"\{\w+\}|%\(\w+\)s", translated)) == set(re.findall(r"\{\w+\}|%\(\w+\)s", text))


def _first(text: str | tuple[str, ...] | list[str]) -> str:
    return text if isinstance(text, str) else text[0]


async def test_text_from_outside_is_shown_and_never_run(console: Bench) -> None:
    told = received(story())
    await apply(console.database, told)
    async with console.database.transaction() as tx:
        await tx.pg.execute("UPDATE enterprise SET name = '<script>alert(1)</script>'")
        await tx.pg.execute("UPDATE programme_exposure SET name = '<img src=x onerror=alert(1)>'")
    async with _browser(console, "bank_maker") as reader:
        pages = [(await reader.get(page)).text for page in PAGES]
    assert all("<script>alert" not in page and "<img" not in page for page in pages)
    assert "&lt;script&gt;alert(1)" in pages[PAGES.index("/console/feed")]


async def test_pages_keep_their_own_content_policy_and_stay_out_of_caches(console: Bench) -> None:
    await apply(console.database, received(story()))
    async with _browser(console, "bank_maker") as reader:
        answers = [await reader.get(page) for page in ("/console/", *PAGES)]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", answer.text), "inline"


async def test_assets_are_a_closed_list_that_a_browser_may_keep(console: Bench) -> None:
    async with _browser(console) as nobody:
        answers = {name: await nobody.get(asset.address) for name, asset in assets().items()}
        foreign = await nobody.get("/console/assets/..%2fmain.py", headers={"accept": "*/*"})
        unknown = await nobody.get("/console/assets/main.py", headers={"accept": "*/*"})
    assert {"console.css", "console.js", "htmx.min.js", "sse.js", "pico.min.css"} <= set(answers)
    for answer in answers.values():
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript", "image/svg+xml"))
    assert {foreign.status_code, unknown.status_code} == {404}


async def test_every_route_says_who_may_call_it_and_a_cookie_only_reads(console: Bench) -> None:
    assert unclassified_routes(console.app.fastapi) == []
    async with _browser(console, "bank_maker") as reader:
        out = await reader.post("/console/sign-out")
        wrong = await reader.post("/console/feed")
    assert (out.status_code, out.headers["location"]) == (303, "/console/")
    assert f'{COOKIE}=""' in out.headers["set-cookie"]
    assert wrong.status_code == 405


async def test_events_are_read_on_from_a_position(console: Bench) -> None:
    told = received(story())
    await apply(console.database, told)
    async with console.caller("bank_checker") as checker:
        seen, after, pages = [], "0", 0
        while after is not None:
            answer = (await checker.get("/events", params={"after": after, "limit": 20})).json()
            seen += [item["event_id"] for item in answer["items"]]
            after, pages = answer["next"], pages + 1
        story_of_one = (await checker.get("/events", params={"subject": DRAW, "limit": 500})).json()["items"]
    assert (len(seen), set(seen)) == (len(told), {each.id for each in told})
    assert pages == -(-len(told) // 20)
    assert {item["topic"].split(".")[1] for item in story_of_one} == {"credit", "receivables", "settlement"}
    assert story_of_one[0]["summary"].startswith("Huai River Castings draws 100.00 CNY")
    assert story_of_one[0]["facts"]["principal"] == {"amount": "100.00", "currency": "CNY"}


async def test_exposure_is_read_programme_by_programme_and_line_by_line(console: Bench) -> None:
    await apply(console.database, received(story()))
    async with console.caller("bank_checker") as checker:
        whole = (await checker.get("/exposure")).json()
        first = (await checker.get("/exposure", params={"limit": 1})).json()
        second = (await checker.get("/exposure", params={"limit": 2, "cursor": first["next"]})).json()
        one = (await checker.get("/exposure", params={"programme_id": PROGRAMME})).json()
        broken = await checker.get("/exposure", params={"cursor": "bm9uc2Vuc2U="})
    assert whole["open_date"] == "2026-03-03"
    assert whole["totals"] == [
        {
            "currency": "CNY",
            "limit": {"amount": "900.00", "currency": "CNY"},
            "reserved": {"amount": "863.00", "currency": "CNY"},
            "held": {"amount": "90.00", "currency": "CNY"},
            "utilised": {"amount": "50.00", "currency": "CNY"},
            "available": {"amount": "760.00", "currency": "CNY"},
        }
    ]
    assert [(each["direction"], each["tier"]) for each in whole["items"]] == [
        ("upstream", 1),
        ("upstream", 2),
        ("downstream", 1),
    ]
    assert whole["items"][0]["line_id"] == LINE
    assert whole["items"][0]["available"] == {"amount": "330.00", "currency": "CNY"}
    assert whole["items"][1]["reasons"] == ["agreement_not_signed"]
    assert first["items"] + second["items"] == whole["items"] == one["items"]
    assert (second["next"], broken.status_code, broken.json()["code"]) == (None, 422, "invalid_cursor")


async def test_the_feed_page_goes_back_in_time_event_by_event(console: Bench) -> None:
    told = received(story())
    many = [replace(told[0], id=f"x{n}", sequence=n, time=told[0].time + timedelta(seconds=n)) for n in range(1, 251)]
    await apply(console.database, many, batch=90)
    address, times = "/console/feed", []
    async with _browser(console, "bank_maker") as reader:
        while address:
            page = (await reader.get(address)).text
            times += re.findall(r'<time datetime="([^"]+)"', page)
            older = re.search(r'href="(/console/feed\?cursor=[^"]+)"', page)
            address = older[1] if older else ""
    assert times == [each.time.isoformat() for each in reversed(many)]


async def test_a_page_asked_for_nonsense_answers_with_a_page(console: Bench) -> None:
    async with _browser(console, "bank_maker") as reader:
        wrong_id = await reader.get("/console/exposure", params={"programme": "nonsense"})
        nowhere = await reader.get("/console/nowhere")
    assert (wrong_id.status_code, nowhere.status_code) == (422, 404)
    assert "invalid_id" in wrong_id.text
    assert "<h1>" in nowhere.text


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


_NONSENSE = [
    ("/console/feed", {"cursor": _cursor("2026-03-02T00:00:00/1")}),
    ("/console/feed", {"cursor": _cursor(f"2026-03-02T00:00:00+00:00/{10**30}")}),
    ("/console/feed", {"cursor": _cursor(f"2026-03-02T00:00:00+00:00/{'9' * 5000}")}),
    ("/console/feed", {"cursor": _cursor("soon/1")}),
    ("/console/feed", {"cursor": "%%%"}),
    ("/console/feed", {"subject": "a\0b"}),
    ("/console/feed", {"subject": "x" * 101}),
    ("/console/stream", {"after": str(2**63)}),
    ("/console/exposure", {"programme": PROGRAMME, "cursor": _cursor(f"p/{2**31}/l")}),
    ("/console/exposure", {"cursor": _cursor("a\0b")}),
    ("/console/drawdowns", {"cursor": _cursor("a\0b")}),
    ("/console/documents", {"cursor": _cursor("a\0b")}),
    ("/console/documents", {"state": "nonsense"}),
    ("/console/documents/nonsense", {}),
    ("/console/uploads/nonsense", {}),
    ("/console/credit-notes", {"cursor": _cursor("a\0b")}),
    ("/console/credit-notes", {"state": "nonsense"}),
    ("/console/credit-notes/nonsense", {}),
    ("/console/loans/nonsense", {}),
    ("/console/what-if", {"programme": "nonsense"}),
    ("/console/explanation", {"line": "nonsense"}),
    ("/console/explanation", {}),
    ("/console/v1/events", {"after": "-1"}),
    ("/console/v1/events", {"after": str(10**30)}),
    ("/console/v1/events", {"limit": "501"}),
    ("/console/v1/exposure", {"programme_id": "nonsense"}),
    ("/console/v1/exposure", {"cursor": _cursor("p/x/l")}),
]


async def test_nonsense_is_refused_before_it_reaches_a_query(console: Bench) -> None:
    async with _browser(console, "bank_maker", accept="application/json") as reader:
        for route, arguments in _NONSENSE:
            answer = await reader.get(route, params=arguments)
            assert answer.status_code == 422, (route, arguments, answer.text)
            assert answer.json()["code"] in {"invalid_cursor", "invalid_request", "invalid_id"}
