"""What two persons decide of parked events, against workers that drain at the same time (R22, R25)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from shared.events.envelope import EVENT_TYPES, Received
from shared.messaging.parked import (
    DECISIONS,
    AlreadyProposed,
    Decision,
    NoLongerParked,
    NotNext,
    NotReplayable,
    UnknownParked,
    list_parked,
    propose_decision,
)
from shared.storage.approvals import APPROVALS_1, AlreadyDecided, Approval, OwnProposal, approve_proposal
from shared.storage.audit import AUDIT_1
from shared.storage.database import Transaction
from tests.support.messaging import Line, line, record_effects, running, until


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        async with made.database.transaction() as tx:
            for statement in (*AUDIT_1, *APPROVALS_1):
                await tx.pg.execute(statement)
        yield made


class _Release:
    """A release that cannot handle some subjects, until it is mended."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)

    async def handle(self, tx: Transaction, events: Sequence[Received]) -> None:
        if any(event.subject in self.bad for event in events):
            message = "this release cannot"
            raise ValueError(message)
        await record_effects(tx, events)


async def _parked(wire: Line) -> list[dict[str, Any]]:
    async with wire.database.reader() as tx:
        return await list_parked(tx, limit=500)


async def _one_parked(wire: Line, *, reason: str) -> dict[str, Any]:
    async def it_is() -> bool:
        return any(each["reason"] == reason for each in await _parked(wire))

    await until(it_is)
    return next(each for each in await _parked(wire) if each["reason"] == reason)


async def _propose(wire: Line, parked_id: int, decision: Decision, *, actor: str = "maker") -> Approval:
    return await propose_decision(
        wire.database, parked_id=parked_id, decision=decision, reason="looked at it", actor=actor
    )


async def _approve(wire: Line, proposal: Approval, *, actor: str = "checker") -> None:
    await approve_proposal(wire.database, approval_id=proposal.approval_id, actor=actor, party=None, effects=DECISIONS)


async def _decide(wire: Line, parked_id: int, decision: Decision) -> None:
    await _approve(wire, await _propose(wire, parked_id, decision))


async def _put(wire: Line, *, key: str | bytes, body: bytes = b"{}", **headers: bytes | None) -> None:
    """Put a record on the topic that no relay sent."""
    given = {
        "ce_id": b"x1",
        "ce_type": wire.happened.type.encode(),
        "ce_source": b"x",
        "ce_subject": b"a",
        "ce_time": b"2026-11-24T12:00:00Z",
        "ce_sequence": b"1",
        **headers,
    }
    async with AIOKafkaProducer(bootstrap_servers=wire.bootstrap, acks="all") as producer:
        name = key.encode() if isinstance(key, str) else key
        await producer.send_and_wait(wire.happened.topic, body, key=name, partition=0, headers=list(given.items()))


async def _decided(wire: Line) -> list[tuple[str, int, str, str, str]]:
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT subject, sequence, decision, proposed_by, approved_by FROM inbox_decided ORDER BY decided_at"
        )
    return [tuple(row) for row in rows]


async def test_r22_a_replay_by_two_persons_is_one_more_try_and_its_successors_follow(wire: Line) -> None:
    release = _Release("a")
    await wire.publish([wire.happened(thing_id="a", n=n) for n in (1, 2, 3)])
    async with running(wire.relay().run, wire.inbox({wire.happened: release.handle}).run):
        failed = await _one_parked(wire, reason="failed")
        await _decide(wire, failed["parked_id"], "replay")

        async def tried_again() -> bool:
            (again,) = [each for each in await _parked(wire) if each["parked_id"] == failed["parked_id"]]
            return again["attempts"] == 2 and not again["replaying"]

        await until(tried_again)
        release.bad.clear()
        await _decide(wire, failed["parked_id"], "replay")

        async def all_came() -> bool:
            return await wire.effects() == [("a", 1), ("a", 2), ("a", 3)] and not await _parked(wire)

        await until(all_came)
    assert await _decided(wire) == [("a", 1, "replayed", "maker", "checker")] * 2


async def test_r22_a_discard_moves_the_head_past_the_event_and_is_written_down(wire: Line) -> None:
    release = _Release("a")
    ids = await wire.publish([wire.happened(thing_id="a", n=n) for n in (1, 2)])
    async with running(wire.relay().run, wire.inbox({wire.happened: release.handle}).run):
        failed = await _one_parked(wire, reason="failed")
        release.bad.clear()
        await _decide(wire, failed["parked_id"], "discard")

        async def the_next_came() -> bool:
            return await wire.effects() == [("a", 2)] and not await _parked(wire)

        await until(the_next_came)
        # A copy of what was discarded is a copy like any other.
        async with wire.database.transaction() as tx:
            await tx.pg.execute(
                "INSERT INTO outbox_pending SELECT (SELECT shard FROM relay_ack), min(position) FROM outbox"
            )
        await wire.publish([wire.happened(thing_id="a", n=3)])

        async def only_the_new_came() -> bool:
            return await wire.effects() == [("a", 2), ("a", 3)]

        await until(only_the_new_came)
    assert await _decided(wire) == [("a", 1, "discarded", "maker", "checker")]
    async with wire.database.reader() as tx:
        entries = await tx.pg.fetch("SELECT actor, action, facts::json->>'event_id' AS id FROM audit ORDER BY position")
    assert [tuple(each) for each in entries] == [
        ("maker", "parked.discard.proposed", ids[0]),
        ("checker", "event.discarded", ids[0]),
        ("checker", "proposal.approved", None),
    ]


