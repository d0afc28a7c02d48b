"""What the relay put on Kafka, read by programs that are not ours: Kafka's Java consumer, the CloudEvents SDK."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema_rs import Draft202012Validator

from shared.events.envelope import Event
from shared.events.topics import TOPICS, topics_of
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.runtime.tracing import enter_trace
from shared.storage.database import Database
from tests.contracts.examples import example_of, one_of_each
from tests.support.messaging import prepare, running, until
from tributary.contracts import SCHEMAS, event_types
from tributary.embedded.kafka import java_command

_TRACE = "00-9d10ef49779dfbc29c7fc7fe0be45535-09297192883efb28-01"
_BETWEEN_HEADERS = "|"
_ALWAYS = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "content-type"]


@dataclass
class Published:
    """Events as the outbox numbered them, and where they went."""

    service: str
    bootstrap: str
    events: dict[str, Event]


@pytest.fixture
async def published(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Published]:
    database = Database(empty_database, pool_size=4)
    await prepare(database)
    with one_of_each(unique_name) as events:
        kafka = Kafka(kafka_bootstrap)
        await ensure_topics(kafka, topics={topic: TOPICS[topic] for topic in topics_of(unique_name)})
        async with database.transaction() as tx:
            enter_trace(_TRACE)
            ids = await append(tx, events, source=unique_name)

        async def all_is_sent() -> bool:
            async with database.reader() as tx:
                return not await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")

        async with running(Relay(database, kafka=kafka, service=unique_name).run):
            await until(all_is_sent)
        yield Published(unique_name, kafka_bootstrap, dict(zip(ids, events, strict=True)))
    await database.close()


@dataclass
class JavaRecord:
    """A line of the console consumer."""

    headers: list[tuple[str, str]]
    key: str
    value: str


def _console_consumer(published: Published, folder: Path) -> Iterator[JavaRecord]:
    """Run Kafka's own console consumer over every topic of the service, from the start."""
    wanted = {
        "print.headers": "true",
        "print.key": "true",
        "headers.separator": _BETWEEN_HEADERS,
        "key.separator": "\t",
    }
    main: list[str | Path] = [
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", published.bootstrap, "--include", rf"scf\.{published.service}\..*"),
        *("--from-beginning", "--max-messages", str(len(published.events)), "--timeout-ms", "20000"),
        *(part for name, value in wanted.items() for part in ("--formatter-property", f"{name}={value}")),
    ]
    command = java_command(main, folder=folder, heap_mb=128, sections=("broker", "tools"))
    done = subprocess.run([*map(str, command)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-2000:]
    for line in done.stdout.decode().splitlines():
        if line.startswith("ce_"):
            headers, key, value = line.split("\t", 2)
            pairs = (each.partition(":") for each in headers.split(_BETWEEN_HEADERS))
            yield JavaRecord([(name, text) for name, _, text in pairs], key, value)


def _committed(event_type: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{event_type}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, validate_formats=True)


async def test_the_java_console_consumer_reads_every_event_as_the_contract_says(
    published: Published, tmp_path: Path
) -> None:
    records = await asyncio.to_thread(lambda: list(_console_consumer(published, tmp_path)))
    assert len(records) == len(published.events)
    sequences: dict[str, list[int]] = {}
    for record in records:
        headers = dict(record.headers)
        assert [name for name, _ in record.headers] == [*_ALWAYS, "traceparent"]
        sent = published.events.pop(headers["ce_id"])
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_source"] == published.service
        assert headers["content-type"] == "application/json"
        assert headers["traceparent"] == _TRACE
        assert headers["ce_type"] == sent.type
        assert record.key == headers["ce_subject"] == sent.subject
        assert datetime.fromisoformat(headers["ce_time"]).utcoffset() is not None
        sequences.setdefault(f"{sent.topic} {record.key}", []).append(int(headers["ce_sequence"]))
        body = json.loads(record.value)
        _committed(sent.type).validate(body)
        assert body == json.loads(sent.model_dump_json())
    assert published.events == {}
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values()), sequences


async def test_the_cloudevents_sdk_reads_every_record(published: Published) -> None:
    partitions = [TopicPartition(topic, n) for topic in topics_of(published.service) for n in range(TOPICS[topic])]
    consumer = AIOKafkaConsumer(bootstrap_servers=published.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        records: list[Any] = []
        async with asyncio.timeout(60):
            while len(records) < len(published.events):
                batches = await consumer.getmany(timeout_ms=200)
                records += [record for batch in batches.values() for record in batch]
    finally:
        await consumer.stop()
    for record in records:
        message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
        read = from_binary(message, JSONFormat(), CloudEvent)
        sent = published.events.pop(read.get_id())
        assert (read.get_type(), read.get_subject(), read.get_source()) == (sent.type, sent.subject, published.service)
        assert read.get_extension("sequence").isdecimal()
        assert read.get_data() == json.loads(sent.model_dump_json())
    assert published.events == {}


@pytest.mark.parametrize("name", sorted(event_types()))
def test_a_committed_schema_accepts_the_event_and_refuses_it_without_any_field_it_requires(name: str) -> None:
    body, schema = example_of(event_types()[name]), _committed(name)
    schema.validate(body)
    required = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))["required"]
    assert required
    for field in required:
        assert not schema.is_valid({each: value for each, value in body.items() if each != field}), field
