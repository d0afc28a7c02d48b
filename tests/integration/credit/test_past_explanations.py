"""Bitemporal: what was explained once is explained again, later, as of that instant, to the last unit."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.credit.consumers import HANDLERS
from services.credit.queries import past
from shared.events.onboarding import EnterpriseReinstated, EnterpriseSuspended, ProgrammeLimitChanged
from shared.events.risk import RatingRecorded
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened, LoanClosed
from shared.messaging.retention import archive
from shared.values.ids import new_id
from tests.integration.credit.world import DUE, OPEN, World, cny


async def _explain(world: World, line_id: str, **query: str) -> dict[str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.get(f"/lines/{line_id}/explanation", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    # What documents carry is told of today only.
    found["text"] = "\n".join(line for line in found["text"].split("\n") if "free documents" not in line)
    del found["base"]
    return found


async def _lines(world: World) -> list[str]:
    async with world.bench.caller("risk_officer") as bank:
        items = (await bank.get("/lines", params={"programme_id": world.programme})).json()["items"]
    return [line["line_id"] for line in items]


class Story:
    """A programme to which things happen at random."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.dice = random.Random(seed)  # noqa: S311 - a story, not secrecy
        self.firms: list[str] = []
        self.held: list[str] = []
        self.approved: list[str] = []
        self.paid: dict[str, int] = {}
        self.day = OPEN

    async def begin(self) -> None:
        """Two suppliers in a row, and a distributor that the anchor supports with a share."""
        world = self.world
        await world.begin(recourse=self.dice.random() < 0.5)
        first = await world.supplier(traded="600000.00")
        self.firms = [first, await world.supplier(traded="300000.00", buyer_id=first)]
        distributor = new_id()
        await world.hear(
            world.firm(distributor),
            world.rating(distributor),
            world.link(world.anchor, distributor, traded="200000.00"),
            world.member(distributor, direction="downstream", support="0.333333"),
            world.agreement(distributor),
        )
        self.firms.append(distributor)

    async def go_on(self) -> None:
        """Let one thing happen."""
        steps: list[Callable[[], Awaitable[None]]] = [
            self._draw, self._draw, self._approve, self._pay, self._pay, self._repay, self._repay, self._cancel,
            self._rate, self._limit, self._link, self._suspend, self._next_day, self._admit_anew,
        ]  # fmt: skip
        await self.dice.choice(steps)()

    async def _draw(self) -> None:
        firm, world = self.dice.choice(self.firms), self.world
        downstream = firm == self.firms[2]
        owner, obligor = (world.anchor, firm) if downstream else (firm, world.anchor)
        document = await world.receivable(
            owner, amount=f"{self.dice.randint(100, 9999)}.{self.dice.randint(10, 99)}", obligor_id=obligor
        )
        answer = await world.draw(firm, [document], f"{self.dice.randint(1, 79)}.{self.dice.randint(10, 99)}")
        if answer.status_code == 201:
            self.held.append(answer.json()["drawdown_id"])

    async def _approve(self) -> None:
        if self.held:
            drawdown = self.held.pop()
            await self.world.hear(self.world.assigned(drawdown))
            if (await self.world.drawdown(drawdown))["state"] == "approved":
                self.approved.append(drawdown)

    async def _pay(self) -> None:
        if self.approved:
            drawdown = self.approved.pop()
            principal = (await self.world.drawdown(drawdown))["principal"]["amount"]
            await self.world.hear(self.world.disbursed(drawdown, principal))
            self.paid[drawdown] = round(float(principal) * 100)

    async def _repay(self) -> None:
        if self.paid:
            drawdown = self.dice.choice(list(self.paid))
            repaid = self.dice.choice([self.paid[drawdown], self.dice.randint(1, self.paid[drawdown])])
            text = f"{repaid // 100}.{repaid % 100:02}"
            await self.world.hear(self.world.repaid(drawdown, text))
            self.paid[drawdown] -= repaid
            if not self.paid[drawdown]:
                del self.paid[drawdown]
                closes = self.dice.random() < 0.5
                if closes:
                    await self.world.hear(LoanClosed(loan_id=drawdown, closed_date=DUE))
                if self.dice.random() < 0.3:
                    await self.world.hear(self.world.repaid(drawdown, f"-{text}", outstanding=text))
                    self.paid[drawdown] = repaid

    async def _cancel(self) -> None:
        for drawdown in self.dice.sample(self.held, min(1, len(self.held))):
            async with self.world.bench.caller("bank_maker") as bank:
                path, headers = f"/drawdowns/{drawdown}/cancel", {"idempotency-key": new_id()}
                await bank.post(path, json={"reason": "story"}, headers=headers)
            self.held.remove(drawdown)

    async def _rate(self) -> None:
        firm = self.dice.choice([*self.firms, self.world.anchor])
        await self.world.hear(self.world.rating(firm, cap=f"{self.dice.randint(1, 999)}000.00"))

    async def _limit(self) -> None:
        limit = cny(f"{self.dice.randint(1, 99)}0000.00")
        changed = {"limit": limit, "upstream_limit": limit, "downstream_limit": limit}
        await self.world.hear(ProgrammeLimitChanged(programme_id=self.world.programme, reason="story", **changed))

    async def _link(self) -> None:
        traded = f"{self.dice.randint(1, 99)}0000.00"
        await self.world.hear(self.world.link(self.firms[0], self.world.anchor, traded=traded))

    async def _suspend(self) -> None:
        firm = self.dice.choice(self.firms)
        await self.world.hear(EnterpriseSuspended(enterprise_id=firm, reason="story"))
        self.held = [each for each in self.held if (await self.world.drawdown(each))["state"] == "held"]
        self.approved = [each for each in self.approved if (await self.world.drawdown(each))["state"] == "approved"]
        if self.dice.random() < 0.7:
            await self.world.hear(EnterpriseReinstated(enterprise_id=firm))

    async def _next_day(self) -> None:
        closed, self.day = self.day, self.day + timedelta(days=self.dice.randint(1, 3))
        await self.world.hear(BusinessDayClosed(closed_date=closed, open_date=self.day))

    async def _admit_anew(self) -> None:
        support = f"0.{self.dice.randint(1, 999_999):06}"
        await self.world.hear(self.world.member(self.firms[2], direction="downstream", support=support))


