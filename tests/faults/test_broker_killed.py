"""A broker is killed and comes back at its port; a cluster loses leader, controller and majority (R19, R25)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.support.messaging import Load, line, supervised, took_effect_once, until
from tributary.embedded.kafka import _FAST_FAILOVER, EmbeddedKafka, Node

_MAJORITY = 2


@pytest.fixture
async def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path / "kafka")
    # A killed broker may come back once its old session is over: after 9 s, and the test would only wait for it.
    soon = "".join(f"{name}={value}\n" for name, value in _FAST_FAILOVER.items())
    settings = kafka._settings
    monkeypatch.setattr(kafka, "_settings", lambda node: settings(node) + soon)
    await kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path / "kafka", nodes=3)
    await kafka.start()
    yield kafka
    kafka.kill()


def _kill(node: Node) -> None:
    assert node.process is not None
    node.process.kill()
    node.process.wait(60)


def _alive(cluster: EmbeddedKafka) -> list[Node]:
    return [node for node in cluster.nodes if node.alive()]


async def _leaders(cluster: EmbeddedKafka, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=",".join(f"127.0.0.1:{node.port}" for node in _alive(cluster)))
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        return [part["leader"] for part in described["partitions"]]
    finally:
        await admin.close()


async def _controller(cluster: EmbeddedKafka) -> int:
    """Ask who leads the quorum of controllers (DescribeQuorum v0): what metadata calls controller is any broker."""
    topic = b"__cluster_metadata"
    asked = bytes([2, len(topic) + 1]) + topic + bytes([2]) + struct.pack(">i", 0) + bytes(3)
    request = struct.pack(">hhih", 55, 0, 1, -1) + b"\0" + asked
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", _alive(cluster)[0].port)
        writer.write(struct.pack(">i", len(request)) + request)
        answer = await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])
        writer.close()
    # correlation, tags, error, topics, name, partitions, then index and error of the only one
    at = 4 + 1 + 2 + 1 + (1 + len(topic)) + 1 + 4 + 2
    return int(struct.unpack(">i", answer[at : at + 4])[0])


async def _led_without(cluster: EmbeddedKafka, topic: str, gone: Node) -> None:
    async def is_led() -> bool:
        try:
            leaders = await _leaders(cluster, topic)
        except KafkaError:
            return False
        return all(leader not in {-1, gone.number} for leader in leaders)

    await until(is_led, within_s=60)


@pytest.mark.timeout(400)
async def test_r19_a_broker_killed_under_load_and_back_at_its_port_loses_and_repeats_nothing(
    empty_database: str, broker: EmbeddedKafka, unique_name: str, request: pytest.FixtureRequest
) -> None:
    turns = 6 if request.config.getoption("--run-long") else 1
    async with line(url=empty_database, bootstrap=broker.bootstrap_servers, name=unique_name) as wire:
        load = Load(wire, pause_s=0.005)
        async with supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox().run) as jobs:
            async with load.going():
                for _ in range(turns):
                    await asyncio.sleep(0.7)
                    _kill(broker.nodes[0])
                    await asyncio.sleep(0.3)
                    broker.start_node(broker.nodes[0])
                    assert await broker._ready(60)
            await took_effect_once(wire, load, within_s=90)
            assert jobs.problems == {}
    assert load.unanswered == []


@pytest.mark.timeout(600)
async def test_r19_a_cluster_that_loses_its_leader_its_controller_and_its_majority_catches_up(
    empty_database: str, cluster: EmbeddedKafka, unique_name: str, request: pytest.FixtureRequest
) -> None:
    turns = 5 if request.config.getoption("--run-long") else 1
    async with line(url=empty_database, bootstrap=cluster.bootstrap_servers, name=unique_name) as wire:
        load, topic = Load(wire, pause_s=0.01), wire.happened.topic
        async with supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox().run) as jobs:
            async with load.going():
                for turn in range(turns):
                    if turn:
                        await _lose(cluster, topic, (await _leaders(cluster, topic))[0])
                    # It leads partitions too, for each broker does.
                    controller = await _controller(cluster)
                    await _lose(cluster, topic, controller)
                    assert await _controller(cluster) != controller
                await _lose_majority(cluster, load)
            await took_effect_once(wire, load, within_s=120)
            assert jobs.problems == {}
    # The broker may be away: whoever commands is answered all the time.
    assert load.unanswered == []


async def _lose(cluster: EmbeddedKafka, topic: str, number: int) -> None:
    node = cluster.nodes[number - 1]
    _kill(node)
    await _led_without(cluster, topic, node)
    await asyncio.sleep(0.5)
    cluster.start_node(node)
    assert await cluster._ready(60)


async def _lose_majority(cluster: EmbeddedKafka, load: Load) -> None:
    """With two of three gone nothing can be acknowledged, and commands go on."""
    for node in cluster.nodes[:_MAJORITY]:
        _kill(node)
    before = len(load.answered)

    async def commands_go_on() -> bool:
        return len(load.answered) > before + 10

    await asyncio.sleep(2)
    await until(commands_go_on)
    for node in cluster.nodes[:_MAJORITY]:
        cluster.start_node(node)
    assert await cluster._ready(60)
