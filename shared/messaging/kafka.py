"""The cluster: how a process gets in, topics as the contract names them, what a client can tell of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.events.topics import TOPICS
from shared.runtime.jobs import Hindered
from shared.runtime.settings import Settings

_LONGEST_REPLICATION = 3
_FIND_OUT_MS = 5_000
_DENIED = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    ClusterAuthorizationFailedError: "the cluster",
}


class NotLetIn(Hindered):
    """The broker is there, and does not let this process in: its text says what to look at."""

    code: ClassVar[str] = "kafka_not_let_in"


class NotAllowed(Hindered):
    """The broker knows who we are, and does not allow us what we need."""

    code: ClassVar[str] = "kafka_not_allowed"

    def __init__(self, *, username: str, what: str) -> None:
        """Keep who was refused what."""
        self.username = username
        self.what = what
        super().__init__(
            f"Kafka does not allow {username or 'a client without a name'} what it needs on {what}: "
            "`tributary kafka grants` lists what it must be given."
        )


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where the cluster is, and how this process gets in; a password never shows in its text."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Kafka:
        """Return the cluster that the settings name."""
        return cls(
            settings.bootstrap_servers,
            security_protocol=settings.kafka_security_protocol,
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            ca_file=settings.kafka_ca_file,
        )

    def options(self) -> dict[str, Any]:
        """Return what every aiokafka client of this cluster is made with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


@asynccontextmanager
async def explained(kafka: Kafka) -> AsyncIterator[None]:
    """Say in an operator's words why the broker refuses what the block does; NotLetIn or NotAllowed then.

    The client itself says only that it could not connect, whether the broker is away or the password wrong.
    """
    try:
        yield
    except tuple(_DENIED) as error:
        what = " ".join([_DENIED[type(error)], *map(str, error.args)])
        raise NotAllowed(username=kafka.username, what=what) from error
    except KafkaConnectionError as error:
        why = await _why_not_let_in(kafka)
        if why is None:
            raise
        raise NotLetIn(why) from error


async def _why_not_let_in(kafka: Kafka) -> str | None:
    """Ask each broker alone; return why the first that answers does not let us in, or None."""
    options = {name: value for name, value in kafka.options().items() if name != "bootstrap_servers"}
    for host, port, _ in collect_hosts(kafka.bootstrap_servers, randomize=False):
        at = f"Kafka at {host}:{port}"
        try:
            connection = await create_conn(host, port, request_timeout_ms=_FIND_OUT_MS, **options)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except SaslAuthenticationFailed:
            return f"{at} refuses {kafka.username or 'a client without a name'}: its name or its password is wrong."
        except ssl.SSLCertVerificationError as error:
            trusted = kafka.ca_file or "the system's authorities"
            return f"{at} shows a certificate that {trusted} does not vouch for: {error.verify_message.rstrip('.')}."
        except (ssl.SSLError, KafkaError) as error:
            spoken = f"does it speak {kafka.security_protocol} (KAFKA_SECURITY_PROTOCOL)?"
            return f"{at} takes the connection and ends it ({type(error).__name__}): {spoken}"
        except (OSError, TimeoutError):
            continue
        return None
    return None


async def ensure_topics(kafka: Kafka, *, topics: Mapping[str, int] = TOPICS) -> None:
    """Create the topics that are missing, kept for ever so that every read model can be rebuilt from them."""
    async with explained(kafka):
        await _ensure_topics(kafka, topics)


async def _ensure_topics(kafka: Kafka, topics: Mapping[str, int]) -> None:
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        missing = set(topics) - set(await admin.list_topics())
        replicas = min(_LONGEST_REPLICATION, brokers)
        config = {"retention.ms": "-1", "cleanup.policy": "delete"}
        new = [NewTopic(name, topics[name], replicas, topic_configs=config) for name in sorted(missing)]
        if new:
            answer = await admin.create_topics(new)
            for name, code, *_ in answer.topic_errors:
                if code not in {0, TopicAlreadyExistsError.errno}:
                    raise for_code(code)(name)
            await _until_led(admin, sorted(missing))
    finally:
        await admin.close()


async def cluster_id(kafka: Kafka) -> str:
    """Return the id of the cluster."""
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def _until_led(admin: AIOKafkaAdminClient, topics: list[str], *, attempts: int = 100) -> None:
    """Wait until every partition has a leader, so that the first send meets no NotLeaderForPartition."""
    for _ in range(attempts):
        try:
            described = await admin.describe_topics(topics)
        except KafkaError:
            described = []
        partitions = [part for topic in described for part in topic["partitions"]]
        if len(described) == len(topics) and all(part["leader"] >= 0 for part in partitions):
            return
        await asyncio.sleep(0.05)
