"""Each service gets into a real SASL_SSL broker by its own name, and may do there what it needs and nothing else."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError

from shared.events.envelope import EVENT_TYPES, Event
from shared.events.risk import RatingRecorded
from shared.events.topics import TOPICS, topics_of
from shared.messaging.kafka import Kafka, NotAllowed, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.pipeline import run_worker
from shared.runtime.jobs import being_restarted, down_for_good
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.security.conftest import FORGER, NEWCOMER, Databases, Environment
from tests.support.messaging import running, until
from tests.support.secured import SecuredKafka
from tributary.embedded.kafka import java_command
from tributary.embedded.processes import run
from tributary.grants import IDENTITIES, commands, consumed_by, grants, user
from tributary.services import SERVICES, works

_ROOT = Path(__file__).resolve().parents[2]
_RATED = new_id()
_PUBLISHERS = [service for service in SERVICES if topics_of(service)]


def _rating() -> RatingRecorded:
    return RatingRecorded(
        enterprise_id=_RATED,
        grade="A",
        cap=Amount(amount="1000.00", currency="CNY"),
        multiplier="1.000000",
        risk_spread="0.010000",
        reasons=["评分"],
        valid_until=date(2027, 11, 24),
        policy_version="2026-01",
    )


@contextmanager
def _one_event_a_topic() -> Iterator[list[Event]]:
    """Return an event of each topic that no handler waits for: it moves its head and has no effect."""
    made: list[Event] = []
    for name in TOPICS:

        class Happened(Event):
            type: ClassVar[str] = f"probe.{name}"
            topic: ClassVar[str] = name
            n: int = 0

            @property
            def subject(self) -> str:
                return "probe"

        EVENT_TYPES[Happened.type] = Happened
        made.append(Happened())
    yield made
    for event in made:
        del EVENT_TYPES[event.type]


async def _publish(url: str, events: Sequence[Event]) -> None:
    database = Database(url, pool_size=1)
    async with database.transaction() as tx:
        await append(tx, events, source="test")
    await database.close()


async def _select(url: str, statement: str) -> list[str]:
    database = Database(url, pool_size=1)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(statement)
    await database.close()
    return [row[0] for row in rows]


async def test_every_worker_runs_as_its_own_user_and_hears_exactly_its_topics(
    secured: SecuredKafka, databases: Databases, from_environment: Environment
) -> None:
    for service in SERVICES:
        await databases.make(service)
    settings = {service: from_environment(secured.environment(user(service))) for service in SERVICES}
    workers = [partial(work, settings[name]) for name, work in works().items()]

    async def all_was_heard() -> bool:
        heads = "SELECT DISTINCT topic FROM inbox_head WHERE subject = 'probe' AND sequence = 1"
        heard = {service: set(await _select(databases.url(service), heads)) for service in SERVICES}
        rated = await _select(databases.url("credit"), f"SELECT grade FROM rating WHERE enterprise_id = '{_RATED}'")  # noqa: S608 - an id made above
        return rated == ["A"] and heard == {service: set(consumed_by(service)) for service in SERVICES}

    with _one_event_a_topic() as events:
        for service in _PUBLISHERS:
            await _publish(databases.url(service), [each for each in events if each.topic in topics_of(service)])
        async with running(*workers):
            await _publish(databases.url("risk"), [_rating()])
            await until(all_was_heard, within_s=60)
            assert {service: being_restarted(service) | down_for_good(service) for service in SERVICES} == {
                service: {} for service in SERVICES
            }
    for service in _PUBLISHERS:
        assert await _select(databases.url(service), "SELECT shard FROM outbox_pending") == []


@pytest.mark.parametrize(
    ("service", "name", "topics", "on"),
    [
        pytest.param("risk", user("credit"), [], "topic scf.risk.", id="as another service"),
        pytest.param("risk", FORGER, [], "topic scf.risk.rating.v1", id="writing another's topic"),
        pytest.param(
            "risk", user("risk"), ["scf.credit.line.v1"], "topic scf.credit.line.v1", id="reading what is not for it"
        ),
        pytest.param("console", user("credit"), ["scf.risk.rating.v1"], "group scf.console", id="in another's group"),
    ],
)
async def test_a_worker_that_goes_beyond_its_grants_is_refused_and_says_what_it_lacks(  # noqa: PLR0917 - pytest passes each by name
    secured: SecuredKafka,
    databases: Databases,
    from_environment: Environment,
    service: str,
    name: str,
    topics: list[str],
    on: str,
) -> None:
    await databases.make(service)
    settings = from_environment(secured.environment(name))
    await secured.empty(topics_of("risk"))
    before = await _ends(secured, "scf.risk.rating.v1")
    if not topics:
        await _publish(databases.url(service), [_rating()])

    async def it_is_told() -> bool:
        return bool(being_restarted(service))

    async with running(_worker(service, settings, *topics)):
        await until(it_is_told)
        said = being_restarted(service)
    assert set(said) == {f"{service}/inbox" if topics else f"{service}/relay"}
    assert all(why.startswith(f"Kafka does not allow {name} what it needs on {on}") for why in said.values()), said
    assert all(why.endswith(": `tributary kafka grants` lists what it must be given.") for why in said.values()), said
    assert await _ends(secured, "scf.risk.rating.v1") == before
    if not topics:
        assert len(await _select(databases.url(service), "SELECT shard FROM outbox_pending")) == 1


async def test_a_refused_relay_goes_on_by_itself_once_it_is_given_what_it_lacks(
    secured: SecuredKafka, databases: Databases, from_environment: Environment
) -> None:
    await databases.make("risk")
    await secured.empty(topics_of("risk"))
    await _publish(databases.url("risk"), [_rating()])
    settings = from_environment(secured.environment(NEWCOMER))

    async def it_is_told() -> bool:
        return NEWCOMER in being_restarted("risk").get("risk/relay", "")

    async def all_is_sent() -> bool:
        return not await _select(databases.url("risk"), "SELECT shard FROM outbox_pending")

    async with running(_worker("risk", settings)):
        await until(it_is_told)
        await secured.allow("risk", instead=NEWCOMER)
        await until(all_is_sent)


def _plaintext(_: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}


def _without_sasl(_: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_SECURITY_PROTOCOL": "SSL"}


def _wrong_password(_: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_SASL_PASSWORD": "canary-of-yesterday"}


def _wrong_user(_: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_SASL_USERNAME": "tributary-nobody"}


def _another_authority(broker: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_SSL_CA_FILE": str(broker.another_authority.file)}


def _another_name(broker: SecuredKafka) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{broker.port}"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (_wrong_password, "refuses tributary-risk: its name or its password is wrong."),
        (_wrong_user, "refuses tributary-nobody: its name or its password is wrong."),
        (_another_authority, "does not vouch for: unable to get local issuer certificate."),
        (_another_name, "does not vouch for: Hostname mismatch, certificate is not valid for 'localhost'."),
        (_plaintext, "does it speak PLAINTEXT (KAFKA_SECURITY_PROTOCOL)?"),
        (_without_sasl, "does it speak SSL (KAFKA_SECURITY_PROTOCOL)?"),
    ],
)
async def test_a_worker_that_does_not_get_in_says_why_and_never_its_password(  # noqa: PLR0917 - pytest passes each by name
    secured: SecuredKafka,
    databases: Databases,
    from_environment: Environment,
    capfd: pytest.CaptureFixture[str],
    wrong: Callable[[SecuredKafka], dict[str, str]],
    said: str,
) -> None:
    await databases.make("risk")
    settings = from_environment(secured.environment(user("risk")) | wrong(secured))

    async def it_is_told() -> bool:
        return len(being_restarted("risk")) == 2

    async with running(_worker("risk", settings, "scf.risk.rating.v1")):
        await until(it_is_told)
        told = being_restarted("risk")
    assert set(told) == {"risk/relay", "risk/inbox"}
    assert all(why.startswith("Kafka at ") and why.endswith(said) for why in told.values()), told
    assert "canary-" not in "".join([*told.values(), *capfd.readouterr()])


async def test_a_service_makes_no_topic_removes_none_and_writes_none_of_the_others(secured: SecuredKafka) -> None:
    with pytest.raises(NotAllowed, match=r"topic scf\.new\.thing\.v1"):
        await ensure_topics(secured.kafka(user("credit")), topics={"scf.new.thing.v1": 1})
    with pytest.raises(NotAllowed):
        await ensure_topics(secured.kafka(user("migrate")), topics={"scf.new.thing.v1": 1})
    admin = AIOKafkaAdminClient(**secured.kafka(user("credit")).options())
    await admin.start()
    answer = await admin.delete_topics(["scf.credit.line.v1"])
    await admin.close()
    assert [code for _, code in answer.topic_error_codes] == [TopicAuthorizationFailedError.errno]
    for service in SERVICES:
        others = [topics_of(each)[0] for each in _PUBLISHERS if each != service]
        assert await _refused_writes(secured.kafka(user(service)), others) == others


async def test_a_command_that_the_broker_does_not_let_in_says_why_in_one_line(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    names = secured.environment(user("operator")) | {"KAFKA_SASL_PASSWORD": "canary-of-yesterday"}
    env = {"PATH": os.defpath, "DATABASE_URL": "postgresql://none", "TRIBUTARY_HOME": str(tmp_path), **names}
    command = [sys.executable, "-m", "tributary", "events", "tail", "--count", "1"]
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=_ROOT, stderr=asyncio.subprocess.PIPE)
    _, text = await asyncio.wait_for(process.communicate(), 60)
    said = text.decode()
    assert (process.returncode, len(said.splitlines())) == (1, 1), said
    assert said.endswith("refuses tributary-operator: its name or its password is wrong.\n")
    assert "canary-" not in said


async def test_no_identity_may_write_but_a_publisher_its_own_topics(secured: SecuredKafka) -> None:
    write = 4
    may_write = {(who, topic) for who, _, topic, operation in await secured.allowed() if operation == write}
    assert {each for each in may_write if each[0] not in {f"User:{NEWCOMER}", f"User:{FORGER}"}} == {
        (f"User:tributary-{service}", topic) for service in _PUBLISHERS for topic in topics_of(service)
    }


def test_the_printed_commands_give_what_the_data_say(secured: SecuredKafka) -> None:
    environment = {"PATH": os.defpath, "KAFKA_BOOTSTRAP_SERVERS": secured.bootstrap_servers}
    config = secured.folder / "admin.properties"
    config.write_text(secured.client_settings(), encoding="utf-8")
    for line in commands("credit"):
        named = line.replace("User:tributary-credit", "User:printed").replace("admin.properties", str(config))
        tool, *arguments = shlex.split(named.replace("$KAFKA_BOOTSTRAP_SERVERS", secured.bootstrap_servers))
        assert tool == "kafka-acls.sh"
        main: list[str | Path] = ["org.apache.kafka.tools.AclCommand", *arguments]
        run(java_command(main, folder=secured.folder, heap_mb=128, sections=("broker", "tools")), env=environment)
    entries = asyncio.run(secured.allowed())
    by_user = {
        name: {each[1:] for each in entries if each[0] == f"User:{name}"} for name in ("printed", "tributary-credit")
    }
    assert by_user["printed"] == by_user["tributary-credit"] != set()


def test_every_identity_is_described_and_an_operator_only_looks() -> None:
    assert {operation for grant in grants("operator") for operation in grant.operations} == {"Read"}
    for identity in IDENTITIES:
        assert all(line.count("--add ") == 1 for line in commands(identity))
        named = {grant.name for grant in grants(identity) if grant.resource == "topic"}
        assert named <= set(TOPICS)
        if identity in SERVICES:
            assert named == set(topics_of(identity)) | set(consumed_by(identity))


def _worker(service: str, settings: Settings, *topics: str) -> Callable[[asyncio.Event], Awaitable[None]]:
    async def work(stop: asyncio.Event) -> None:
        await run_worker(service, settings=settings, stop=stop, topics=topics)

    return work


async def _ends(broker: SecuredKafka, topic: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**broker.admin.options())
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic, n) for n in range(TOPICS[topic])]
        )
    finally:
        await consumer.stop()
    return found


async def _refused_writes(kafka: Kafka, topics: Sequence[str]) -> list[str]:
    producer = AIOKafkaProducer(**kafka.options())
    await producer.start()
    refused = []
    try:
        for topic in topics:
            try:
                await producer.send_and_wait(topic, b"forged", partition=0)
            except TopicAuthorizationFailedError:
                refused.append(topic)
    finally:
        await producer.stop()
    return refused