@pytest.mark.parametrize("seed", range(4))
async def test_explanations_taken_during_a_story_are_those_of_their_instants_later(world: World, seed: int) -> None:
    story = Story(world, seed)
    await story.begin()
    lines, taken = await _lines(world), []
    for _ in range(25):
        await story.go_on()
        taken += [(line_id, await _explain(world, line_id)) for line_id in lines]
    for line_id, told in taken:
        assert await _explain(world, line_id, as_of=told["as_of"]) == told
    assert len({told["line"]["available"]["amount"] for _, told in taken}) > 10
    assert len({told["business_date"] for _, told in taken}) > 1


async def test_what_is_archived_still_tells_of_the_past(world: World) -> None:
    story = Story(world, 7)
    await story.begin()
    (line_id, *_), taken = await _lines(world), []
    for _ in range(12):
        await story.go_on()
        taken.append(await _explain(world, line_id))
    async with world.database.transaction() as tx:
        await tx.pg.execute("DELETE FROM outbox_pending")
    assert await archive(world.database, owner="test", days=0) > 20
    for told in taken:
        assert await _explain(world, line_id, as_of=told["as_of"]) == told


async def test_what_is_kept_but_not_propagated_yet_is_explained_as_it_was_then(world: World) -> None:
    await world.hear(
        BusinessDayOpened(open_date=OPEN), world.firm(world.anchor, name="Anchor", size="large"), world.activated()
    )
    await world.supplier()
    (line_id,) = await _lines(world)
    unrated = await _explain(world, line_id)
    event = world._received(world.rating(world.anchor))
    async with world.database.transaction() as tx:
        await HANDLERS[RatingRecorded](tx, [event])
    kept = await _explain(world, line_id)
    await world.hear(world.rating(world.anchor, cap="7.00"))
    for told in (unrated, kept):
        assert await _explain(world, line_id, as_of=told["as_of"]) == told
    assert unrated["line"]["reasons"] == ["anchor_unrated"]
    assert kept["line"]["reasons"] == []