async def test_r22_who_proposes_cannot_approve_and_nobody_approves_twice(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id="a", n=1)])
    async with running(wire.relay().run, wire.inbox({wire.happened: _Release("a").handle}).run):
        failed = await _one_parked(wire, reason="failed")
        proposal = await _propose(wire, failed["parked_id"], "discard")
        with pytest.raises(OwnProposal):
            await _approve(wire, proposal, actor="maker")
        assert [each["attempts"] for each in await _parked(wire)] == [1]
        # The same said again is the same proposal; something else waits until this one is decided.
        assert (await _propose(wire, failed["parked_id"], "discard")).approval_id == proposal.approval_id
        for decision, actor in (("replay", "maker"), ("discard", "another")):
            with pytest.raises(AlreadyProposed):
                await _propose(wire, failed["parked_id"], decision, actor=actor)  # type: ignore[arg-type] # of the two
        await _approve(wire, proposal)
        with pytest.raises(AlreadyDecided):
            await _approve(wire, proposal)
    assert len(await _decided(wire)) == 1
    with pytest.raises(UnknownParked):
        await _propose(wire, failed["parked_id"], "discard")


async def test_what_waits_for_its_predecessors_is_neither_replayed_nor_discarded_before_them(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id="a", n=n) for n in (1, 2)])
    async with running(wire.relay().run, wire.inbox({wire.happened: _Release("a").handle}).run):
        gap = await _one_parked(wire, reason="gap")
        with pytest.raises(NotReplayable):
            await _propose(wire, gap["parked_id"], "replay")
        with pytest.raises(NotNext):
            await _decide(wire, gap["parked_id"], "discard")
    assert sorted((each["sequence"], each["reason"]) for each in await _parked(wire)) == [(1, "failed"), (2, "gap")]
    assert await _decided(wire) == []


async def test_a_proposal_for_what_was_applied_meanwhile_can_only_be_declined(wire: Line) -> None:
    release = _Release("a")
    await wire.publish([wire.happened(thing_id="a", n=1)])
    async with running(wire.relay().run, wire.inbox({wire.happened: release.handle}).run):
        failed = await _one_parked(wire, reason="failed")
        proposal = await _propose(wire, failed["parked_id"], "discard")
        release.bad.clear()
        async with wire.database.transaction() as tx:
            await tx.pg.execute("UPDATE inbox_parked SET replay = true")

        async def applied() -> bool:
            return await wire.effects() == [("a", 1)]

        await until(applied)
        with pytest.raises(NoLongerParked):
            await _approve(wire, proposal)
    assert await _decided(wire) == []


async def test_r25_a_discarded_fork_leaves_the_head_where_it_is(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id="a", n=1)])
    body = wire.happened(thing_id="a", n=66).model_dump_json().encode()
    async with running(wire.relay().run, wire.inbox().run):

        async def one_came() -> bool:
            return await wire.effects() == [("a", 1)]

        await until(one_came)
        await _put(wire, key="a", body=body, ce_id=b"another")
        fork = await _one_parked(wire, reason="fork")
        with pytest.raises(NotReplayable):
            await _propose(wire, fork["parked_id"], "replay")
        await _decide(wire, fork["parked_id"], "discard")
        await wire.publish([wire.happened(thing_id="a", n=2)])

        async def two_came() -> bool:
            return await wire.effects() == [("a", 1), ("a", 2)] and not await _parked(wire)

        await until(two_came)
    assert await _decided(wire) == [("a", 1, "discarded", "maker", "checker")]


async def test_r25_an_event_whose_body_is_not_as_agreed_holds_up_its_aggregate_until_two_persons_pass_it(
    wire: Line,
) -> None:
    good = wire.happened(thing_id="a", n=2).model_dump_json().encode()
    async with running(wire.inbox().run):
        await _put(wire, key="a", body=b'{"n": "many"}')
        await _put(wire, key="a", body=good, ce_id=b"x2", ce_sequence=b"2")
        malformed = await _one_parked(wire, reason="malformed")
        await _one_parked(wire, reason="gap")
        assert (malformed["sequence"], malformed["event_id"]) == (1, "x1")
        await _decide(wire, malformed["parked_id"], "replay")

        async def still_malformed() -> bool:
            (again,) = [each for each in await _parked(wire) if each["reason"] == "malformed"]
            return bool(again["attempts"] == 2)

        await until(still_malformed)
        await _decide(wire, malformed["parked_id"], "discard")

        async def the_next_came() -> bool:
            return await wire.effects() == [("a", 2)] and not await _parked(wire)

        await until(the_next_came)


