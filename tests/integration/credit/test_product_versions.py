"""A drawdown lives under the product's version that it was drawn under, to its end (decision 0025)."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.credit.operations.product_policies import VersionGone, drawn_product
from shared.events.credit import DrawdownApproved
from shared.events.receivables import ReceivableDiluted
from shared.events.settlement import BusinessDayClosed, LoanClosed
from tests.integration.credit.world import DUE, OPEN, World, cny

_NAME = "receivables_discounting"
_NEXT = OPEN + timedelta(days=1)
_PURCHASE = {"form": "purchase", "risk": "obligor"}


def _publish(folder: Path, *, name: str = _NAME, on: date = _NEXT, **changes: Any) -> None:
    """Publish a version of a product that differs in these values from the first."""
    document = json.loads((folder / f"products/{name}/2000-01-01.json").read_text(encoding="utf-8"))
    document["valid_from"] = on.isoformat()
    document["values"] |= changes
    (folder / f"products/{name}/{on}.json").write_text(json.dumps(document), encoding="utf-8")


async def _next_day(world: World) -> None:
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=_NEXT))


async def _approval(world: World, drawdown_id: str) -> DrawdownApproved:
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval(
            "SELECT body FROM outbox WHERE subject = $1 AND type = 'drawdown.approved.v1'", drawdown_id
        )
    return DrawdownApproved.model_validate_json(body)


async def test_what_is_held_lives_on_when_the_next_version_drops_its_direction(world: World, folder: Path) -> None:
    _publish(folder, directions=["downstream"])
    await world.begin()
    supplier = await world.supplier()
    held = await world.held(supplier, "70000.00")
    await _next_day(world)
    refused = await world.draw(supplier, [await world.receivable(supplier)], "1.00")
    assert (refused.status_code, refused.json()["code"]) == (422, "product_not_offered")
    await world.hear(world.assigned(held))
    found = await world.drawdown(held)
    assert (found["state"], found["product_version"]) == ("approved", f"{_NAME}/2000-01-01")
    await world.hear(world.disbursed(held, "70000.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "70000.00"
    await world.hear(world.repaid(held, "70000.00"), LoanClosed(loan_id=held, closed_date=DUE))
    assert (await world.drawdown(held))["state"] == "repaid"
    assert (await world.line_of(supplier))["utilised"]["amount"] == "0.00"


async def test_a_loan_with_recourse_stays_one_when_the_next_version_only_buys(world: World, folder: Path) -> None:
    _publish(folder, with_recourse=None, without_recourse=_PURCHASE)
    await world.begin()
    supplier = await world.supplier()
    held = await world.held(supplier, "70000.00")
    await _next_day(world)
    bought = await world.held(supplier, "1000.00")
    await world.hear(world.assigned(held), world.assigned(bought))
    before, after = await _approval(world, held), await _approval(world, bought)
    assert (before.form, before.recourse) == ("loan", True)
    assert (after.form, after.recourse) == ("purchase", False)


async def test_two_persons_approve_by_the_rate_at_which_it_was_drawn(world: World, folder: Path) -> None:
    """R12: the base is looked at again before approval; a version to come takes nothing off it."""
    _publish(folder, advance_rate="0.100000", directions=["downstream"])
    await world.begin(auto_approve_up_to=cny("1000.00"))
    supplier = await world.supplier()
    referred = await world.held(supplier, "70000.00")
    await world.hear(world.assigned(referred))
    await _next_day(world)
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        body = {"decision": "approve", "reason": "known customer"}
        approval = (await maker.post(f"/drawdowns/{referred}/decision", json=body)).json()["approval_id"]
        answer = await checker.post(f"/approvals/{approval}/approve")
        assert answer.status_code == 200, answer.text
    assert (await world.drawdown(referred))["state"] == "approved"


async def test_r6_what_a_dilution_leaves_uncovered_goes_by_the_version_drawn(world: World, folder: Path) -> None:
    _publish(folder, advance_rate="0.300000")
    await world.begin()
    supplier = await world.supplier()
    old, new = [await world.receivable(supplier, amount="100.00") for _ in range(2)]
    first = (await world.draw(supplier, [old], "80.00")).json()["drawdown_id"]
    await _next_day(world)
    second = (await world.draw(supplier, [new], "30.00")).json()["drawdown_id"]
    for document in (old, new):
        await world.hear(
            ReceivableDiluted(receivable_id=document, by=cny("10.00"), financeable=cny("90.00"), reason="return")
        )
    assert [(await world.drawdown(each))["deficiency"]["amount"] for each in (first, second)] == ["8.00", "3.00"]


async def test_r11_whether_repayment_uses_up_a_quota_goes_by_the_version_drawn(world: World, folder: Path) -> None:
    quota = {"CNY": {"*": {"small": "100000.00"}}}
    _publish(folder, on=date(2001, 1, 1), quota=quota, revolving=False)
    _publish(folder, quota=quota, revolving=True)
    await world.begin()
    supplier = await world.supplier()
    used_up = await world.held(supplier, "30000.00")
    await world.hear(world.assigned(used_up), world.disbursed(used_up, "30000.00"))
    await _next_day(world)
    again = await world.held(supplier, "20000.00")
    await world.hear(world.assigned(again), world.disbursed(again, "20000.00"))
    await world.hear(world.repaid(used_up, "30000.00"), world.repaid(again, "20000.00"))
    node = f"product/{(await world.line_of(supplier))['line_id']}/{_NAME}"

    async def left() -> int:
        async with world.database.reader() as tx:
            found: int = await tx.pg.fetchval("SELECT sanctioned_minor FROM limit_node WHERE node_id = $1", node)
        return found

    assert await left() == 70_000_00
    # Propagation computes it anew from the reinstatements, and says the same.
    await world.hear(world.rating(supplier, cap="900000.00"))
    assert await left() == 70_000_00


async def test_a_line_of_which_every_product_dropped_the_direction_is_shown_and_draws_nothing(
    world: World, folder: Path
) -> None:
    for name in (_NAME, "payables_finance", "deep_tier"):
        _publish(folder, name=name, directions=["downstream"])
    await world.begin()
    supplier = await world.supplier()
    held = await world.held(supplier, "70000.00")
    await _next_day(world)
    line = await world.line_of(supplier)
    assert (line["drawable"], "no_product" in line["reasons"]) == (False, True)
    await world.hear(world.assigned(held))
    assert (await world.drawdown(held))["state"] == "approved"


async def test_a_version_whose_file_is_gone_is_an_error_that_says_which(folder: Path) -> None:
    _publish(folder)
    assert drawn_product(version=f"{_NAME}/{_NEXT}").version == f"{_NAME}/{_NEXT}"
    with pytest.raises(VersionGone) as gone:
        drawn_product(version=f"{_NAME}/1999-01-01")
    assert gone.value.version == f"{_NAME}/1999-01-01"
