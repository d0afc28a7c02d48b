"""The embedded servers: data kept, crashes recovered, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tributary.embedded import jars
from tributary.embedded.kafka import EmbeddedKafka
from tributary.embedded.servers import DataFolderInUse, EmbeddedServers

_OWNER = """
import asyncio, sys
from pathlib import Path
from tributary.embedded.servers import EmbeddedServers
async def main():
    async with EmbeddedServers(Path(sys.argv[1]), durable=False) as servers:
        print(servers.database_url, servers.bootstrap_servers, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def _write(servers: EmbeddedServers) -> None:
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait("kept", b"42")


async def _read(servers: EmbeddedServers) -> tuple[int, bytes | None]:
    connection = await asyncpg.connect(servers.database_url)
    answer = await connection.fetchval("SELECT answer FROM kept")
    await connection.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=servers.bootstrap_servers, auto_offset_reset="none")
    async with consumer:
        consumer.assign([TopicPartition("kept", 0)])
        consumer.seek(TopicPartition("kept", 0), 0)
        record = await asyncio.wait_for(consumer.getone(), 60)
    return answer, record.value


async def test_data_is_kept_between_runs_and_the_folder_has_one_owner(tmp_path: Path) -> None:
    async with EmbeddedServers(tmp_path, durable=False) as first:
        await _write(first)
        with pytest.raises(DataFolderInUse):
            await EmbeddedServers(tmp_path).__aenter__()
    async with EmbeddedServers(tmp_path, durable=False) as second:
        assert await _read(second) == (42, b"42")


async def test_a_killed_owner_leaves_nothing_that_the_next_start_cannot_recover(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", _OWNER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    assert b"postgresql://" in await owner.stdout.readline()
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    async with EmbeddedServers(tmp_path, durable=False) as servers:
        await _write(servers)
        assert await _read(servers) == (42, b"42")
    deadline = time.monotonic() + 5
    while _processes_naming(tmp_path) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert _processes_naming(tmp_path) == []


async def test_three_nodes_form_one_cluster(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path, nodes=3)
    try:
        await kafka.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        assert len((await admin.describe_cluster())["brokers"]) == 3
        await admin.close()
    finally:
        kafka.kill()


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    jar = jars.Jar("broker", "org.example", f"wrong-{os.getpid()}", "1.0", "0" * 64)
    downloaded = tmp_path / "wrong.jar"
    downloaded.write_bytes(b"not what was locked")
    with pytest.raises(jars.JarNotAsLocked):
        jars.keep(jar, downloaded)
    assert not jar.path.exists()


def test_the_lock_names_coordinates_and_hashes_and_no_address() -> None:
    assert "://" not in jars.LOCK.read_text(encoding="utf-8")
    assert {jar.section for jar in jars.locked()} == {"broker", "tools", "pages", "rules"}
    assert all(len(jar.sha256) == 64 for jar in jars.locked())


def _processes_naming(folder: Path) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_text(errors="replace")
        except OSError:
            continue
        if str(folder) in command and str(os.getpid()) != each.parent.name:
            found.append(command.replace("\0", " "))
    return found
