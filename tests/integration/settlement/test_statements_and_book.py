"""Statements once and only once; the book forward and never past today; the ledger as it was written."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from shared.values.ids import new_id
from tests.integration.settlement.desk import COLLECT, OPENING, Desk, credit


async def test_r19_the_same_key_answers_the_same_and_another_body_is_a_conflict(desk: Desk) -> None:
    loan_id, key = await desk.disburse(), new_id()
    entry = credit("1000.00", on=OPENING, reference=loan_id)
    first = await desk.statement(entry, key=key)
    again = await desk.statement(entry, key=key)
    other = await desk.statement({**entry, "entry_id": "other"}, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert (await desk.loan(loan_id))["outstanding"]["amount"] == "99000.00"


async def test_r19_an_entry_counts_once_however_often_and_in_whatever_statement_it_comes(desk: Desk) -> None:
    loan_id = await desk.disburse()
    entry = credit("1000.00", on=OPENING, reference=loan_id)
    answers = await asyncio.gather(*(desk.statement(entry, entry) for _ in range(4)))
    outcomes = [item["outcome"] for answer in answers for item in answer.json()["entries"]]
    assert sorted(outcomes) == ["collected", *["duplicate"] * 7]
    assert (await desk.loan(loan_id))["outstanding"]["amount"] == "99000.00"
    assert (await desk.types(loan_id)).count("loan.repaid") == 1
    elsewhere = await desk.statement(entry, account="ANOTHER")
    assert elsewhere.json()["entries"][0]["outcome"] == "unmatched"


async def test_r25_an_entry_that_comes_again_as_another_movement_is_refused_not_swallowed(desk: Desk) -> None:
    loan_id = await desk.disburse()
    entry = credit("1000.00", on=OPENING, reference=loan_id)
    other = {**entry, "amount": {"amount": "2000.00", "currency": "CNY"}}
    at_once = await desk.statement(entry, other)
    assert (at_once.status_code, at_once.json()["code"]) == (409, "entry_conflict")
    assert (await desk.statement(entry)).status_code == 201
    later = await desk.statement(credit("5.00", on=OPENING, reference=loan_id), other)
    assert (later.status_code, later.json()["entry_id"]) == (409, entry["entry_id"])
    said_otherwise = await desk.statement({**entry, "reference": "the same money, other words"})
    assert said_otherwise.json()["entries"][0]["outcome"] == "duplicate"
    assert (await desk.loan(loan_id))["outstanding"]["amount"] == "99000.00"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": {"amount": "0.00", "currency": "CNY"}}, 422, "invalid_amount"),
        ({"amount": {"amount": "-5.00", "currency": "CNY"}}, 422, "invalid_amount"),
        ({"amount": {"amount": "1e3", "currency": "CNY"}}, 422, "invalid_amount"),
        ({"amount": {"amount": "99999999999999999.00", "currency": "CNY"}}, 422, "invalid_amount"),
        ({"amount": {"amount": "1.001", "currency": "CNY"}}, 422, "invalid_amount"),
        ({"amount": {"amount": 1.0, "currency": "CNY"}}, 422, "invalid_request"),
        ({"amount": {"amount": "1.00", "currency": "ZZZ"}}, 422, "unknown_currency"),
        ({"value_date": (OPENING + timedelta(days=1)).isoformat()}, 422, "value_date_ahead"),
        ({"value_date": "yesterday"}, 422, "invalid_request"),
        ({"direction": "sideways"}, 422, "invalid_request"),
        ({"reference": "\x00"}, 422, "invalid_request"),
        ({"entry_id": ""}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
    ],
)
async def test_a_statement_with_one_entry_that_cannot_be_is_refused_whole(
    desk: Desk, change: dict[str, Any], status: int, code: str
) -> None:
    loan_id, key = await desk.disburse(), new_id()
    good = credit("1000.00", on=OPENING, reference=loan_id)
    refused = await desk.statement(good, {**good, "entry_id": "bad", **change}, key=key)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await desk.loan(loan_id))["outstanding"]["amount"] == "100000.00"
    # A refusal claims no key.
    assert (await desk.statement(good, key=key)).status_code == 201


async def test_a_statement_needs_a_key_a_person_and_a_body(desk: Desk) -> None:
    body = {"account": COLLECT, "entries": [credit("1.00", on=OPENING, reference="x")]}
    no_key = await desk.maker.post("/statements", json=body)
    not_json = await desk.maker.post("/statements", content=b"{", headers={"content-type": "application/json"})
    checker = await desk.checker.post("/statements", json=body, headers={"idempotency-key": "k"})
    assert (no_key.status_code, no_key.json()["code"]) == (400, "missing_idempotency_key")
    assert (not_json.status_code, not_json.json()["code"]) == (400, "malformed_body")
    assert (checker.status_code, checker.json()["code"]) == (403, "forbidden")


async def test_the_book_opens_once_and_not_in_the_future(empty_desk: Desk) -> None:
    current = await empty_desk.maker.get("/business-days/current")
    assert (current.status_code, current.json()["code"]) == (409, "book_not_open")
    soon = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    future = await empty_desk.maker.post("/book", json={"opening_date": soon})
    assert (future.status_code, future.json()["code"]) == (422, "day_in_the_future")
    ancient = await empty_desk.maker.post("/book", json={"opening_date": "1900-01-01"})
    assert (ancient.status_code, ancient.json()["code"]) == (422, "no_policy")
    unopened = await empty_desk.maker.post(f"/business-days/{OPENING}/close")
    assert unopened.json()["code"] == "book_not_open"
    statement = await empty_desk.statement(credit("1.00", on=OPENING, reference="x"))
    assert statement.json()["code"] == "book_not_open"
    await empty_desk.open()
    again = await empty_desk.maker.post("/book", json={"opening_date": OPENING.isoformat()})
    assert (again.status_code, again.json()["code"]) == (409, "book_already_open")
    assert (await empty_desk.maker.get("/business-days/current")).json() == {"open_date": OPENING.isoformat()}
    assert await empty_desk.types() == ["business_day.opened"]


async def test_r22_two_persons_close_days_once_and_never_past_today(desk: Desk) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    future = await desk.maker.post(f"/business-days/{tomorrow}/close")
    assert (future.status_code, future.json()["code"]) == (422, "day_in_the_future")
    past = await desk.maker.post(f"/business-days/{OPENING - timedelta(days=1)}/close")
    assert (past.status_code, past.json()["code"]) == (409, "day_already_closed")
    twice = [await desk.maker.post(f"/business-days/{OPENING}/close") for _ in range(2)]
    first, second = (answer.json()["approval_id"] for answer in twice)
    assert (await desk.maker.get("/business-days/current")).json()["open_date"] == OPENING.isoformat()
    assert (await desk.checker.post(f"/approvals/{first}/approve")).status_code == 200
    late = await desk.checker.post(f"/approvals/{second}/approve")
    assert (late.status_code, late.json()["code"]) == (409, "day_already_closed")
    declined = await desk.checker.post(f"/approvals/{second}/decline", json={"reason": "done already"})
    assert declined.json()["state"] == "declined"
    assert (await desk.maker.get("/approvals")).json()["items"] == []
    closed = [body for kind, body in await desk.events("book") if kind == "business_day.closed"]
    assert closed == [{"closed_date": "2026-01-05", "open_date": "2026-01-06"}]


async def test_closing_6000_empty_days_is_quick(empty_desk: Desk) -> None:
    opening = date(2010, 1, 1)
    await empty_desk.open(opening)
    started = time.monotonic()
    assert (await empty_desk.close(opening + timedelta(days=5_999))).status_code == 200
    assert time.monotonic() - started < 2
    assert await empty_desk.types("book") == ["business_day.opened", "business_day.closed"]


async def test_closing_a_year_with_loans_posts_each_day_of_each_loan(desk: Desk) -> None:
    loans = [await desk.approve_drawdown() for _ in range(20)]
    await desk.run_rail()
    started = time.monotonic()
    await desk.open_on(OPENING + timedelta(days=300))
    assert time.monotonic() - started < 20
    async with desk.service.database.reader() as tx:
        counts = await tx.pg.fetch(
            """SELECT kind, count(*)::int AS many FROM ledger_transaction WHERE kind IN ('accrual', 'penalty')
            GROUP BY kind ORDER BY kind"""
        )
    assert [tuple(row) for row in counts] == [("accrual", 20 * 93), ("penalty", 20 * 207)]
    assert (await desk.balances())["interest_income"] == "62000.00"
    assert len(loans) == 20


@pytest.mark.parametrize("table", ["ledger_transaction", "ledger_posting"])
@pytest.mark.parametrize("change", ["UPDATE {} SET currency = 'EUR'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_r20_what_is_posted_is_never_changed(desk: Desk, table: str, change: str) -> None:
    await desk.disburse()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        async with desk.service.database.transaction() as tx:
            await tx.pg.execute(change.format(table))
    assert (await desk.balances())["loans_receivable"] == "100000.00"


async def _post(desk: Desk, postings: list[tuple[str, int, int]]) -> None:
    """Post past the application, straight into the tables."""
    async with desk.service.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO ledger_transaction (transaction_id, kind, currency, value_date, posting_date)
            VALUES ('t', 'fee', 'CNY', '2026-01-05', '2026-01-05')"""
        )
        await tx.pg.execute(
            """INSERT INTO ledger_posting (transaction_id, line, account, currency, debit_minor, credit_minor)
            SELECT 't', nth, account, 'CNY', debit, credit
            FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS p(account, debit, credit, nth)""",
            *([line[column] for line in postings] for column in range(3)),
        )


