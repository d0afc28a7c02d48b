"""A broker as a bank runs it: SASL_SSL with SCRAM, nobody may do anything that no grant allows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from shared.events.topics import TOPICS
from shared.messaging.kafka import Kafka, ensure_topics
from tests.support.certificates import Authority
from tributary.embedded.kafka import java_command
from tributary.embedded.processes import free_ports, run, spawn
from tributary.grants import grants, principal, user

_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_ADMIN = "admin"
_READY_WITHIN_S = 90.0
_ATTEMPTS = 3
# The numbers of Kafka's protocol.
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
_ANY_HOST, _ANY, _LITERAL, _ALLOW = "*", 1, 3, 3


class _CreateAll(CreateAclsRequest):  # type: ignore[misc] # aiokafka ships no types
    """Every entry in one request; aiokafka's own has place for one."""

    def __init__(self, entries: Sequence[tuple[Any, ...]]) -> None:
        self._entries = list(entries)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._entries)


@dataclass
class SecuredKafka:
    """One node with its authority and its users."""

    folder: Path
    authority: Authority
    passwords: Mapping[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def admin(self) -> Kafka:
        return self.kafka(_ADMIN)

    def kafka(self, name: str, *, password: str | None = None, authority: Authority | None = None) -> Kafka:
        """Return how a user gets in."""
        return Kafka(
            self.bootstrap_servers,
            security_protocol="SASL_SSL",
            username=name,
            password=self.passwords[name] if password is None else password,
            ca_file=(authority or self.authority).file,
        )

    @property
    def another_authority(self) -> Authority:
        """Return an authority that did not vouch for this broker."""
        return Authority(self.folder / "another")

    def client_settings(self) -> str:
        """Return the administrator's settings for Kafka's own tools."""
        return "".join(
            f"{name}={value}\n"
            for name, value in {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.jaas.config": self._login(),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.authority.file,
            }.items()
        )

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a process that runs as a user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": name,
            "KAFKA_SASL_PASSWORD": self.passwords[name],
            "KAFKA_SSL_CA_FILE": str(self.authority.file),
        }

    async def start(self) -> None:
        """Format with the users, start, wait until the administrator gets in."""
        for attempt in range(_ATTEMPTS):
            self.port, controller = free_ports(2)
            settings = self.folder / "server.properties"
            settings.write_text(self._settings(controller), encoding="utf-8")
            if attempt == 0:
                users = [
                    f"SCRAM-SHA-512=[name={name},password={password},iterations=4096]"
                    for name, password in self.passwords.items()
                ]
                cluster = base64.urlsafe_b64encode(b"\x01" + uuid4().bytes[1:]).rstrip(b"=").decode()
                main: list[str | Path] = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings]
                main += [argument for user in users for argument in ("--add-scram", user)]
                await asyncio.to_thread(run, java_command(main, folder=self.folder, heap_mb=128), env=_ENV)
            command = java_command(["kafka.Kafka", settings], folder=self.folder, heap_mb=256)
            self.process = spawn(command, log=self.folder / "server.log", env=_ENV)
            if await self._ready():
                return
            self.kill()
        raise RuntimeError((self.folder / "server.log").read_text(encoding="utf-8", errors="replace")[-3000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)

    async def allow(self, *identities: str, instead: str | None = None) -> None:
        """Give identities, or another user instead, what they may do; return when the broker acts on it."""
        entries = [
            (
                _RESOURCES[grant.resource],
                grant.name,
                _LITERAL,
                principal(instead or user(identity)),
                _ANY_HOST,
                operation,
                _ALLOW,
            )
            for identity in identities
            for grant in grants(identity)
            for operation in map(_OPERATIONS.__getitem__, grant.operations)
        ]
        await self._ask(_CreateAll(entries))
        wanted = {(who, kind, name, operation) for kind, name, _, who, _, operation, _ in entries}
        while not wanted <= await self.allowed():
            await asyncio.sleep(0.02)

    async def allowed(self) -> set[tuple[str, int, str, int]]:
        """Return every entry of the access lists: who, kind of resource, its name, operation."""
        answer = await self._ask(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
        return {
            (entry[0], kind, name, entry[2]) for kind, name, _pattern, entries in answer.resources for entry in entries
        }

    async def empty(self, topics: Sequence[str]) -> None:
        """Make topics anew: a publisher whose database is new must find nothing of another's there."""
        client = AIOKafkaAdminClient(**self.admin.options())
        await client.start()
        try:
            await client.delete_topics(list(topics))
            while set(topics) & set(await client.list_topics()):
                await asyncio.sleep(0.02)
        finally:
            await client.close()
        await ensure_topics(self.admin, topics={topic: TOPICS[topic] for topic in topics})

    async def _ask(self, request: Any) -> Any:
        client = AIOKafkaAdminClient(**self.admin.options())
        await client.start()
        try:
            answer = await client._send_request(request)
        finally:
            await client.close()
        failed = [each for each in getattr(answer, "creation_responses", []) if each[0]]
        if failed:
            raise for_code(failed[0][0])(failed[0][1])
        return answer

    async def _ready(self) -> bool:
        deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            if self.process is None or self.process.poll() is not None:
                return False
            client = AIOKafkaAdminClient(**self.admin.options(), request_timeout_ms=2000)
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await client.start()
                brokers = (await client.describe_cluster())["brokers"]
                await client.close()
                if brokers:
                    return True
            await asyncio.sleep(0.1)
        return False

    def _login(self) -> str:
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return f'{scram} username="{_ADMIN}" password="{self.passwords[_ADMIN]}";'

    def _settings(self, controller: int) -> str:
        identity = self.authority.issue("127.0.0.1", name="broker")
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"SASL_SSL://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"SASL_SSL://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SSL",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": self._login(),
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": identity.bundle,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.file,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{_ADMIN};User:CN=broker",
            "log.dirs": self.folder / "data",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def passwords_of(users: Iterable[str]) -> dict[str, str]:
    """Return a password nobody else has for each user and the administrator."""
    return {name: f"canary-{uuid4().hex}" for name in (_ADMIN, *users)}