async def test_r25_a_malformed_event_is_applied_by_the_release_that_can_read_it(wire: Line) -> None:
    async with running(wire.inbox().run):
        await _put(wire, key="a", body=b'{"thing": "a"}')
        malformed = await _one_parked(wire, reason="malformed")
    known = EVENT_TYPES[wire.happened.type]

    class Older(known):  # type: ignore[valid-type, misc] # a class that the test made
        thing_id: str = "a"

    EVENT_TYPES[wire.happened.type] = Older
    async with running(wire.inbox({Older: record_effects}).run):
        await _decide(wire, malformed["parked_id"], "replay")

        async def it_came() -> bool:
            return await wire.effects() == [("a", 0)] and not await _parked(wire)

        await until(it_came)


async def test_r25_no_record_however_broken_stops_the_inbox(wire: Line) -> None:
    good = wire.happened(thing_id="z", n=1).model_dump_json().encode()
    async with running(wire.inbox().run):
        for broken in (
            {"ce_sequence": b"nought"},
            {"ce_sequence": b"0"},
            {"ce_sequence": b"-1"},
            {"ce_sequence": b"9999999999999999999999"},
            {"ce_subject": b"a\x00b"},
            {"ce_id": b"\xff\xfe"},
            {"ce_type": None},
            {"ce_time": b"yesterday"},
        ):
            await _put(wire, key=b"k\x00\xff", body=b"\x00\xff", **broken)
        await _put(wire, key="z", body=good, ce_subject=b"z", foreign=b"\xff\x00", nothing=None)

        async def the_good_one_came() -> bool:
            return await wire.effects() == [("z", 1)]

        await until(the_good_one_came)
        strays = await _parked(wire)
        assert [(each["reason"], each["sequence"]) for each in strays] == [("malformed", 0)] * 8
        for each in strays:
            await _decide(wire, each["parked_id"], "replay")
        assert [each["attempts"] for each in await _parked(wire)] == [2] * 8
        for each in strays:
            await _decide(wire, each["parked_id"], "discard")
    assert await _parked(wire) == []


async def test_r25_a_stray_that_a_later_release_can_read_gets_its_number_and_its_turn(wire: Line) -> None:
    body = wire.happened(thing_id="a", n=1).model_dump_json().encode()
    async with running(wire.inbox().run):
        await _put(wire, key="a", body=body, ce_time=b"noon")
        stray = await _one_parked(wire, reason="malformed")
        async with wire.database.transaction() as tx:
            # As if this release had learned to read such a time.
            await tx.pg.execute(
                "UPDATE inbox_parked SET headers = replace(headers::text, 'noon', '2026-11-24T12:00:00Z')::json"
            )
        await _decide(wire, stray["parked_id"], "replay")

        async def it_came() -> bool:
            return await wire.effects() == [("a", 1)] and not await _parked(wire)

        await until(it_came)


async def test_r22_decisions_that_race_with_two_draining_workers_leave_each_event_applied_or_discarded_once(
    wire: Line,
) -> None:
    names = [f"t{n}" for n in range(15)]
    release = _Release(*names)
    handlers = {wire.happened: release.handle}
    await wire.publish([wire.happened(thing_id=name, n=n) for name in names for n in (1, 2)])

    async def decide(parked_id: int, nth: int) -> None:
        await _decide(wire, parked_id, "replay")
        discard = await _propose(wire, parked_id, "discard")
        await asyncio.sleep(nth % 5 * 0.02)
        await _approve(wire, discard)

    async with running(wire.relay().run, wire.inbox(handlers).run, wire.inbox(handlers).run):

        async def all_failed() -> bool:
            return len([each for each in await _parked(wire) if each["reason"] == "failed"]) == len(names)

        await until(all_failed)
        failed = [each["parked_id"] for each in await _parked(wire) if each["reason"] == "failed"]
        release.bad.clear()
        ended = await asyncio.gather(*(decide(each, n) for n, each in enumerate(failed)), return_exceptions=True)

        async def nothing_waits() -> bool:
            return not await _parked(wire)

        await until(nothing_waits)
    assert {type(each) for each in ended} <= {type(None), NoLongerParked, UnknownParked}
    effects = Counter(await wire.effects())
    discarded = {name for name, _, decision, *_ in await _decided(wire) if decision == "discarded"}
    assert set(effects.values()) == {1}
    assert {name for name, n in effects if n == 1} == set(names) - discarded
    assert {name for name, n in effects if n == 2} == set(names)
