"""R8 across banks: two banks find the claims that both have, and learn nothing else; a person decides."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.receivables.domain.blinding import blind, points_of, secret_of
from services.receivables.domain.crosscheck_file import Header, Keys, write_file
from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, SUPPLIER, Desk, cny, desk, disbursed, key, piece, receivable
from tests.support.einvoices import Sample
from tests.support.servers import beside, drop_database

INVOICE = Sample(SUPPLIER, ANCHOR)
KEY = "the key that these banks share in this period"
PERIOD = {"issued_from": "2026-09-01", "issued_to": "2026-09-30"}


def _give_secrets(opened: Desk, institution: str) -> None:
    """Give a bank its name and secrets, as its environment would."""
    own = f"the own secret of {institution}, nobody else's"
    settings = opened.bench.app.fastapi.state.settings.model_copy(
        update={
            "institution": institution,
            "crosscheck_key": SecretStr(KEY),
            "crosscheck_secret": SecretStr(own),
        }
    )
    opened.bench.app.fastapi.state.settings = settings


@pytest.fixture
async def banks(
    fresh_database: str, postgres_url: str, unique_name: str, tmp_path: Path
) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two banks that know the same firms, each with a database of its own."""
    second = f"{unique_name}_south"
    async with (
        desk(fresh_database, tmp_path / "north") as north,
        desk(beside(postgres_url, second), tmp_path / "south") as south,
    ):
        _give_secrets(north, "Bank of the North")
        _give_secrets(south, "Bank of the South")
        yield north, south
    await drop_database(postgres_url, second)


async def asked(bank: Desk, **changed: str) -> tuple[str, bytes]:
    """Have a bank ask its partner; return the check's id and the file."""
    async with bank.bench.caller("bank_maker") as maker:
        made = await maker.post("/crosschecks", json={"partner": "other", **PERIOD, **changed})
        assert made.status_code == 201, made.text
        crosscheck_id = made.json()["crosscheck_id"]
        return crosscheck_id, (await maker.get(f"/crosschecks/{crosscheck_id}/request")).content


async def proposed(bank: Desk, request: bytes, *, partner: str = "other") -> httpx.Response:
    async with bank.bench.caller("bank_maker", subject="mary") as maker:
        return await maker.post("/crosschecks/answers", content=request, params={"partner": partner})


async def answered(bank: Desk, request: bytes) -> bytes:
    """Have a bank answer, a second person releasing it; return the file."""
    answer = await proposed(bank, request)
    assert answer.status_code == 201, answer.text
    approval_id, crosscheck_id = answer.json()["approval"]["approval_id"], answer.json()["crosscheck_id"]
    async with bank.bench.caller("bank_checker", subject="carl") as checker:
        early = await checker.get(f"/crosschecks/{crosscheck_id}/answer")
        assert early.json()["code"] == "not_possible_now"
        assert (await checker.post(f"/approvals/{approval_id}/approve")).status_code == 200
        return (await checker.get(f"/crosschecks/{crosscheck_id}/answer")).content


async def compared(bank: Desk, crosscheck_id: str, answer: bytes) -> httpx.Response:
    async with bank.bench.caller("bank_maker") as maker:
        return await maker.post(f"/crosschecks/{crosscheck_id}/comparisons", content=answer)


async def financed(bank: Desk, sample: Sample) -> str:
    one = await bank.confirmed(sample)
    held = bank.held(receivable(one, sample.payable))
    await bank.hear(held)
    await bank.hear(disbursed(held.drawdown_id))
    return one


async def test_r8_a_claim_financed_at_two_banks_is_found_under_its_number_and_under_another(
    banks: tuple[Desk, Desk],
) -> None:
    north, south = banks
    await financed(south, replace(INVOICE, number="INV-1"))
    await financed(south, replace(INVOICE, number="INV-5", gross="7700.00", payable="7500.00"))
    await financed(south, replace(INVOICE, number="INV-9", gross="9900.00", payable="9700.00"))
    await south.taken(replace(INVOICE, number="INV-3", gross="3300.00", payable="3100.00"))
    paid = await south.confirmed(replace(INVOICE, number="INV-4", gross="4400.00", payable="4200.00"))
    async with south.sme(SUPPLIER) as seller:
        payment = {"amount": cny("4200.00").model_dump(), "paid_date": "2026-09-02", "reference": "P-1"}
        assert (await seller.post(f"/receivables/{paid}/payments", json=payment, headers=key())).status_code == 201
    assert await south.state(paid) == "settled"
    same = await north.confirmed(replace(INVOICE, number="inv 1"))
    renamed = await north.taken(replace(INVOICE, number="Q-88", gross="7700.00", payable="7500.00"))
    await north.taken(replace(INVOICE, number="INV-2", gross="2200.00", payable="2000.00"))
    # South has taken these in and not financed them, one was paid to its seller: that is nobody's business.
    await north.taken(replace(INVOICE, number="INV-3", gross="3300.00", payable="3100.00"))
    await north.taken(replace(INVOICE, number="INV-4", gross="4400.00", payable="4200.00"))
    crosscheck_id, request = await asked(north)
    answer = await compared(north, crosscheck_id, await answered(south, request))
    assert answer.status_code == 201, answer.text
    assert sorted(answer.json()["seen"]) == sorted([same, renamed])
    found = (await north.read("/sightings"))["items"]
    assert {(each["receivable_id"], each["kind"]) for each in found} == {
        (same, "claim"),
        (same, "trade"),
        (renamed, "trade"),
    }
    assert {each["partner"] for each in found} == {"other"}
    assert (await south.read("/sightings"))["items"] == []


