"""What must stop draws stops them at once on a large programme too, though its lines wait for their generation."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from services.credit.domain.blocks import Cause, Target
from services.credit.operations.block_lines import block
from services.credit.operations.generations.flip import flip
from services.credit.operations.generations.write import write_chunk
from shared.events.onboarding import (
    EnterpriseReinstated,
    EnterpriseSuspended,
    ProgrammeLimitIncreased,
    ProgrammeSuspended,
)
from shared.events.receivables import ReceivableDiluted
from shared.events.settlement import BusinessDayClosed, LoanOverdue
from tests.integration.credit.generation import begun, carried, keep, laid_beside, only, under_lock
from tests.integration.credit.world import World, cny

pytestmark = pytest.mark.usefixtures("beyond")
NEXT = date(2026, 3, 3)


@pytest.fixture
def beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every programme of more than one line is a large one."""
    monkeypatch.setitem(under_lock(), "lines_under_lock", 1)


async def _stopped(world: World, firm: str, document: str, *, reason: str) -> None:
    """No line is written yet, and the next draw is refused for this reason; it stays so once they are."""
    for _ in range(2):
        refused = await world.draw(firm, [document], "1.00")
        assert (refused.status_code, refused.json()["code"]) == (409, "line_not_drawable"), refused.text
        assert reason in refused.json()["reasons"]
        assert reason in (await world.line_of(firm))["reasons"]
        await carried(world)


async def _two(world: World) -> tuple[str, str, list[str]]:
    """Two firms; the first has drawn, so that its line is remembered, and has documents to draw on."""
    await world.begin()
    first, second = await world.supplier(), await world.supplier()
    await world.held(first, "1.00")
    return first, second, [await world.receivable(first) for _ in range(2)]


async def test_a_suspended_firm_draws_no_more_and_a_reinstated_one_does_once_it_is_propagated(world: World) -> None:
    first, second, documents = await _two(world)
    await keep(world, [EnterpriseSuspended(enterprise_id=first, reason="watch list")])
    assert await only(world, "SELECT bool_and(drawable) FROM line")
    await _stopped(world, first, documents[0], reason="sme_suspended")
    await world.held(second, "1.00")
    await world.hear(EnterpriseReinstated(enterprise_id=first, reason="well again"))
    assert (await world.draw(first, documents[:1], "1.00")).status_code == 201


async def test_nothing_is_drawn_in_a_suspended_programme(world: World) -> None:
    first, _, documents = await _two(world)
    await keep(world, [ProgrammeSuspended(programme_id=world.programme, reason="review")])
    assert await only(world, "SELECT bool_and(drawable) FROM line")
    await _stopped(world, first, documents[0], reason="programme_not_active")


async def test_r17_a_line_with_an_overdue_loan_is_frozen(world: World) -> None:
    first, _, documents = await _two(world)
    drawn = await world.held(first, "10.00")
    await world.hear(world.assigned(drawn), world.disbursed(drawn, "10.00"))
    await keep(world, [LoanOverdue(loan_id=drawn, days_past_due=4, outstanding=cny("10.00"))])
    await _stopped(world, first, documents[0], reason="overdue")


async def test_r6_a_line_with_a_deficiency_is_frozen(world: World) -> None:
    first, _, documents = await _two(world)
    drawn = await world.held(first, "80000.00")
    await world.hear(world.assigned(drawn), world.disbursed(drawn, "80000.00"))
    receivable = await only(world, "SELECT document_id FROM document_use ORDER BY drawdown_id DESC LIMIT 1")
    diluted = ReceivableDiluted(
        receivable_id=receivable, by=cny("30000.00"), financeable=cny("70000.00"), reason="return"
    )
    await keep(world, [diluted])
    await _stopped(world, first, documents[0], reason="deficiency")


@pytest.mark.parametrize("paper", ["rating", "agreement"])
async def test_r17_what_ends_with_a_business_date_ends_with_it(world: World, paper: str) -> None:
    first, _, documents = await _two(world)
    last = date(2026, 3, 2)
    event = world.rating(first, valid_until=last) if paper == "rating" else world.agreement(first, expiry=last)
    await world.hear(event)
    await keep(world, [BusinessDayClosed(closed_date=last, open_date=NEXT)])
    await _stopped(world, first, documents[0], reason=f"{paper}_expired")


async def test_the_end_of_an_increase_bounds_draws_with_the_business_date(world: World) -> None:
    await world.begin(limit=cny("100.00"), upstream_limit=cny("100.00"), downstream_limit=cny("100.00"))
    first, _ = await world.supplier(), await world.supplier()
    more = {name: cny("900.00") for name in ("limit", "upstream_limit", "downstream_limit")}
    await world.hear(
        ProgrammeLimitIncreased(
            programme_id=world.programme,
            increase_id="i",
            valid_from=date(2026, 3, 2),
            valid_until=date(2026, 3, 2),
            reason="season",
            **more,
        )
    )
    await world.held(first, "90.00")
    document = await world.receivable(first)
    await keep(world, [BusinessDayClosed(closed_date=date(2026, 3, 2), open_date=NEXT)])
    refused = await world.draw(first, [document], "20.00")
    assert refused.json()["code"] == "limit_exceeded"
    await carried(world)
    assert (await world.draw(first, [document], "20.00")).json()["code"] == "limit_exceeded"


async def test_a_block_stops_draws_while_a_generation_is_on_its_way(world: World) -> None:
    first, second, documents = await _two(world)
    await keep(world, [world.rating(second, cap="5.00")])
    line = (await world.line_of(first))["line_id"]
    cause = Cause(reason="early_warning", by="risk", note="electricity down by half", reference="w1")
    await block(world.database, targets=[Target("line", line)], cause=cause)
    await _stopped(world, first, documents[0], reason="line_blocked")


async def test_a_quota_that_begins_with_a_business_date_is_there_with_it(world: World, folder: Path) -> None:
    name = "receivables_discounting"
    (propagation,) = (folder / "propagation").glob("*.json")
    text = propagation.read_text(encoding="utf-8").replace('"lines_under_lock": 10000', '"lines_under_lock": 1')
    propagation.write_text(text, encoding="utf-8")
    document = json.loads((folder / f"products/{name}/2000-01-01.json").read_text(encoding="utf-8"))
    document["valid_from"] = NEXT.isoformat()
    document["values"] |= {"quota": {"CNY": {"*": {"small": "5000.00"}}}}
    (folder / f"products/{name}/{NEXT}.json").write_text(json.dumps(document), encoding="utf-8")
    first, _, documents = await _two(world)
    await keep(world, [BusinessDayClosed(closed_date=date(2026, 3, 2), open_date=NEXT)])
    refused = await world.draw(first, documents[:1], "5000.01")
    assert (refused.json()["code"], refused.json()["binding_node"].rpartition("/")[2]) == ("limit_exceeded", name)
    await world.line_of(first)
    # Another process would read our policies, not this test's.
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    while not await write_chunk(world.database, programme_id=world.programme, number=number, lines=1):
        pass
    assert (await world.draw(first, documents[:1], "5000.01")).json()["code"] == "limit_exceeded"
    assert (await world.draw(first, documents[:1], "5000.00")).status_code == 201
