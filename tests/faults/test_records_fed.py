"""What a topic may hold that no relay of ours put there so: copies, disorder, poison, strays (R19, R25)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from shared.events.envelope import Received, Sent
from shared.events.topics import partition_of
from shared.storage.database import Transaction
from shared.values.ids import new_id
from tests.faults.report import Report
from tests.support.messaging import Line, line, record_effects, running, until

Record = tuple[str, list[tuple[str, bytes]], bytes | None]


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _record(wire: Line, subject: str, sequence: int) -> Record:
    """Return a record as the relay would send it."""
    sent = Sent(
        id=new_id(),
        type=wire.happened.type,
        source=wire.name,
        subject=subject,
        sequence=sequence,
        time=datetime.now(UTC),
        traceparent=None,
    )
    return subject, sent.headers(), wire.happened(thing_id=subject, n=sequence).model_dump_json().encode()


def _with(record: Record, **headers: bytes | None) -> Record:
    """Return a record with other headers, or without them."""
    subject, before, body = record
    kept = [(name, value) for name, value in before if name not in headers]
    return subject, kept + [(name, value) for name, value in headers.items() if value is not None], body


async def _feed(wire: Line, records: Sequence[Record]) -> None:
    topic = wire.happened.topic
    async with AIOKafkaProducer(bootstrap_servers=wire.bootstrap, acks="all", linger_ms=2) as producer:
        acks = [
            await producer.send(
                topic, body, key=subject.encode(), partition=partition_of(topic=topic, subject=subject), headers=headers
            )
            for subject, headers, body in records
        ]
        for ack in acks:
            await ack


async def _effects(wire: Line) -> dict[str, list[int]]:
    done = defaultdict(list)
    for subject, n in await wire.effects():
        done[subject].append(n)
    return dict(done)


def _many(request: pytest.FixtureRequest) -> int:
    return 20 if request.config.getoption("--run-long") else 1


async def test_r19_records_in_three_copies_and_any_order_take_effect_once_and_in_order(
    wire: Line, request: pytest.FixtureRequest, report: Report
) -> None:
    keys, length = 40 * _many(request), 12
    records = [_record(wire, f"t{key}", sequence) for key in range(keys) for sequence in range(1, length + 1)] * 3
    random.Random(7).shuffle(records)  # noqa: S311 - an order that a failure can be repeated with
    await _feed(wire, records)
    inbox = wire.inbox()
    async with running(inbox.run):

        async def all_came() -> bool:
            return len(await wire.effects()) == keys * length and not await wire.parked()

        await until(all_came, within_s=120)
    assert await _effects(wire) == {f"t{key}": list(range(1, length + 1)) for key in range(keys)}
    report.hit("copy skipped", inbox.duplicates)


async def test_r25_a_gap_keeps_its_own_aggregate_waiting_until_it_closes(wire: Line) -> None:
    lost = _record(wire, "late", 2)
    await _feed(wire, [_record(wire, "late", 1), *(_record(wire, "late", n) for n in range(3, 60))])
    await _feed(wire, [_record(wire, "other", n) for n in range(1, 30)])
    async with running(wire.inbox().run):

        async def others_went_on() -> bool:
            return len(await wire.effects()) == 30 and len(await wire.parked()) == 57

        await until(others_went_on)
        await _feed(wire, [lost])

        async def all_came() -> bool:
            return len(await wire.effects()) == 88 and not await wire.parked()

        await until(all_came)
    assert (await _effects(wire))["late"] == list(range(1, 60))


async def test_r25_one_percent_poison_parks_its_aggregates_and_nothing_else(wire: Line) -> None:
    async def picky(tx: Transaction, events: Sequence[Received]) -> None:
        if any(event.subject.startswith("poison") for event in events):
            message = "poison"
            raise ValueError(message)
        await record_effects(tx, events)

    names = [f"poison{n}" if n % 100 == 50 else f"good{n}" for n in range(1500)]
    await _feed(wire, [_record(wire, name, sequence) for sequence in (1, 2) for name in names])
    async with running(wire.inbox({wire.happened: picky}).run):

        async def all_are_told() -> bool:
            return len(await wire.effects()) + len(await wire.parked()) == 3000

        await until(all_are_told, within_s=60)
    poisoned = sorted(name for name in names if name.startswith("poison"))
    assert len(poisoned) == 15
    assert await wire.parked() == [
        (name, sequence, reason) for name in poisoned for sequence, reason in ((1, "failed"), (2, "gap"))
    ]
    assert set(await _effects(wire)) == set(names) - set(poisoned)


async def test_r25_records_that_nobody_can_read_are_kept_aside_and_hold_nobody_up(wire: Line) -> None:
    whole = _record(wire, "whole", 1)
    strays: list[Record] = [
        ("a", [], b"no envelope at all"),
        ("b", [], None),
        _with(_record(wire, "c", 1), ce_id=None),
        _with(_record(wire, "d", 1), ce_sequence=b"first"),
        _with(_record(wire, "e", 1), ce_sequence=b"99999999999999999999999"),
        _with(_record(wire, "f", 1), ce_sequence=b"-1"),
        _with(_record(wire, "g", 1), ce_time=b"yesterday"),
        _with(_record(wire, "h", 1), ce_source=b"\xff\xfe"),
        _with(_record(wire, "i", 1), ce_subject=b"with a \x00 in it"),
        (*_record(wire, "j", 1)[:2], b'{"thing_id": '),
        (*_record(wire, "k", 1)[:2], b"\xff\xfe\x00"),
        (*_record(wire, "l", 1)[:2], None),
    ]
    await _feed(
        wire, [whole, *strays, *(_record(wire, name, 2) for name in ("whole", "fine")), _record(wire, "fine", 1)]
    )
    async with running(wire.inbox().run):

        async def all_are_told() -> bool:
            return len(await wire.effects()) == 4 and len(await wire.parked()) == len(strays)

        await until(all_are_told, within_s=60)
    assert await _effects(wire) == {"whole": [1, 2], "fine": [1, 2]}
    assert {reason for _, _, reason in await wire.parked()} == {"malformed"}


async def test_r25_a_fork_is_kept_aside_and_its_aggregate_goes_on(wire: Line) -> None:
    await _feed(wire, [_record(wire, "a", 1), _record(wire, "a", 1), _record(wire, "a", 2)])
    async with running(wire.inbox().run):

        async def all_are_told() -> bool:
            return len(await wire.effects()) == 2 and len(await wire.parked()) == 1

        await until(all_are_told)
    assert await wire.parked() == [("a", 1, "fork")]