async def test_what_another_bank_has_is_held_back_until_a_person_clears_it_and_no_firm_is_told(
    banks: tuple[Desk, Desk],
) -> None:
    north, south = banks
    await financed(south, INVOICE)
    one = await north.confirmed(INVOICE)
    crosscheck_id, request = await asked(north)
    await compared(north, crosscheck_id, await answered(south, request))
    held = north.held(receivable(one))
    await north.hear(held)
    refused = await north.read(f"/assignments/{held.drawdown_id}")
    assert (refused["code"], refused["state"]) == ("document_held_back", "refused")
    said = json.dumps([each for each in await north.events() if "sighting" in each["type"] or "other" in str(each)])
    assert said == "[]"
    async with north.sme(SUPPLIER) as seller:
        shown = (await seller.get(f"/receivables/{one}")).json()
        assert (shown["state"], shown["reasons"]) == ("confirmed", [])
        for path in ("/sightings", "/crosschecks", f"/crosschecks/{crosscheck_id}/request"):
            assert (await seller.get(path)).json()["code"] == "forbidden"
    decision = {"decision": "cleared", "reason": "the other bank was repaid; its letter of today"}
    async with north.bench.caller("bank_checker") as checker, north.bench.caller("bank_maker") as maker:
        path = f"/sightings/{one}/decisions"
        assert (await maker.post(path, json=decision)).json()["code"] == "forbidden"
        assert (await checker.post(path, json=decision)).status_code == 200
        assert (await checker.post(path, json=decision)).json()["code"] == "unknown_sighting"
    assert (await north.read("/sightings"))["items"] == []
    assert {each["state"] for each in (await north.read("/sightings?show=all"))["items"]} == {"cleared"}
    again = north.held(receivable(one))
    await north.hear(again)
    assert (await north.read(f"/assignments/{again.drawdown_id}"))["state"] == "assigned"


async def test_a_slice_is_held_back_with_the_receivable_beneath_it(banks: tuple[Desk, Desk]) -> None:
    north, south = banks
    await financed(south, INVOICE)
    voucher = await north.voucher(INVOICE)
    crosscheck_id, request = await asked(north)
    await compared(north, crosscheck_id, await answered(south, request))
    held = north.held(piece(voucher["slices"][0]["slice_id"], "1000.00"))
    await north.hear(held)
    assert (await north.read(f"/assignments/{held.drawdown_id}"))["code"] == "document_held_back"


async def test_the_files_show_no_claim_and_two_requests_about_the_same_claims_have_no_point_in_common(
    banks: tuple[Desk, Desk],
) -> None:
    north, _ = banks
    await north.taken(INVOICE)
    _, first = await asked(north)
    _, second = await asked(north)
    points = [set(request.splitlines()[1:]) for request in (first, second)]
    assert points[0].isdisjoint(points[1])
    assert [len(each) for each in points] == [256, 256]
    for word in (SUPPLIER.name, SUPPLIER.vat, ANCHOR.legal, "INV-1", "inv1", "1000.00", "100000", KEY):
        assert word.encode() not in first
    # Who has the shared key and guesses a claim right finds it in no file: it lacks the other bank's secret.
    guess = points_of([f"claim|{SUPPLIER.vat}|inv1|2026"], shared_key=KEY.encode())
    tried = blind(guess, secret=secret_of(own_secret=b"of somebody else, thirty-two and more", exchange="x"))
    assert points[0].isdisjoint({base64.urlsafe_b64encode(each) for each in (*guess, *tried)})


