"""Holds under concurrency: each command has its own answer, and no limit is ever passed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx

from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from shared.storage.idempotency import IdempotencyConflict, Key
from shared.values.ids import new_id
from shared.values.money import Money
from tests.integration.credit.world import World, cny


def _codes(answers: list[httpx.Response]) -> Counter[str]:
    return Counter("held" if each.status_code == 201 else str(each.json()["code"]) for each in answers)


async def _count(world: World, table: str) -> int:
    async with world.database.reader() as tx:
        count: int = await tx.pg.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a test's own names
    return count


async def test_r10_of_six_concurrent_holds_of_1000_on_a_balance_of_5000_exactly_five_succeed(world: World) -> None:
    await world.begin(limit=cny("5000.00"), upstream_limit=cny("5000.00"))
    supplier = await world.supplier()
    documents = [await world.receivable(supplier, amount="2000.00") for _ in range(6)]
    line = (await world.line_of(supplier))["line_id"]
    answers = await asyncio.gather(*(world.draw(supplier, [each], "1000.00", line_id=line) for each in documents))
    assert _codes(list(answers)) == {"held": 5, "limit_exceeded": 1}
    (refused,) = [each.json() for each in answers if each.status_code != 201]
    assert refused["available"] == {"amount": "0.00", "currency": "CNY"}
    assert refused["binding_node"].startswith(("line/", "programme/", "direction/", "tier/"))


async def test_r10_64_concurrent_holds_of_two_suppliers_take_exactly_what_the_programme_has_left(world: World) -> None:
    await world.begin(limit=cny("20000.00"), upstream_limit=cny("20000.00"))
    first, second = await world.supplier(traded="100.00"), await world.supplier(traded="100.00")
    wanted = [(who, await world.receivable(who, amount="2000.00")) for who in (first, second) for _ in range(32)]
    lines = {who: (await world.line_of(who))["line_id"] for who in (first, second)}
    answers = await asyncio.gather(*(world.draw(who, [each], "700.00", line_id=lines[who]) for who, each in wanted))
    # Each line may use half of the pool: 14 × 700 = 9,800 of 10,000.
    assert _codes(list(answers)) == {"held": 28, "limit_exceeded": 36}
    nodes = await world.nodes()
    assert nodes[f"programme/{world.programme}"]["held"]["amount"] == "19600.00"
    assert nodes[f"group/{world.anchor}/CNY"]["held"]["amount"] == "19600.00"
    assert {nodes[f"line/{line}"]["held"]["amount"] for line in lines.values()} == {"9800.00"}
    for table in ("drawdown", "document_use", "idempotency"):
        assert await _count(world, table) == 28


async def test_r19_a_repeated_key_gets_the_same_answer_and_another_body_a_conflict(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document, other = await world.receivable(supplier), await world.receivable(supplier)
    who, key = new_id(), "key-1"
    first = await world.draw(supplier, [document], "1000.00", key=key, subject=who)
    again = await world.draw(supplier, [document], "1000.00", key=key, subject=who)
    changed = await world.draw(supplier, [other], "1000.00", key=key, subject=who)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert (changed.status_code, changed.json()["code"]) == (409, "idempotency_conflict")
    assert (await world.line_of(supplier))["held"]["amount"] == "1000.00"


async def test_r19_twins_in_one_batch_are_one_drawdown(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    line = (await world.line_of(supplier))["line_id"]
    who = new_id()
    answers = await asyncio.gather(
        *(world.draw(supplier, [document], "1000.00", key="k", subject=who, line_id=line) for _ in range(8))
    )
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["drawdown_id"] for each in answers}) == 1
    assert (await world.line_of(supplier))["held"]["amount"] == "1000.00"


async def test_a_refusal_claims_no_key_so_the_same_command_may_come_again(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    who, document = new_id(), new_id()
    refused = await world.draw(supplier, [document], "1000.00", key="k", subject=who)
    assert (refused.status_code, refused.json()["code"]) == (422, "document_not_eligible")
    assert refused.json()["reason"] == "unknown"
    assert await _count(world, "idempotency") == 0
    held = await world.draw(supplier, [await world.receivable(supplier)], "1000.00", key="k", subject=who)
    assert held.status_code == 201


async def test_two_processes_with_the_same_key_and_document_hold_once(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    document, other = await world.receivable(supplier), await world.receivable(supplier)
    desks = [HoldDrawdowns(world.database, hold_seconds=60) for _ in range(3)]
    answers = await asyncio.gather(*(desk.submit(_draw(supplier, line, document, key="k")) for desk in desks))
    assert len(set(answers)) == 1
    clash = await asyncio.gather(
        *(desk.submit(_draw(supplier, line, other, key=f"k{n}")) for n, desk in enumerate(desks)),
        return_exceptions=True,
    )
    assert Counter(type(each).__name__ for each in clash) == {"str": 1, "DocumentInUse": 2}


async def test_r10_several_processes_share_one_limit_exactly(world: World) -> None:
    await world.begin(limit=cny("5000.00"), upstream_limit=cny("5000.00"))
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = [await world.receivable(supplier, amount="2000.00") for _ in range(12)]
    desks = [HoldDrawdowns(world.database, hold_seconds=60) for _ in range(3)]
    answers = await asyncio.gather(
        *(desks[n % 3].submit(_draw(supplier, line, document, key=f"k{n}")) for n, document in enumerate(documents)),
        return_exceptions=True,
    )
    assert Counter(type(each).__name__ for each in answers) == {"str": 5, "LimitExceeded": 7}
    assert (await world.line_of(supplier))["held"]["amount"] == "5000.00"


async def test_a_poisonous_command_never_fails_its_neighbours(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = [await world.receivable(supplier) for _ in range(9)]
    desk = HoldDrawdowns(world.database, hold_seconds=60)
    draws = [
        # PostgreSQL refuses a NUL in a text; HTTP would have refused it earlier.
        _draw(supplier, line, document, key=f"k{n}", purpose="bad\x00" if n == 4 else "wages")
        for n, document in enumerate(documents)
    ]
    answers = await asyncio.gather(*(desk.submit(each) for each in draws), return_exceptions=True)
    assert [isinstance(each, str) for each in answers] == [n != 4 for n in range(9)]
    assert (await world.line_of(supplier))["held"]["amount"] == "8000.00"


async def test_in_one_batch_refusals_conflicts_and_holds_stand_side_by_side(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    document, other = await world.receivable(supplier), await world.receivable(supplier)
    desk = HoldDrawdowns(world.database, hold_seconds=60)
    answers = await asyncio.gather(
        desk.submit(_draw(supplier, line, document, key="a")),
        desk.submit(_draw(supplier, line, document, key="b")),
        desk.submit(_draw(supplier, line, other, key="a")),
        desk.submit(_draw(supplier, line, other, key="c", principal=10**12)),
        desk.submit(_draw("somebody", line, other, key="d")),
        desk.submit(_draw(supplier, line, other, key="e")),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in answers] == [
        "str",
        "DocumentInUse",
        IdempotencyConflict.__name__,
        "BaseExceeded",
        "ForeignParty",
        "str",
    ]


def _draw(  # a command as the route makes it
    party: str, line: str, document: str, *, key: str, principal: int = 100_000, purpose: str = "wages"
) -> Draw:
    body = repr((line, document, principal, purpose)).encode()
    return Draw(
        key=Key.of(client="erp", route=ROUTE, key=key, body=body),
        party=party,
        line_id=line,
        documents=(("receivable", document),),
        principal=Money(principal, "CNY"),
        purpose=purpose,
    )


async def test_r12_a_limit_cut_below_use_refuses_new_draws_and_touches_no_hold(world: World) -> None:
    from shared.events.onboarding import ProgrammeLimitChanged

    await world.begin()
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "80000.00")
    cut = cny("50000.00")
    await world.hear(
        ProgrammeLimitChanged(
            programme_id=world.programme, limit=cut, upstream_limit=cut, downstream_limit=cut, reason="watch"
        )
    )
    line = await world.line_of(supplier)
    assert (line["available"]["amount"], line["held"]["amount"]) == ("0.00", "80000.00")
    node = (await world.nodes())[f"programme/{world.programme}"]
    assert (node["available"]["amount"], node["shortfall"]["amount"]) == ("0.00", "30000.00")
    refused = await world.draw(supplier, [await world.receivable(supplier)], "1.00")
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_exceeded")
    assert (await world.drawdown(drawdown))["state"] == "held"
    async with world.database.reader() as tx:
        causes = await tx.pg.fetch("SELECT DISTINCT cause FROM overuse WHERE until IS NULL")
    assert [row["cause"] for row in causes] == ["programme.limit_changed"]
    # At approval the cut is weighed by a person; it revokes nothing by itself.
    await world.hear(world.assigned(drawdown))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"]) == ("referred", "limit_cut_below_use")
    back = cny("1000000.00")
    await world.hear(
        ProgrammeLimitChanged(
            programme_id=world.programme, limit=back, upstream_limit=back, downstream_limit=back, reason="better"
        )
    )
    assert (await world.line_of(supplier))["available"]["amount"] == "920000.00"
    async with world.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM overuse WHERE until IS NULL") == 0


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"principal": {"amount": "-5.00", "currency": "CNY"}}, 422, "invalid_amount"),
    ({"principal": {"amount": "0.00", "currency": "CNY"}}, 422, "invalid_amount"),
    ({"principal": {"amount": "1e9", "currency": "CNY"}}, 422, "invalid_amount"),
    ({"principal": {"amount": "9" * 18, "currency": "CNY"}}, 422, "invalid_amount"),
    ({"principal": {"amount": "1.00", "currency": "EUR"}}, 422, "currency_mismatch"),
    ({"principal": {"amount": "1.00", "currency": "ZZZ"}}, 422, "unknown_currency"),
    ({"principal": {"amount": "80000.01", "currency": "CNY"}}, 422, "borrowing_base_exceeded"),
    ({"purpose": "nul\x00"}, 422, "invalid_request"),
    ({"purpose": ""}, 422, "invalid_request"),
    ({"purpose": "yacht"}, 422, "unknown_purpose"),
    ({"documents": []}, 422, "product_not_offered"),
    ({"documents": [], "product": "revolving_micro", "tenor_days": 30}, 422, "product_not_offered"),
    ({"product": "payables_finance"}, 422, "product_not_offered"),
    ({"product": "deep_tier"}, 422, "product_not_offered"),
    ({"documents": [{"kind": "order", "document_id": "o"}]}, 422, "product_not_offered"),
    ({"tenor_days": 30}, 422, "tenor_not_offered"),
    ({"payee": {"enterprise_id": "x", "account": "A"}}, 422, "invalid_request"),
    ({"documents": [{"kind": "slice", "document_id": "a\x00"}]}, 422, "invalid_request"),
    ({"line_id": "line"}, 422, "invalid_request"),
    ({"line_id": new_id()}, 404, "unknown_line"),
    ({"quote_id": new_id()}, 404, "unknown_quote"),
    ({"surprise": 1}, 422, "invalid_request"),
]


async def test_bad_commands_are_refused_by_name_and_change_nothing(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    good = {
        "line_id": (await world.line_of(supplier))["line_id"],
        "documents": [{"kind": "receivable", "document_id": document}],
        "principal": {"amount": "1.00", "currency": "CNY"},
        "purpose": "wages",
    }
    twice = {"documents": good["documents"] * 2}
    async with world.bench.caller("sme", party=supplier) as sme:
        for change, status, code in [*BAD, (twice, 422, "invalid_request")]:
            answer = await sme.post("/drawdowns", json={**good, **change}, headers={"idempotency-key": "k"})
            assert (answer.status_code, answer.json()["code"]) == (status, code), (change, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "nul\x00" not in answer.text
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"
    for table in ("idempotency", "drawdown", "document_use", "outbox_pending WHERE shard LIKE '%drawdown%'"):
        assert await _count(world, table) == 0


async def test_who_may_not_draw_is_told_so(world: World) -> None:
    await world.begin()
    supplier, other = await world.supplier(), await world.supplier()
    document = await world.receivable(supplier)
    line = (await world.line_of(supplier))["line_id"]
    foreign = await world.draw(other, [document], "1.00", line_id=line)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_party")
    stolen = await world.draw(other, [document], "1.00")
    assert (stolen.status_code, stolen.json()["reason"]) == (422, "not_your_document")
    async with world.bench.caller("bank_maker") as maker:
        wrong_role = await maker.post("/drawdowns", json={}, headers={"idempotency-key": "k"})
        maker.headers.pop("authorization")
        no_token = await maker.post("/drawdowns", json={})
    assert (wrong_role.status_code, wrong_role.json()["code"]) == (403, "forbidden")
    assert (no_token.status_code, no_token.json()["code"]) == (401, "missing_token")
    async with world.bench.caller("sme", party=supplier) as sme:
        no_key = await sme.post("/drawdowns", json={})
        not_json = await sme.post("/drawdowns", content=b"{", headers={"idempotency-key": "k"})
        not_utf8 = await sme.post("/drawdowns", content=b'{"a": "\xff"}', headers={"idempotency-key": "k"})
        long_key = await sme.post("/drawdowns", json={}, headers={"idempotency-key": "k" * 201})
        not_so = await sme.put("/drawdowns", json={})
    assert (no_key.status_code, no_key.json()["code"]) == (400, "missing_idempotency_key")
    assert (not_json.status_code, not_json.json()["code"]) == (400, "malformed_body")
    assert (not_utf8.status_code, not_utf8.json()["code"]) == (400, "malformed_body")
    assert (long_key.status_code, long_key.json()["code"]) == (400, "missing_idempotency_key")
    assert (not_so.status_code, not_so.json()["code"]) == (405, "method_not_allowed")


async def test_a_document_carries_one_financing_until_its_drawdown_is_released(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    first = await world.draw(supplier, [document], "1000.00")
    second = await world.draw(supplier, [document], "1000.00")
    assert (second.status_code, second.json()["code"]) == (409, "document_in_use")
    async with world.bench.caller("sme", party=supplier) as sme:
        listed = (await sme.get("/documents")).json()["items"]
        assert [each["state"] for each in listed] == ["in_use"]
        cancelled = await sme.post(
            f"/drawdowns/{first.json()['drawdown_id']}/cancel",
            json={"reason": "changed my mind"},
            headers={"idempotency-key": "c"},
        )
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "released")
    assert (await world.draw(supplier, [document], "1000.00")).status_code == 201


async def test_terms_that_moved_since_are_seen_by_the_next_hold(world: World) -> None:
    from shared.events.onboarding import EnterpriseReinstated, EnterpriseSuspended

    await world.begin()
    supplier = await world.supplier()
    documents = [await world.receivable(supplier) for _ in range(3)]
    assert (await world.draw(supplier, documents[:1], "1000.00")).status_code == 201
    await world.hear(EnterpriseSuspended(enterprise_id=supplier, reason="court"))
    refused = await world.draw(supplier, documents[1:2], "1000.00")
    assert (refused.status_code, refused.json()["code"]) == (409, "line_not_drawable")
    assert refused.json()["reasons"] == ["sme_suspended"]
    # A block revokes what was not paid yet.
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"
    await world.hear(EnterpriseReinstated(enterprise_id=supplier))
    assert (await world.draw(supplier, documents[2:], "1000.00")).status_code == 201
