"""The stage: a step is ok only when its effect came, and what it changed is seen."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tributary.demo.client import NothingHappened, Person, Refused, until
from tributary.demo.plan import InvoiceFile
from tributary.demo.report import Result, as_json
from tributary.demo.stage import Stage, StoryStopped, Unexpected, expect, money
from tributary.demo.story.intake import send
from tributary.demo.story.world import Taken


def _node(available: str) -> dict[str, Any]:
    zero = {"amount": "0.00", "currency": "CNY"}
    return {"available": {"amount": available, "currency": "CNY"}, "utilised": zero, "shortfall": zero}


async def test_a_step_records_which_limits_it_changed_from_the_group_down() -> None:
    nodes = [{"line/a": _node("5.00"), "group/g": _node("9.00"), "sme/x": _node("1.00")}]
    nodes.append({"line/a": _node("3.00"), "group/g": _node("7.00"), "sme/x": _node("0.00")})
    stage = Stage(look=_one_after_the_other(nodes))
    async with stage.step("draws") as step:
        step.say("2.00 lent")
    assert (step.ok, step.text) == (True, "2.00 lent")
    seen = [(each.level, each.before and each.before["available"]["amount"]) for each in step.changes]
    assert seen == [("group", "9.00"), ("line", "5.00")]


def _one_after_the_other(nodes: list[dict[str, Any]]) -> Any:
    async def look() -> dict[str, Any]:
        return nodes.pop(0)

    return look


@pytest.mark.parametrize(
    "error",
    [
        Unexpected("the line's use rose"),
        NothingHappened(awaited="the loan", within_s=1),
        Refused(status=409, document={"code": "limit_exceeded"}, request="POST /credit/v1/drawdowns"),
    ],
)
async def test_a_step_without_its_effect_fails_and_stops_the_story(error: Exception) -> None:
    stage = Stage()
    with pytest.raises(StoryStopped):
        async with stage.step("draws"):
            raise error
    result = Result("a run", stage.steps, [])
    assert (stage.steps[0].ok, result.failures) == (False, [f"step 'draws' failed: {error}"])


async def test_a_programming_error_is_no_failed_step() -> None:
    with pytest.raises(KeyError):
        async with Stage().step("draws"):
            raise KeyError


async def test_what_never_comes_is_waited_for_in_vain_and_for_a_bounded_time() -> None:
    async def never() -> None:
        await asyncio.sleep(0)

    with pytest.raises(NothingHappened, match="the moon"):
        await until(never, awaited="the moon", within_s=0.05)


def test_an_expectation_says_what_was_expected() -> None:
    expect(holds=True, what="all is well")
    with pytest.raises(Unexpected, match="all is well"):
        expect(holds=0, what="all is well")


@pytest.mark.parametrize(
    ("status", "document", "outcome", "code"),
    [
        (409, {"code": "duplicate_document"}, "duplicate", "duplicate_document"),
        (422, {"code": "not_an_invoice"}, "refused", "not_an_invoice"),
        (500, {"code": "whatever"}, "refused", "internal_error"),
        (200, {"items": [{"outcome": "duplicate", "code": "duplicate_document", "message": "again"}]}, "duplicate", ""),
        (200, {"items": [{"outcome": "refused", "code": "invalid_amount", "message": "bad"}]}, "refused", ""),
        (200, {"items": [{"outcome": "accepted"}, {"outcome": "refused"}]}, "accepted", "validated"),
        (200, {"items": []}, "refused", "no_rows"),
    ],
)
async def test_a_file_is_exactly_one_of_accepted_refused_and_duplicate(
    status: int, document: dict[str, Any], outcome: str, code: str
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=document))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        person = Person("somebody", ("erp",), "party", http, "token")
        taken = await send(person, InvoiceFile("a.xml", b"<a/>", "application/xml", None))
    assert taken.outcome == outcome
    assert taken.code == (code or document["items"][0]["code"])


def test_the_document_counts_what_it_lists() -> None:
    outcomes = ["accepted", "refused", "duplicate", "accepted"]
    document = as_json(Result("a run", [], [Taken(f"{n}", outcome, "", "") for n, outcome in enumerate(outcomes)]))
    intake = document["intake"]
    assert (intake["accepted"], intake["refused"], intake["duplicates"]) == (2, 1, 1)
    assert [set(each) for each in intake["files"]] == [{"file", "outcome", "code", "message"}] * 4
    assert {"processes", "steps", "intake", "lines", "events", "invariants"} <= set(document)


def test_money_reads_as_people_write_it() -> None:
    assert money({"amount": "-1234567.80", "currency": "CNY"}) == "-1,234,567.80 CNY"
    assert money({"amount": "6125", "currency": "JPY"}) == "6,125 JPY"