async def test_r22_an_answer_leaves_by_two_persons_and_a_declined_one_never(banks: tuple[Desk, Desk]) -> None:
    north, south = banks
    await north.taken(INVOICE)
    _, request = await asked(north)
    answer = (await proposed(south, request)).json()
    approval_id, crosscheck_id = answer["approval"]["approval_id"], answer["crosscheck_id"]
    async with south.bench.caller("bank_maker", "bank_checker", subject="mary") as proposer:
        assert (await proposer.post(f"/approvals/{approval_id}/approve")).json()["code"] == "own_proposal"
    async with south.bench.caller("bank_checker", subject="carl") as checker:
        reason = {"reason": "no agreement with that bank"}
        assert (await checker.post(f"/approvals/{approval_id}/decline", json=reason)).status_code == 200
        assert (await checker.get(f"/crosschecks/{crosscheck_id}/answer")).json()["code"] == "not_possible_now"
    assert (await proposed(south, request)).json()["code"] == "answered_before"


async def test_a_partner_gets_no_more_answers_than_the_policy_allows(banks: tuple[Desk, Desk]) -> None:
    north, south = banks
    requests = [(await asked(north))[1] for _ in range(6)]
    early = (await proposed(south, requests[0])).json()["approval"]["approval_id"]
    for request in requests[1:5]:
        await answered(south, request)
    assert (await proposed(south, requests[5])).json()["code"] == "too_many_answers"
    async with south.bench.caller("bank_checker", subject="carl") as checker:
        assert (await checker.post(f"/approvals/{early}/approve")).json()["code"] == "too_many_answers"
    assert (await proposed(south, requests[5], partner="a third bank")).status_code == 201


async def test_an_answer_is_compared_once_and_with_the_request_that_it_answers(banks: tuple[Desk, Desk]) -> None:
    north, south = banks
    await financed(south, INVOICE)
    await north.taken(INVOICE)
    crosscheck_id, request = await asked(north)
    other_id, _ = await asked(north)
    answer = await answered(south, request)
    assert (await compared(north, other_id, answer)).json()["code"] == "unreadable_crosscheck"
    assert (await compared(north, new_id(), answer)).json()["code"] == "unknown_crosscheck"
    assert (await compared(north, crosscheck_id, request)).json()["code"] == "unreadable_crosscheck"
    assert (await compared(north, crosscheck_id, answer)).json()["seen"] != []
    assert (await compared(north, crosscheck_id, answer)).json()["code"] == "not_possible_now"
    states = {each["crosscheck_id"]: each["state"] for each in (await north.read("/crosschecks"))["items"]}
    assert states == {crosscheck_id: "compared", other_id: "asked"}


def _changed(request: bytes, **header: Any) -> bytes:
    first, _, rest = request.partition(b"\n")
    return json.dumps({**json.loads(first), **header}).encode() + b"\n" + rest


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"not a file",
        lambda _: b"[" * 4000,
        lambda _: b'{"mac": 1}\n',
        lambda request: request[:-46],
        lambda request: request + request.splitlines()[-1] + b"\n",
        lambda request: _changed(request, points=True),
        lambda request: _changed(request, issued_to="2027-09-30"),
        lambda request: _changed(request, part="answer"),
        lambda request: _changed(request, key_id="0" * 16),
        lambda request: _changed(request, more="than is known"),
    ],
)
async def test_r25_a_file_that_is_not_whole_or_not_of_the_shared_key_is_refused(
    banks: tuple[Desk, Desk], spoil: Any
) -> None:
    north, south = banks
    _, request = await asked(north)
    answer = await proposed(south, spoil(request))
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_crosscheck"), answer.text
    assert (await south.read("/crosschecks"))["items"] == []


async def test_what_is_no_point_of_the_curve_is_refused_even_from_one_who_has_the_key(
    banks: tuple[Desk, Desk],
) -> None:
    _, south = banks
    keys = Keys.of(institution="Mallory", shared=KEY, own="a secret of Mallory's, long enough to be one")
    points = [bytes([7]) * 32, b"\xff" * 32]
    header = Header("request", new_id(), "Mallory", "2026-09-01", "2026-09-30", keys.key_id, 0, 2, "")
    answer = await proposed(south, write_file(header, points, keys=keys))
    assert answer.json()["code"] == "unreadable_crosscheck"
    assert "is none of the curve" in answer.json()["detail"]


async def test_without_secrets_or_with_a_period_that_is_none_nothing_is_asked(banks: tuple[Desk, Desk]) -> None:
    north, _ = banks
    body = {"partner": "other", **PERIOD}
    async with north.bench.caller("bank_maker") as maker:
        late = await maker.post("/crosschecks", json=body | {"issued_to": "2026-08-01"})
        assert late.json()["code"] == "invalid_period"
        endless = await maker.post("/crosschecks", json=body | {"issued_to": "2029-08-01"})
        assert endless.json()["code"] == "invalid_period"
        north.bench.app.fastapi.state.settings = north.bench.settings
        assert (await maker.post("/crosschecks", json=body)).json()["code"] == "crosscheck_not_set_up"
