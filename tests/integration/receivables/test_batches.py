"""An obligor decides on many receivables at once: exactly what was proposed, each answered (R22, R25)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, SECOND, SUPPLIER, Desk, cny, desk, key
from tests.support.einvoices import Sample

ALL: dict[str, Any] = {"filter": {}, "undertaking": "none"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def sample(nth: int, **changes: Any) -> Sample:
    """Return an invoice that nobody takes for another one's twin."""
    amount = f"{100 * (nth + 1)}.00"
    made = Sample(
        SUPPLIER, ANCHOR, number=f"{'ABCDEFGH'[nth] * 4}-{nth * 37}", gross=amount, prepaid="0.00", payable=amount
    )
    return replace(made, due_date=date(2026, 12, 1) + timedelta(days=nth), **changes)


async def outcomes(opened: Desk, batch_id: str) -> list[tuple[str | None, str, str | None]]:
    items = (await opened.read(f"/decision-batches/{batch_id}/items"))["items"]
    return [(each["number"], each["outcome"], each["code"]) for each in items]


async def test_r22_a_filter_is_one_proposal_of_exactly_what_and_a_second_person_decides(opened: Desk) -> None:
    ids = [await opened.taken(sample(nth)) for nth in range(4)]
    foreign = await opened.taken(replace(sample(4), buyer=SECOND))
    chosen = {"seller_id": opened.id(SUPPLIER), "due_until": "2026-12-03", "each_up_to": cny("200.00").model_dump()}
    async with opened.maker() as maker, opened.checker() as checker, opened.maker(SECOND) as stranger:
        proposed = await maker.post("/confirmation-batches", json={**ALL, "filter": chosen})
        assert proposed.status_code == 201, proposed.text
        batch = proposed.json()
        assert (batch["many"], batch["totals"]) == (2, [{"amount": "300.00", "currency": "CNY"}])
        assert (await stranger.get(f"/decision-batches/{batch['batch_id']}")).status_code == 403
        (waiting,) = (await checker.get("/approvals")).json()["items"]
        assert waiting["content"]["digest"] == batch["digest"]
        assert (waiting["content"]["many"], waiting["content"]["totals"]) == (2, batch["totals"])
        approve = f"/approvals/{batch['approval_id']}/approve"
        assert (await maker.post(approve)).status_code == 403
        assert (await checker.post(approve)).status_code == 200
        done = (await maker.get(f"/decision-batches/{batch['batch_id']}")).json()
    assert (done["state"], done["outcomes"]) == ("done", {"confirmed": 2})
    assert [await opened.state(each) for each in [*ids, foreign]] == [
        *["confirmed"] * 2,
        *["validated"] * 3,
    ]
    assert {each["subject"] for each in await opened.events("receivable.confirmed.v1")} == set(ids[:2])


async def test_what_changed_since_it_was_proposed_is_left_and_says_why(opened: Desk) -> None:
    ids = [await opened.taken(sample(nth)) for nth in range(4)]
    async with opened.maker() as maker, opened.checker() as checker, opened.sme(SUPPLIER) as seller:
        batch = (await maker.post("/confirmation-batches", json=ALL)).json()
        note = {"amount": cny("1.00").model_dump(), "reason": "a scratch", "reference": "N-1"}
        assert (await maker.post(f"/receivables/{ids[0]}/dilutions", json=note, headers=key())).status_code == 201
        assert (
            await seller.post(f"/receivables/{ids[1]}/cancellations", json={"reason": "a mistake"})
        ).status_code == 200
        disputed = {"disputed": True, "reason": "not delivered"}
        assert (await maker.put(f"/receivables/{ids[2]}/dispute", json=disputed)).status_code == 200
        assert (await checker.post(f"/approvals/{batch['approval_id']}/approve")).status_code == 200
    assert [(outcome, code) for _, outcome, code in await outcomes(opened, batch["batch_id"])] == [
        ("left", "amount_changed"),
        ("left", "cancelled"),
        ("left", "disputed"),
        ("confirmed", None),
    ]
    assert await opened.state(ids[3]) == "confirmed"


