"""What breaks in the middle: connections, races between every way a drawdown can move, plans and indexes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from services.credit.operations.close_drawdowns import expire_drawdowns
from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from shared.events.envelope import Event
from shared.events.onboarding import ProgrammeLimitChanged
from shared.events.settlement import DisbursementFailed
from shared.storage.database import Transaction
from shared.values.ids import new_id
from tests.integration.credit.world import World, cny

_CARRIED = """
SELECT n.node_id FROM limit_node n LEFT JOIN (
    SELECT step->>1 AS node_id,
        sum(CASE WHEN w.state IN ('held', 'referred', 'approved', 'cancelling')
            THEN w.exposure_minor * (step->>2)::bigint / 1000000 ELSE 0 END) AS held,
        sum(w.used_minor * (step->>2)::bigint / 1000000) AS utilised
    FROM drawdown w CROSS JOIN LATERAL jsonb_array_elements(w.path) AS step GROUP BY 1) AS c USING (node_id)
WHERE (n.held_minor, n.utilised_minor) <> (coalesce(c.held, 0), coalesce(c.utilised, 0))
"""


class _Breaks(HoldDrawdowns):
    """A desk whose first batch loses its connection, before the commit or after it."""

    when = ""

    async def _hold(self, tx: Transaction, programme_id: str, batch: Sequence[Draw]) -> list[str | Exception]:
        answers = await super()._hold(tx, programme_id, batch)
        if self.when == "before":
            self.when = ""
            tx.pg.terminate()
        return answers

    async def _commit(self, batch: list[Draw]) -> list[str | Exception]:
        answers = await super()._commit(batch)
        if self.when == "after":
            self.when = ""
            raise ConnectionResetError
        return answers


@pytest.mark.parametrize("when", ["before", "after"])
async def test_r19_a_connection_lost_around_the_commit_holds_exactly_once(world: World, when: str) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    documents = [await world.receivable(supplier) for _ in range(5)]
    world.bench.app.fastapi.state.holds = desk = _Breaks(world.database, hold_seconds=60)
    desk.when = when
    answers = await asyncio.gather(*(world.draw(supplier, [each], "1000.00", line_id=line) for each in documents))
    assert [each.status_code for each in answers] == [201] * 5
    assert desk.when == ""
    assert (await world.line_of(supplier))["held"]["amount"] == "5000.00"
    async with world.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM drawdown") == 5
        assert await tx.pg.fetchval("SELECT count(*) FROM outbox WHERE type = 'drawdown.held.v1'") == 5


async def test_a_full_queue_is_said_to_be_busy_and_nothing_is_done(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line, document = (await world.line_of(supplier))["line_id"], await world.receivable(supplier)
    world.bench.app.fastapi.state.holds._group._max_queue = 0
    answer = await world.draw(supplier, [document], "1.00", line_id=line)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["retry-after"]
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"


async def test_whatever_happens_at_once_every_node_carries_exactly_its_drawdowns(world: World) -> None:
    await world.begin(limit=cny("30000.00"), upstream_limit=cny("30000.00"))
    suppliers = [await world.supplier(traded="100.00") for _ in range(3)]
    lines = {each: (await world.line_of(each))["line_id"] for each in suppliers}
    documents = [(each, await world.receivable(each, amount="3000.00")) for each in suppliers for _ in range(14)]
    dice = random.Random(7)  # noqa: S311 - a story, not secrecy
    held = [
        answer.json()["drawdown_id"]
        for answer in await asyncio.gather(
            *(world.draw(who, [each], "1000.00", line_id=lines[who]) for who, each in documents[::2])
        )
        if answer.status_code == 201
    ]
    assert len(held) > 12

    async def live(drawdown: str) -> None:
        fate = dice.choice(["paid", "failed", "cancelled", "expired", "reversed"])
        if fate == "expired":
            async with world.database.transaction() as tx:
                await tx.pg.execute("UPDATE drawdown SET expires_at = now() WHERE drawdown_id = $1", drawdown)
            await expire_drawdowns(world.database)
            return
        if fate == "cancelled":
            async with world.bench.caller("bank_maker") as maker:
                await maker.post(
                    f"/drawdowns/{drawdown}/cancel", json={"reason": "story"}, headers={"idempotency-key": new_id()}
                )
            return
        events: list[Event] = [world.assigned(drawdown)]
        if fate == "failed":
            events.append(DisbursementFailed(loan_id=drawdown, reason="story"))
        await world.hear(*events)
        if fate != "failed" and (await world.drawdown(drawdown))["state"] == "approved":
            await world.hear(world.disbursed(drawdown, "1000.00"), world.repaid(drawdown, "400.00"))
            if fate == "reversed":
                await world.hear(world.repaid(drawdown, "-400.00"))

    async def cut(amount: str) -> None:
        changed = cny(amount)
        await world.hear(
            ProgrammeLimitChanged(
                programme_id=world.programme,
                limit=changed,
                upstream_limit=changed,
                downstream_limit=changed,
                reason="story",
            )
        )

    more: list[Any] = [world.draw(who, [each], "800.00", line_id=lines[who]) for who, each in documents[1::2]]
    more += [live(each) for each in held]
    more += [cut("9000.00"), world.hear(world.rating(suppliers[0], cap="2000.00")), cut("30000.00")]
    dice.shuffle(more)
    await asyncio.gather(*more)
    async with world.database.reader() as tx:
        assert [row["node_id"] for row in await tx.pg.fetch(_CARRIED)] == []
        assert (
            await tx.pg.fetchval(
                "SELECT count(*) FROM outbox_head h WHERE sequence <> (SELECT count(*) FROM outbox o "
                "WHERE (o.topic, o.subject) = (h.topic, h.subject))"
            )
            == 0
        )
        states = Counter(row["state"] for row in await tx.pg.fetch("SELECT state FROM drawdown"))
        uses = await tx.pg.fetchval(
            "SELECT count(*) FROM document_use u JOIN drawdown w USING (drawdown_id) WHERE w.state = 'released'"
        )
    assert uses == 0
    assert states["released"] > 0
    assert states["utilised"] > 0


async def test_no_index_stands_on_a_column_that_a_hold_changes(world: World) -> None:
    """An index there would take the node's updates out of the heap page they live in."""
    async with world.database.reader() as tx:
        indexes = await tx.pg.fetch("SELECT indexdef FROM pg_indexes WHERE tablename = 'limit_node'")
        options = await tx.pg.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'limit_node'")
    changed = ("sanctioned_minor", "held_minor", "utilised_minor", "version")
    assert indexes
    assert [row["indexdef"] for row in indexes if any(name in row["indexdef"] for name in changed)] == []
    assert options == ["fillfactor=50"]
