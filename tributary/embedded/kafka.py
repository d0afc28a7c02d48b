"""An embedded Apache Kafka (KRaft): one node, or three for the faults; data and cluster id stay between runs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from tributary.embedded import jars
from tributary.embedded.java import java
from tributary.embedded.processes import end_orphan, free_ports, run, spawn, stop

_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_ATTEMPTS = 5
_FAST_FAILOVER = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}
_LOGGING = """status=WARN
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
"""


class KafkaDidNotStart(RuntimeError):
    """A broker ended, or did not answer in time."""

    code: ClassVar[str] = "kafka_did_not_start"

    def __init__(self, *, log: Path) -> None:
        """Keep where its log is, and show its last words."""
        self.log = log
        tail = log.read_text(encoding="utf-8", errors="replace")[-600:] if log.exists() else ""
        super().__init__(f"Kafka did not start; its log is {log}: {tail}")


@dataclass
class Node:
    """One combined broker and controller."""

    number: int
    folder: Path
    port: int = 0
    controller_port: int = 0
    # Where clients are sent instead: a proxy before the node.
    advertised_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Return the node's log file."""
        return self.folder / "server.log"

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.process is not None and self.process.poll() is None


class EmbeddedKafka:
    """A cluster on one folder."""

    def __init__(self, folder: Path, *, nodes: int = 1, record_classes: bool = False) -> None:
        """Prepare a cluster of 1 or 3 nodes on `folder`; set-up records the loaded classes to halve later starts."""
        self.folder = folder
        self.record_classes = record_classes
        self.nodes = [Node(n, folder / f"node{n}") for n in range(1, nodes + 1)]

    @property
    def bootstrap_servers(self) -> str:
        """Return host:port of every node."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    async def start(self, *, timeout_s: float = 60) -> None:
        """Format once, start every node, wait until each sees all; KafkaDidNotStart otherwise."""
        self._end_orphans()
        for attempt in range(_ATTEMPTS):
            self._choose_ports()
            self._format_once()
            for node in self.nodes:
                self.start_node(node)
            if await self._ready(timeout_s):
                return
            self.kill()
            if attempt == _ATTEMPTS - 1 or not self._port_was_taken():
                raise KafkaDidNotStart(log=next((n.log for n in self.nodes), self.folder))

    def start_node(self, node: Node) -> None:
        """Start one node, on the ports it has."""
        node.process = spawn(self._command(node), log=node.log, env=_ENV)
        (node.folder / "pid").write_text(str(node.process.pid), encoding="ascii")

    def stop(self) -> None:
        """Stop every node cleanly; a cluster that loses its quorum while stopping is killed."""
        for node in self.nodes:
            if node.process is not None and node.alive():
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            if node.process is not None:
                stop(node.process, sign=signal.SIGTERM, timeout_s=60 if self.record_classes else 2 / len(self.nodes))

    def kill(self) -> None:
        """Kill every node as a crash would."""
        for node in self.nodes:
            if node.process is not None and node.alive():
                node.process.kill()
                node.process.wait(5)

    def _choose_ports(self) -> None:
        ports = free_ports(2 * len(self.nodes))
        for node, port, controller_port in zip(self.nodes, ports[::2], ports[1::2], strict=True):
            node.port, node.controller_port = port, controller_port

    def _format_once(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = self.folder / "cluster-id"
        if not identity.exists():
            identity.write_text(_new_cluster_id(), encoding="ascii")
        for node in self.nodes:
            node.folder.mkdir(exist_ok=True)
            settings = node.folder / "server.properties"
            settings.write_text(self._settings(node), encoding="utf-8")
            if not (node.folder / "data" / "meta.properties").exists():
                cluster = identity.read_text(encoding="ascii")
                main: list[str | Path] = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings]
                run(self._java(node, heap_mb=128, main=main), env=_ENV)

    def _settings(self, node: Node) -> str:
        replicas, in_sync = (3, 2) if len(self.nodes) > 1 else (1, 1)
        voters = ",".join(f"{each.number}@127.0.0.1:{each.controller_port}" for each in self.nodes)
        settings = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.advertised_port or node.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": node.folder / "data",
            "log.retention.ms": -1,
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 5,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 5,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
        } | (_FAST_FAILOVER if len(self.nodes) > 1 else {})
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _command(self, node: Node) -> list[str | Path]:
        return self._java(node, heap_mb=384, main=["kafka.Kafka", node.folder / "server.properties"])

    def _java(self, node: Node, *, heap_mb: int, main: list[str | Path]) -> list[str | Path]:
        return java_command(main, folder=node.folder, heap_mb=heap_mb, record_classes=self.record_classes)

    async def _ready(self, timeout_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout_s
        for node in self.nodes:
            while await _brokers_seen(node.port) < len(self.nodes):
                if not node.alive() or asyncio.get_running_loop().time() > deadline:
                    return False
                await asyncio.sleep(0.03)
        return True

    def _end_orphans(self) -> None:
        for node in self.nodes:
            with contextlib.suppress(OSError, ValueError):
                end_orphan(pid=int((node.folder / "pid").read_text(encoding="ascii")), marker=str(node.folder))

    def _port_was_taken(self) -> bool:
        return any("Address already in use" in node.log.read_text(errors="replace")[-4000:] for node in self.nodes)


def java_command(
    main: list[str | Path],
    *,
    folder: Path,
    heap_mb: int,
    record_classes: bool = False,
    sections: Sequence[str] = ("broker",),
) -> list[str | Path]:
    """Return the command that runs a class of the jars, which logs warnings to its output."""
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING, encoding="ascii")
    return [
        java(),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *_archive(Path(str(main[0])).suffix[1:], record=record_classes),
        f"-Dlog4j2.configurationFile={logging}",
        f"-Dkafka.logs.dir={folder}",
        "-cp",
        ":".join(str(jar.path) for section in sections for jar in jars.locked(section=section)),
        *main,
    ]


def _archive(name: str, *, record: bool) -> list[str]:
    """Return the flags that use the class archive of set-up, or record it; Java ignores one that does not fit."""
    archive = jars.CACHE / "jars" / f"{name}-{java().parent.parent.name}.jsa"
    if record:
        return [f"-XX:ArchiveClassesAtExit={archive}"]
    return (
        ["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off", f"-XX:SharedArchiveFile={archive}"]
        if archive.exists()
        else []
    )


def _new_cluster_id() -> str:
    while True:
        made = base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
        if not made.startswith("-"):
            return made


async def _brokers_seen(port: int) -> int:
    """Ask for Metadata v1 and return how many brokers the node knows; 0 when it does not answer yet."""
    name = b"probe"
    request = struct.pack(">hhih", 3, 1, 8, len(name)) + name + struct.pack(">i", 0)
    writer = None
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(struct.pack(">i", len(request)) + request)
            size = struct.unpack(">i", await reader.readexactly(4))[0]
            body = await reader.readexactly(size)
            return int(struct.unpack(">i", body[4:8])[0])
    except (OSError, TimeoutError, asyncio.IncompleteReadError, struct.error):
        return 0
    finally:
        if writer is not None:
            writer.close()