@pytest.mark.parametrize(
    "postings",
    [
        [("nostro", 5, 0), ("fee_income", 0, 4)],
        [("nostro", 5, 0)],
        [("nostro", 0, 0)],
        [("nostro", 5, 5)],
        [("petty_cash", 5, 0), ("nostro", 0, 5)],
    ],
)
async def test_r20_the_database_itself_refuses_what_does_not_balance(
    desk: Desk, postings: list[tuple[str, int, int]]
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await _post(desk, postings)
    assert await desk.balances() == {}


async def test_r23_an_sme_sees_its_own_loans_only(desk: Desk) -> None:
    loan_id = await desk.disburse()
    async with (
        desk.service.caller("sme", party=desk.seller) as seller,
        desk.service.caller("sme", party=new_id()) as stranger,
        desk.service.caller("anchor_maker", party=desk.obligor) as anchor,
    ):
        assert [item["loan_id"] for item in (await seller.get("/loans")).json()["items"]] == [loan_id]
        assert (await seller.get(f"/loans/{loan_id}")).status_code == 200
        assert (await stranger.get("/loans")).json()["items"] == []
        foreign = await stranger.get(f"/loans/{loan_id}")
        assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_party")
        assert (await anchor.get(f"/loans/{loan_id}")).status_code == 403
        for path in ("/ledger/accounts", "/ledger/transactions", "/income", "/collections", "/approvals"):
            assert (await seller.get(path)).status_code == 403
    missing = await desk.maker.get(f"/loans/{new_id()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_loan")
    malformed = await desk.maker.get("/loans/not-an-id")
    assert (malformed.status_code, malformed.json()["code"]) == (422, "invalid_id")


async def test_lists_are_paged_by_key(desk: Desk) -> None:
    loans = sorted([await desk.disburse() for _ in range(3)])
    seen, cursor = [], None
    for _ in range(2):
        found = (await desk.maker.get("/loans", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [item["loan_id"] for item in found["items"]]
        cursor = found["next"]
    assert (seen, cursor) == (loans, None)
    first = (await desk.maker.get("/ledger/transactions", params={"limit": 4})).json()
    rest = (await desk.maker.get("/ledger/transactions", params={"cursor": first["next"]})).json()
    assert [item["kind"] for item in [*first["items"], *rest["items"]]] == ["disbursement", "fee"] * 3
