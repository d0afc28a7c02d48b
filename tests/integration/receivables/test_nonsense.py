"""Nonsense gets a problem with a code, never a failure, wherever it is put; and every route says who may call it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.values.ids import new_id
from shared.web.auth import unclassified_routes
from tests.integration.receivables.desk import ANCHOR, CSV, SECOND, Desk, desk, key

AMOUNT = {"amount": "1.00", "currency": "CNY"}
NONSENSE: list[Any] = ["\u0000", "x", "", None, 1, 10**30, [], {}, "é", "9999-99-99", new_id()]
NONSENSE += [{**AMOUNT, "currency": "XXX"}, {**AMOUNT, "amount": "1e9"}, {**AMOUNT, "amount": "-1.00"}]
FILES = [b"", b"\x00", b"\xff\xfe", b"{}", b"<", b"&", b"\xef\xbb\xbf", b'{"a":"\\ud800"}', b"<a xmlns:x='&#0;'/>"]


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def said(answer: httpx.Response) -> None:
    """Check that an answer is a success or a problem with a code."""
    assert answer.status_code < 500, answer.text
    assert answer.is_success or answer.json()["code"], answer.text


async def test_nonsense_in_any_field_is_refused_by_name(opened: Desk) -> None:
    one = await opened.confirmed()
    bodies: dict[str, dict[str, Any]] = {
        "/confirmations": {"receivable_ids": [one], "undertaking": "none", "due_date": None},
        f"/receivables/{one}/rejections": {"reason": "because"},
        f"/receivables/{one}/dilutions": {"amount": AMOUNT, "reason": "because", "reference": "r"},
        f"/receivables/{one}/referral-decisions": {"decision": "accept", "reason": "because"},
        "/vouchers": {"programme_id": opened.programme_id, "receivable_id": one},
        f"/vouchers/{new_id()}/transfers": {
            "slice_id": new_id(),
            "amount": AMOUNT,
            "transferee_id": opened.id(SECOND),
            "trade_reference": "x",
        },
        f"/approvals/{new_id()}/decline": {"reason": "because"},
    }
    party = opened.bench.caller("anchor_maker", "anchor_checker", "sme", party=opened.id(ANCHOR))
    async with party as firm, opened.bench.caller("bank_maker", "bank_checker") as bank:
        for path, body in bodies.items():
            for name in body:
                for value in NONSENSE:
                    for client in (firm, bank):
                        said(await client.post(path, json={**body, name: value}, headers=key()))


async def test_nonsense_in_a_path_a_cursor_or_a_file_is_refused_by_name(opened: Desk) -> None:
    async with opened.bench.caller("bank_maker") as bank:
        for path in ("/receivables", "/vouchers", "/transfers", "/notices", "/approvals"):
            for cursor in ("AA==", "gICA", "x", "%00"):
                said(await bank.get(path, params={"cursor": cursor}))
        for path in ("/receivables", "/vouchers", "/assignments"):
            for name in ("x", "%00", "é", new_id()):
                answer = await bank.get(f"{path}/{name}")
                assert answer.status_code in {404, 422}, answer.text
        for media_type in ("", "application/xml; charset=utf-16", "text/csv", "application/json"):
            for data in FILES:
                answer = await bank.post("/documents", content=data, headers={"content-type": media_type})
                assert answer.status_code in {415, 422}, answer.text
                said(answer)


async def test_nonsense_in_a_list_or_where_its_page_ends_is_refused_by_name(opened: Desk) -> None:
    one = await opened.taken()
    async with opened.maker() as maker:
        for data in (*FILES, b"seller_id,number\n\x00,1\n", b"seller_id,number\n" + b"s" * 5000 + b",1\n"):
            said(await maker.post("/confirmation-lists", content=data, params={"undertaking": "none"}))
        body = {"receivable_ids": [one], "undertaking": "none"}
        batch_id = (await maker.post("/confirmation-batches", json=body)).json()["batch_id"]
        upload_id = (await maker.post("/uploads", content=b"", headers=CSV)).json()["upload_id"]
        for path in (f"/decision-batches/{batch_id}/items", f"/uploads/{upload_id}/items"):
            for place in ("99999999999", "9" * 5000, "\u0663", "-1", "x"):
                cursor = base64.urlsafe_b64encode(place.encode()).decode()
                answer = await maker.get(path, params={"cursor": cursor})
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), place


async def test_every_route_says_who_may_call_it(opened: Desk) -> None:
    assert unclassified_routes(opened.bench.app.fastapi) == []
    async with opened.sme(SECOND) as sme:
        for path in ("/confirmations", "/vouchers", f"/approvals/{new_id()}/approve"):
            answer = await sme.post(path, json={}, headers=key())
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        del sme.headers["authorization"]
        assert (await sme.get("/receivables")).json()["code"] == "missing_token"
