"""Bitemporal: what a line's documents carried at a past instant, and what its firm was called then."""

from __future__ import annotations

from services.credit.queries import bases
from shared.events.receivables import ReceivableDiluted, ReceivableRegistered, ReceivableRejected, ReceivableSettled
from shared.values.ids import new_id
from tests.integration.credit.past_story import explain, lines_of
from tests.integration.credit.world import DUE, OPEN, World, cny


async def test_a_document_is_explained_as_it_was_known_and_used_then(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    (line_id,) = await lines_of(world)
    document = await world.receivable(supplier, amount="1000.00")
    told = [await explain(world, line_id)]
    drawn = (await world.draw(supplier, [document], "100.00")).json()["drawdown_id"]
    told.append(await explain(world, line_id))
    await world.hear(ReceivableDiluted(receivable_id=document, by=cny("400.00"), financeable=cny("600.00"), reason="n"))
    async with world.bench.caller("sme", party=supplier) as sme:
        headers = {"idempotency-key": new_id()}
        cancelled = await sme.post(f"/drawdowns/{drawn}/cancel", json={"reason": "story"}, headers=headers)
    assert cancelled.status_code == 200, cancelled.text
    await world.hear(world.firm(supplier, name="Renamed"))
    told.append(await explain(world, line_id))
    await world.hear(ReceivableSettled(receivable_id=document))
    told.append(await explain(world, line_id))
    assert [each["base"]["carries"]["amount"] for each in told] == ["800.00", "0.00", "480.00", "0.00"]
    assert [each["line"]["enterprise_name"] for each in told] == ["Firm", "Firm", "Renamed", "Renamed"]
    for each in told:
        assert await explain(world, line_id, as_of=each["as_of"]) == each
    in_chinese = await explain(world, line_id, as_of=told[0]["as_of"], language="zh")
    assert "可支持新增本金 CNY 800.00" in in_chinese["text"]


async def test_what_carries_nothing_and_never_did_has_no_history(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    await world.hear(ReceivableRejected(receivable_id=document, reason="story"))
    refused = new_id()
    await world.hear(
        ReceivableRegistered(
            receivable_id=refused,
            seller_id=supplier,
            obligor_id=world.anchor,
            number="1",
            document_type="380",
            syntax="json",
            issue_date=OPEN,
            due_date=DUE,
            payable=cny("1.00"),
            state="validated",
            reasons=[],
        ),
        ReceivableRejected(receivable_id=refused, reason="story"),
    )
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT document_id, free, eligible_minor FROM document_history ORDER BY since")
    assert [tuple(row) for row in rows] == [(document, True, 100_000_00), (document, False, 0)]


async def test_what_documents_carried_is_looked_up_by_owner_and_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO document_history SELECT 'd' || n % 5000, now() - n * interval '1 minute', 'o' || n % 500,
                'a', n, 'CNY', current_date, true FROM generate_series(1, 40000) n"""
        )
        await tx.pg.execute(
            """INSERT INTO outbox (id, topic, subject, sequence, type, source, time, body)
            SELECT 'e' || n, 'scf.credit.drawdown.v1', 'w' || n, 1, 'drawdown.held.v1', 'credit',
                now() - (40000 - n) * interval '1 minute', repeat('x', 300) FROM generate_series(1, 40000) n"""
        )
        await tx.pg.execute("SELECT brin_summarize_new_values('outbox_time')")
        await tx.pg.execute("ANALYZE document_history, outbox")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        await tx.pg.execute(f"PREPARE base AS {bases._PAST_BASE}")
        given = "'o1', 'a', 'CNY', current_date, 800000, now() - interval '1 hour', 'scf.credit.drawdown.v1'"
        told = "ARRAY['drawdown.held.v1'], 'drawdown.released.v1', 'o1'"
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE base({given}, {told})")
    text = "\n".join(row[0] for row in plan)
    assert "document_history_owner" in text, text
    for table in ("document_history", "document_use", "drawdown", "outbox"):
        assert f"Seq Scan on {table} " not in text, text
