"""A batch of drawdowns over HTTP: a line in, a line out, each item decided as a single command is."""

from __future__ import annotations

import json
from typing import Any

import httpx

from services.credit.api.hot import MOST_ITEMS
from services.credit.schemas import DrawItemHeldOut, DrawItemRefusedOut
from tests.integration.credit.world import World, cny


def _item(line_id: str, document_id: str, principal: str = "1000.00", *, key: str, **more: Any) -> str:
    body = {
        "idempotency_key": key,
        "line_id": line_id,
        "documents": [{"kind": "receivable", "document_id": document_id}],
        "principal": {"amount": principal, "currency": "CNY"},
        "purpose": "wages",
        **more,
    }
    return json.dumps(body)


async def _send(world: World, party: str, lines: list[str], *, who: str = "erp") -> httpx.Response:
    async with world.bench.caller("sme", party=party, subject=who) as sme:
        return await sme.post("/drawdowns/batch", content="\n".join(lines))


def _answers(answer: httpx.Response) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


async def test_each_item_is_answered_on_its_own_line_in_the_order_in_which_it_came(world: World) -> None:
    await world.begin()
    supplier, other = await world.supplier(), await world.supplier()
    mine, foreign = (await world.line_of(supplier))["line_id"], (await world.line_of(other))["line_id"]
    documents = [await world.receivable(supplier) for _ in range(3)]
    lines = [
        _item(mine, documents[0], key="a"),
        "{not json",
        _item(mine, documents[0], key="b"),
        _item(foreign, documents[1], key="c"),
        "",
        _item("0" * 8 + "-0000-7000-8000-" + "0" * 12, documents[1], key="d"),
        _item(mine, documents[1], "99999999.00", key="e"),
        _item(mine, documents[1], key="f", extra=1),
        _item(mine, documents[1], key=""),
        _item(mine, documents[2], "1.005", key="g"),
        _item(mine, documents[2], key="h", purpose="materials") + "\r",
    ]
    found = _answers(await _send(world, supplier, lines))
    assert [(each["status"], each.get("code", "held")) for each in found] == [
        (201, "held"),
        (400, "malformed_body"),
        (409, "document_in_use"),
        (403, "foreign_party"),
        (404, "unknown_line"),
        (422, "borrowing_base_exceeded"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_amount"),
        (201, "held"),
    ]
    for each in found:
        (DrawItemHeldOut if each["status"] == 201 else DrawItemRefusedOut).model_validate(each)
    assert found[2]["facts"] == {"document_id": documents[0]}
    assert (await world.drawdown(found[9]["drawdown_id"]))["purpose"] == "materials"
    assert (await world.line_of(supplier))["held"]["amount"] == "2000.00"


async def test_r10_a_batch_over_several_transactions_takes_exactly_what_is_there(world: World) -> None:
    await world.begin(limit=cny("5000.00"), upstream_limit=cny("5000.00"))
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = await _free(world, supplier, 600)
    found = _answers(await _send(world, supplier, [_item(line, each, "10.00", key=each) for each in documents]))
    assert [each["status"] for each in found] == [201] * 500 + [409] * 100
    assert found[500]["code"] == "limit_exceeded"
    assert found[500]["facts"]["available"] == {"amount": "0.00", "currency": "CNY"}
    assert [each["documents"][0]["document_id"] for each in found[:500]] == documents[:500]
    assert (await world.nodes())[f"programme/{world.programme}"]["held"]["amount"] == "5000.00"


async def test_r19_a_repeated_batch_answers_the_same_and_another_item_under_the_same_key_is_a_conflict(
    world: World,
) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = await _free(world, supplier, 300)
    lines = [_item(line, each, "1.00", key=each) for each in documents]
    first = await _send(world, supplier, lines[:280])
    again = await _send(world, supplier, lines)
    assert again.content.startswith(first.content)
    twins = [lines[0], lines[0], _item(line, documents[0], "2.00", key=documents[0])]
    found = _answers(await _send(world, supplier, twins))
    assert found[0] == found[1] == _answers(first)[0]
    assert (found[2]["status"], found[2]["code"]) == (409, "idempotency_conflict")
    assert (await world.line_of(supplier))["held"]["amount"] == "300.00"


async def test_r19_a_key_means_the_same_command_in_a_batch_and_alone(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = await _free(world, supplier, 2)
    alone = await world.draw(supplier, documents[:1], "1.00", line_id=line, key="k", subject="erp")
    assert alone.status_code == 201
    (found,) = _answers(await _send(world, supplier, [_item(line, documents[1], "1.00", key="k")]))
    assert (found["status"], found["code"]) == (409, "idempotency_conflict")


async def test_too_many_items_or_none_are_refused_before_any_is_looked_at(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    many = await _send(world, supplier, ["{}"] * (MOST_ITEMS + 1))
    assert (many.status_code, many.json()["code"], many.json()["items"]) == (413, "too_many_items", MOST_ITEMS + 1)
    none = await _send(world, supplier, ["", " ", "\r"])
    assert (none.status_code, none.json()["code"]) == (422, "invalid_request")


async def test_r23_neither_the_bank_nor_an_anchor_draws_for_a_firm(world: World) -> None:
    await world.begin()
    for role in ("bank_maker", "bank_checker", "risk_officer", "anchor_maker", "erp", "administrator"):
        async with world.bench.caller(role) as caller:
            answer = await caller.post("/drawdowns/batch", content="{}")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), role


async def test_the_batch_route_stands_in_the_api_document(world: World) -> None:
    post = world.bench.app.fastapi.openapi()["paths"]["/credit/v1/drawdowns/batch"]["post"]
    assert post["x-roles"] == ["sme"]
    assert {"200", "401", "403", "413", "422"} <= post["responses"].keys()
    assert set(post["responses"]["200"]["content"]) == set(post["requestBody"]["content"]) == {"application/x-ndjson"}


async def _free(world: World, supplier: str, many: int) -> list[str]:
    """Copy in confirmed receivables of a supplier; return their ids."""
    async with world.database.transaction() as tx:
        rows = await tx.pg.fetch(
            """INSERT INTO document (document_id, kind, owner_id, obligor_id, eligible_minor, currency, due_date, state)
            SELECT 'd-' || lpad(n::text, 6, '0'), 'receivable', $1, $2, 10000000, 'CNY', date '2026-06-01', 'confirmed'
            FROM generate_series(1, $3) n RETURNING document_id""",
            supplier,
            world.anchor,
            many,
        )
    return sorted(row["document_id"] for row in rows)
