"""The hot route's declarations, its texts, its queries' plans, and what a batch costs in statements."""

from __future__ import annotations

import asyncio
import json

from services.credit.api import HOT_ROUTES
from services.credit.operations import hold_rows
from services.credit.schemas import HeldOut
from shared.events.credit import DrawdownApproved, DrawdownHeld
from shared.web.auth import ROLES, unclassified_routes
from tests.integration.credit.world import World


async def test_every_route_declares_who_may_call_it_the_hot_one_too(world: World) -> None:
    assert unclassified_routes(world.bench.app.fastapi) == []
    for route in HOT_ROUTES:
        assert route in world.bench.app.fastapi.routes
        assert route.access.roles
        assert route.access.roles <= ROLES


async def test_the_hot_route_stands_in_the_api_document(world: World) -> None:
    document = world.bench.app.fastapi.openapi()
    assert document == world.bench.app.fastapi.openapi()
    post = document["paths"]["/credit/v1/drawdowns"]["post"]
    assert {"201", "409", "410", "422", "503"} <= post["responses"].keys()
    assert "get" in document["paths"]["/credit/v1/drawdowns"]
    schemas = document["components"]["schemas"]
    assert {"DrawIn", "HeldOut", "Amount", "DocumentIn"} <= schemas.keys()
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas


async def test_the_texts_written_by_hand_are_those_of_the_models(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    answer = await world.draw(supplier, [document], "1234.50")
    held = HeldOut.model_validate_json(answer.content)
    assert held.model_dump(mode="json", exclude_none=True) == answer.json()
    async with world.database.reader() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM outbox WHERE type = 'drawdown.held.v1'")
        stored = await tx.pg.fetchrow("SELECT * FROM drawdown")
        assert row is not None
        assert stored is not None
        assert await tx.pg.fetchval("SELECT count(*) FROM outbox_pending WHERE position = $1", row["position"]) == 1
        head = await tx.pg.fetchval("SELECT sequence FROM outbox_head WHERE subject = $1", row["subject"])
    event = DrawdownHeld.model_validate_json(row["body"])
    assert set(json.loads(row["body"])) == set(DrawdownHeld.model_fields) - {"payee", "evidence", "plan", "on_cover"}
    assert (row["topic"], row["type"], row["sequence"], head) == (DrawdownHeld.topic, DrawdownHeld.type, 1, 1)
    assert row["traceparent"]
    assert (event.drawdown_id, event.line_id) == (held.drawdown_id, held.line_id)
    assert event.purpose == stored["purpose"] == "wages"
    assert (event.product, held.product, stored["product"]) == ("receivables_discounting",) * 3
    assert event.expires_at == stored["expires_at"]
    assert [each.model_dump() for each in event.documents] == held.documents == stored["documents"]
    assert (event.programme_id, event.enterprise_id, event.obligor_id) == (world.programme, supplier, world.anchor)


async def test_an_approval_tells_settlement_all_it_needs(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    await world.hear(world.assigned(drawdown))
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval("SELECT body FROM outbox WHERE type = 'drawdown.approved.v1'")
    said = DrawdownApproved.model_validate_json(body)
    assert (said.form, said.recourse, said.payee_id) == ("loan", True, supplier)
    assert (said.collection_account, said.grace_days, said.day_count) == ("COLLECT-1", 3, "ACT/360")
    assert (said.principal.amount, said.face.amount, said.fee.amount) == ("1000.00", "100000.00", "1.00")


async def test_a_batch_of_holds_is_two_statements_however_many_they_are(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = [await world.receivable(supplier) for _ in range(41)]
    assert (await world.draw(supplier, documents[:1], "1.00", line_id=line)).status_code == 201
    seen: list[int] = []
    handler = world.bench.app.fastapi.state.holds._group._handler

    async def counting(batch: list[object]) -> object:
        seen.append(len(batch))
        return await handler(batch)

    world.bench.app.fastapi.state.holds._group._handler = counting
    answers = await asyncio.gather(*(world.draw(supplier, [each], "1.00", line_id=line) for each in documents[1:]))
    assert {each.status_code for each in answers} == {201}
    assert sum(seen) == 40
    assert len(seen) <= 8


async def test_a_plan_of_the_hot_statement_made_on_new_tables_reads_by_index_when_they_have_grown(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute(f"PREPARE early AS {hold_rows._LOCK}")
        names = "ARRAY['a','b']"
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE early({names}, {names}, {names}, 'r', {names}, {names})")
    text = "\n".join(row[0] for row in plan)
    for table in ("idempotency", "document", "document_use", "quote"):
        assert f"Seq Scan on {table}" not in text, text


async def test_the_hot_statement_reads_by_index_whatever_the_tables_hold(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL session_replication_role = replica")
        await tx.pg.execute(
            """INSERT INTO idempotency SELECT 'c' || n % 7, 'r', 'k' || n, '', 201, ''
            FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute(
            """INSERT INTO document (document_id, kind, owner_id, obligor_id, state)
            SELECT 'd' || n, 'receivable', 'o' || n % 9, 'a', 'confirmed' FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("INSERT INTO document_use SELECT 'd' || n, 'w' || n FROM generate_series(1, 20000) n")
        await tx.pg.execute(
            """INSERT INTO limit_node (node_id, level, currency)
            SELECT 'line/x' || n, 6, 'CNY' FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute(
            """INSERT INTO quote SELECT 'q' || n, 'l', '', '{}', NULL, 1, 1, 1, 1, '', '', now()
            FROM generate_series(1, 20000) n"""
        )
        for table in ("idempotency", "document", "document_use", "limit_node", "quote"):
            await tx.pg.execute(f"ANALYZE {table}")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute(f"PREPARE hot AS {hold_rows._LOCK}")
        names = "ARRAY['a','b']"
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE hot({names}, {names}, {names}, 'r', {names}, {names})")
    text = "\n".join(row[0] for row in plan)
    assert "Seq Scan on book" in text
    for table in ("idempotency", "document", "document_use", "limit_node", "quote"):
        assert f"Seq Scan on {table}" not in text, text