async def test_a_list_of_numbers_is_answered_line_by_line(opened: Desk) -> None:
    ids = [await opened.taken(sample(nth)) for nth in range(2)]
    seller = opened.id(SUPPLIER)
    rows = [f"{seller},{sample(0).number}", f"{seller},nobody's", f"{new_id()},{sample(1).number}", f"{seller},aaaa0"]
    params = {"undertaking": "irrevocable", "due_date": "2027-01-05"}
    async with opened.maker() as maker, opened.checker() as checker:
        body = "\n".join(["seller_id,number", *rows]).encode()
        batch = (await maker.post("/confirmation-lists", content=body, params=params)).json()
        assert [each[1:] for each in await outcomes(opened, batch["batch_id"])] == [
            ("proposed", None),
            ("refused", "unknown_receivable"),
            ("refused", "unknown_receivable"),
        ]
        assert (await checker.post(f"/approvals/{batch['approval_id']}/approve")).status_code == 200
        for bad, code in (
            (b"", "unreadable_document"),
            (b"number,seller_id\n", "unreadable_document"),
            (b"seller_id,number\nx\n", "unreadable_document"),
            (b"seller_id,number\nx,\n", "unreadable_document"),
            (b"\xff\xfe", "unreadable_document"),
            (b"seller_id,number\nx,y\n", "nothing_chosen"),
            (b"seller_id,number\n" + b"x,y\n" * 10_001, "batch_too_large"),
        ):
            answer = await maker.post("/confirmation-lists", content=bad, params=params)
            assert (answer.status_code, answer.json()["code"]) == (422, code)
        early = await maker.post("/confirmation-batches", json={**ALL, "due_date": "2026-08-01"})
        assert (early.status_code, early.json()["code"]) == (422, "invalid_due_date")
    found = await opened.read(f"/receivables/{ids[0]}")
    assert (found["state"], found["undertaking"], found["due_date"]) == ("confirmed", "irrevocable", "2027-01-05")
    assert await opened.state(ids[1]) == "validated"


async def test_a_declined_batch_confirms_nothing(opened: Desk) -> None:
    receivable_id = await opened.taken()
    async with opened.maker() as maker, opened.checker() as checker:
        batch = (await maker.post("/confirmation-batches", json=ALL)).json()
        declined = await checker.post(f"/approvals/{batch['approval_id']}/decline", json={"reason": "wait for it"})
        assert declined.status_code == 200, declined.text
    assert (await opened.read(f"/decision-batches/{batch['batch_id']}"))["state"] == "declined"
    assert await opened.state(receivable_id) == "validated"


async def test_many_are_rejected_together_by_code_and_in_words(opened: Desk) -> None:
    ids = [await opened.taken(sample(nth)) for nth in range(2)]
    confirmed = await opened.confirmed(sample(2))
    body = {"receivable_ids": [*ids, confirmed, new_id()], "code": "not_delivered", "reason": "nothing came"}
    async with opened.maker() as maker, opened.sme(SUPPLIER) as seller:
        assert (await seller.post("/rejection-batches", json=body)).status_code == 403
        wrong: list[dict[str, Any]] = [{"code": "because"}, {"reason": ""}, {"filter": {}}, {"receivable_ids": []}]
        for bad in wrong:
            assert (await maker.post("/rejection-batches", json={**body, **bad})).status_code == 422
        batch = (await maker.post("/rejection-batches", json=body)).json()
        again = await maker.post("/rejection-batches", json=body)
        assert (again.status_code, again.json()["code"]) == (422, "nothing_chosen")
    assert (batch["outcomes"], batch["code"], batch["reason"]) == (
        {"rejected": 2, "refused": 2},
        "not_delivered",
        "nothing came",
    )
    assert [each[2] for each in await outcomes(opened, batch["batch_id"])] == [
        None,
        None,
        "confirmed",
        "unknown_receivable",
    ]
    said = await opened.events("receivable.rejected.v1")
    assert [(each["subject"], each["code"]) for each in said] == [(each, "not_delivered") for each in ids]


_FILL = """
INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state, reasons,
    policy_version)
SELECT '00000000-0000-7000-8000-' || lpad(n::text, 12, '0'), $1, $2, 'N' || n, 'n' || n, 2026, '380', 'ubl', '', '',
    '2026-09-01', '2026-12-01', 'CNY', n, n, '', 'validated', '{}', 'intake/2000-01' FROM generate_series(1, $3::int) n
"""


async def test_ten_thousand_are_confirmed_in_one_go_and_one_more_is_too_many(opened: Desk) -> None:
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(_FILL, opened.id(SUPPLIER), opened.id(ANCHOR), 10_001)
    async with opened.maker() as maker, opened.checker() as checker:
        many = await maker.post("/confirmation-batches", json=ALL)
        assert (many.status_code, many.json()["code"]) == (422, "batch_too_large")
        chosen = {"each_up_to": cny("100.00").model_dump()}
        batch = (await maker.post("/confirmation-batches", json={**ALL, "filter": chosen})).json()
        assert (batch["many"], batch["totals"][0]["amount"]) == (10_000, "500050.00")
        assert (await checker.post(f"/approvals/{batch['approval_id']}/approve")).status_code == 200
    assert (await opened.read(f"/decision-batches/{batch['batch_id']}"))["outcomes"] == {"confirmed": 10_000}
    assert len(await opened.events("receivable.confirmed.v1")) == 10_000
