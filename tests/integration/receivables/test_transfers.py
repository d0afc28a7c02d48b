"""Slices passed on many at once: each decided on its own, each root's slices always its face (R13), a key once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.events.settlement import BusinessDayOpened
from shared.values.ids import new_id
from tests.integration.receivables.desk import FACTOR, SECOND, SUPPLIER, Desk, desk
from tests.support.einvoices import Firm

FACE_MINOR = 100_000
ROOTS = (
    """INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type,
        syntax, profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state,
        reasons, policy_version, vouchered)
    SELECT id, $2, $3, id, id, 2026, '380', 'csv', '', '', '2026-09-01', '2026-12-01', 'CNY', 100000, 100000, '',
        'confirmed', '{}', 'test', true FROM unnest($1::text[]) AS d(id)""",
    """INSERT INTO voucher (root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date)
    SELECT id, $2, $3, id, 'CNY', 100000, '2026-12-01' FROM unnest($1::text[]) AS d(id)""",
    """INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
    SELECT id, id, 0, 100000, $2, 'live' FROM unnest($1::text[]) AS d(id)""",
)


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def vouchers(opened: Desk, many: int) -> list[str]:
    """Issue vouchers as their rows; a root and its one slice have the same id here."""
    roots = sorted(new_id() for _ in range(many))
    holder, anchor = opened.id(SUPPLIER), next(iter(opened.ids.values()))
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(ROOTS[0], roots, holder, anchor)
        await tx.pg.execute(ROOTS[1], roots, opened.programme_id, anchor)
        await tx.pg.execute(ROOTS[2], roots, holder)
    return roots


def offer(opened: Desk, root: str, amount: str = "300.00", **changes: Any) -> dict[str, Any]:
    return {
        "idempotency_key": new_id(),
        "root_id": root,
        "slice_id": root,
        "amount": {"amount": amount, "currency": "CNY"},
        "transferee_id": opened.id(SECOND),
        "trade_reference": "contract 7",
        **changes,
    }


async def sent(opened: Desk, path: str, items: list[dict[str, Any]], *, by: Firm = SUPPLIER) -> list[dict[str, Any]]:
    async with opened.bench.caller("sme", party=opened.id(by), subject=f"erp of {by.name}") as client:
        answer = await client.post(path, json={"items": items})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def replies(offered: list[dict[str, Any]], roots: list[str], answer: str = "accept") -> list[dict[str, Any]]:
    return [
        {"idempotency_key": new_id(), "root_id": root, "transfer_id": each["transfer_id"], "answer": answer}
        for root, each in zip(roots, offered, strict=True)
    ]


async def test_r13_many_vouchers_are_split_at_once_and_each_still_comes_to_its_face(opened: Desk) -> None:
    roots = await vouchers(opened, 40)
    offered = await sent(opened, "/transfers/batch", [offer(opened, root) for root in roots])
    assert {each["status"] for each in offered} == {201}
    accepted = await sent(opened, "/transfers/replies/batch", replies(offered, roots), by=SECOND)
    assert {each["status"] for each in accepted} == {200}
    async with opened.bench.database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT root_id, sum(end_minor - start_minor)::bigint AS counted, count(*) AS many FROM slice "
            "WHERE state <> 'replaced' GROUP BY root_id"
        )
    assert {(row["counted"], row["many"]) for row in rows} == {(FACE_MINOR, 2)}
    assert {each["subject"] for each in await opened.events("voucher.transferred.v1")} == set(roots)


async def test_one_that_is_refused_hurts_no_neighbour_and_of_two_offers_of_a_slice_the_first_counts(
    opened: Desk,
) -> None:
    good, twice, small = await vouchers(opened, 3)
    items = [
        offer(opened, good),
        offer(opened, twice, "100.00"),
        offer(opened, twice, "200.00"),
        offer(opened, small, "1000.01"),
        offer(opened, small, transferee_id=new_id()),
        offer(opened, small, transferee_id=opened.id(SUPPLIER)),
        offer(opened, small, slice_id=good),
    ]
    answers = await sent(opened, "/transfers/batch", items)
    assert [(each["status"], each.get("code")) for each in answers] == [
        (201, None),
        (201, None),
        (409, "not_possible_now"),
        (422, "invalid_slice"),
        (422, "unknown_party"),
        (422, "invalid_slice"),
        (404, "unknown_voucher"),
    ]
    # R23: what another holds is not to be offered, what is not offered to me not to be accepted.
    assert (await sent(opened, "/transfers/batch", [offer(opened, small)], by=FACTOR))[0]["code"] == "foreign_party"
    (foreign,) = await sent(opened, "/transfers/replies/batch", replies(answers[:1], [good]), by=FACTOR)
    assert (foreign["status"], foreign["code"]) == (403, "foreign_party")
    # Declined and offered again: of a slice one offer is open at most.
    (declined,) = await sent(opened, "/transfers/replies/batch", replies(answers[1:2], [twice], "decline"), by=SECOND)
    assert declined["state"] == "declined"
    assert (await sent(opened, "/transfers/batch", [offer(opened, twice)]))[0]["status"] == 201


async def test_r19_a_batch_that_is_sent_again_is_answered_as_before_and_does_nothing_twice(opened: Desk) -> None:
    roots = await vouchers(opened, 3)
    items = [offer(opened, root) for root in roots]
    refused = offer(opened, roots[0], "5000.00")
    first = await sent(opened, "/transfers/batch", [*items, items[0], refused])
    assert first[0] == first[3]
    again = await sent(opened, "/transfers/batch", [*items, {**items[0], "trade_reference": "other"}])
    assert again[:3] == first[:3]
    assert again[3]["code"] == "idempotency_conflict"
    async with opened.bench.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM transfer") == len(roots)
        # A refusal claims no key.
        assert not await tx.pg.fetchval("SELECT true FROM idempotency WHERE key = $1", refused["idempotency_key"])


async def test_r13_what_matured_while_it_was_offered_is_not_transferred_any_more_and_can_be_taken_back(
    opened: Desk,
) -> None:
    (root,) = await vouchers(opened, 1)
    (offered,) = await sent(opened, "/transfers/batch", [offer(opened, root)])
    await opened.hear(BusinessDayOpened(open_date=date(2026, 12, 1)))
    (late,) = await sent(opened, "/transfers/replies/batch", replies([offered], [root]), by=SECOND)
    assert (late["status"], late["code"], late["facts"]["state"]) == (409, "not_possible_now", "matured")
    (back,) = await sent(opened, "/transfers/replies/batch", replies([offered], [root], "decline"))
    assert back["state"] == "declined"
    async with opened.bench.database.reader() as tx:
        assert [tuple(row) for row in await tx.pg.fetch("SELECT slice_id, state FROM slice")] == [(root, "live")]
