"""R23: an obligor knows of an assignment by its notice; whether its supplier has borrowed is not its business."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.receivables.desk import (
    ANCHOR,
    SUPPLIER,
    XML,
    Desk,
    cny,
    desk,
    disbursed,
    key,
    receivable,
)
from tests.support.einvoices import Sample, ubl

REASON = {"reason": "because of that"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def test_r23_whatever_the_obligor_asks_no_refusal_tells_it_that_its_supplier_has_borrowed(opened: Desk) -> None:
    sample = Sample(SUPPLIER, ANCHOR)
    debt = await opened.confirmed(sample)
    free = await opened.taken(replace(sample, number="Z-77", gross="300.00", payable="100.00"))
    async with opened.maker() as maker, opened.checker() as checker, opened.sme(SUPPLIER) as seller:
        cancelling = await seller.post(f"/receivables/{debt}/cancellations", json=REASON)
        held = opened.held(receivable(debt))
        await opened.hear(held, disbursed(held.drawdown_id))
        assert (await seller.get(f"/receivables/{debt}")).json()["state"] == "financed"
        both = [debt, free]
        answers = [
            await maker.get(f"/receivables/{debt}"),
            await maker.get("/receivables"),
            await maker.post(f"/receivables/{debt}/rejections", json=REASON),
            await maker.post(f"/receivables/{debt}/acknowledgements"),
            await maker.post("/confirmations", json={"receivable_ids": [debt], "undertaking": "none"}),
            await maker.post(
                "/vouchers", json={"programme_id": opened.programme_id, "receivable_id": debt}, headers=key()
            ),
            await maker.post("/documents", content=ubl(sample), headers=XML),
            await maker.post("/obligations", json=_debt(opened, "INV-1")),
            await checker.post(f"/approvals/{cancelling.json()['approval_id']}/approve"),
            confirming := await maker.post(
                "/confirmation-batches", json={"receivable_ids": both, "undertaking": "none"}
            ),
            await maker.get(f"/decision-batches/{confirming.json()['batch_id']}/items"),
        ]
        looked_for = [await maker.get("/receivables", params={"state": each}) for each in ("financed", "assigned")]
        assert [len(answer.json()["items"]) for answer in looked_for] == [0, 1]
        own = (await seller.get("/receivables", params={"state": "financed"})).json()["items"]
        assert [each["receivable_id"] for each in own] == [debt]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        assert "financed" not in answer.text, (str(answer.request.url), answer.text)
    assert sum(answer.status_code == 409 for answer in answers) == 7


def _debt(opened: Desk, number: str) -> dict[str, object]:
    return {
        "debtor_id": opened.id(ANCHOR),
        "creditor_id": opened.id(SUPPLIER),
        "amount": cny("12.00").model_dump(),
        "number": number,
        "issue_date": "2026-09-01",
        "due_date": "2026-12-01",
    }