async def test_as_of_now_is_what_is_explained_now(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    await world.held(supplier, "100.00")
    (line_id,) = await _lines(world)
    now = await _explain(world, line_id)
    assert await _explain(world, line_id, as_of=now["as_of"]) == now
    in_chinese = await _explain(world, line_id, as_of=now["as_of"], language="zh")
    assert "已占用 CNY 100.00" in in_chinese["text"]


async def test_a_business_date_that_is_over_is_explained_as_it_ended(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    (line_id,) = await _lines(world)
    await world.held(supplier, "100.00")
    ended = await _explain(world, line_id)
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=OPEN + timedelta(days=1)))
    await world.held(supplier, "50.00")
    told = await _explain(world, line_id, on=OPEN.isoformat())
    assert {**told, "as_of": ended["as_of"]} == ended
    assert told["business_date"] == OPEN.isoformat()


async def test_what_is_to_come_or_was_before_the_line_is_refused(world: World) -> None:
    before = datetime.now(UTC) - timedelta(days=1)
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    asked = {
        "as_of": [(datetime.now(UTC) + timedelta(days=1)).isoformat(), before.isoformat(), "2026-03-02T00:00:00", "x"],
        "on": [OPEN.isoformat(), date(2020, 1, 1).isoformat()],
    }
    codes = []
    async with world.bench.caller("risk_officer") as bank:
        for name, values in asked.items():
            for value in values:
                answer = await bank.get(f"/lines/{line}/explanation", params={name: value})
                codes.append((answer.status_code, answer.json()["code"]))
    assert codes == [
        (422, "instant_to_come"),
        (404, "unknown_line"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "instant_to_come"),
        (422, "instant_to_come"),
    ]


async def test_r23_of_the_past_too_a_party_sees_of_shared_limits_only_what_was_left(world: World) -> None:
    await world.begin()
    supplier, other = await world.supplier(), await world.supplier()
    await world.held(other, "100.00")
    line = (await world.line_of(supplier))["line_id"]
    then = (await _explain(world, line))["as_of"]
    async with world.bench.caller("sme", party=supplier) as sme:
        told = (await sme.get(f"/lines/{line}/explanation", params={"as_of": then})).json()
    assert {node["level"] for node in told["nodes"] if "utilised" in node} == {"sme", "line"}
    async with world.bench.caller("sme", party=other) as sme:
        refused = await sme.get(f"/lines/{line}/explanation", params={"as_of": then})
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign_party")


async def test_a_past_instant_reads_histories_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO node_history SELECT 'line/' || n % 500, now() - n * interval '1 minute', n
            FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE node_history")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute(f"PREPARE past AS {past._SANCTIONED}")
        plan = await tx.pg.fetch("EXPLAIN EXECUTE past(ARRAY['line/1', 'line/2'], now())")
    text = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in text, text


async def test_looking_back_reads_the_events_since_and_not_all_events(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO outbox (id, topic, subject, sequence, type, source, time, body)
            SELECT 'e' || n, 'scf.credit.drawdown.v1', 'd' || n, 1, 'drawdown.held.v1', 'credit',
                now() - (40000 - n) * interval '1 minute', repeat('x', 300) FROM generate_series(1, 40000) n"""
        )
        await tx.pg.execute("SELECT brin_summarize_new_values('outbox_time')")
        await tx.pg.execute("ANALYZE outbox")
        since = "now() - interval '1 hour'"
        asked = f"'scf.credit.drawdown.v1', {since}, ARRAY['drawdown.held.v1'], ARRAY['line/1']"
        # With its instant known, as asyncpg's first executions are planned.
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        await tx.pg.execute(f"PREPARE looking AS {past._MOVED}")
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE looking({asked})")
    text = "\n".join(row[0] for row in plan)
    assert "outbox_time" in text, text
    for table in ("outbox", "drawdown"):
        assert f"Seq Scan on {table} " not in text, text
