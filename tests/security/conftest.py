"""A secured broker for the folder's tests, and settings as a deployment's environment would give them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from shared.messaging.kafka import ensure_topics
from shared.runtime.settings import Settings
from shared.storage.database import migrate
from tests.support.certificates import Authority
from tests.support.secured import SecuredKafka, passwords_of
from tributary.grants import IDENTITIES, user

# Users beside the identities: one who is given nothing, one who reads everything and writes credit's topics.
NEWCOMER, FORGER = "newcomer", "forger"
Environment = Callable[[Mapping[str, str]], Settings]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredKafka]:
    """Run a broker where each identity has its user and its grants, and `migrate` made the topics."""
    folder = tmp_path_factory.mktemp("secured")
    users = [*map(user, IDENTITIES), NEWCOMER, FORGER]
    broker = SecuredKafka(folder, Authority(folder / "authority"), passwords_of(users))
    try:
        await broker.start()
        await broker.allow(*IDENTITIES)
        await broker.allow("credit", "operator", instead=FORGER)
        await ensure_topics(broker.kafka(user("migrate")))
        yield broker
    finally:
        broker.kill()


@dataclass
class Databases:
    """A database a service, which no other test has."""

    server_url: str
    prefix: str
    made: set[str] = field(default_factory=set)

    def url(self, service: str) -> str:
        return urlunsplit(urlsplit(self.server_url)._replace(path=f"/{self.prefix}_{service}"))

    async def make(self, service: str) -> str:
        """Create a service's database with its newest tables; return its URL."""
        await self.execute(f'CREATE DATABASE "{self.prefix}_{service}"')
        self.made.add(service)
        await migrate(url=self.url(service), package=f"services.{service}")
        return self.url(service)

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server_url)
        await connection.execute(statement)
        await connection.close()


@pytest.fixture
async def databases(postgres_url: str, unique_name: str) -> AsyncIterator[Databases]:
    given = Databases(postgres_url, unique_name)
    yield given
    for service in given.made:
        await given.execute(f'DROP DATABASE "{unique_name}_{service}" WITH (FORCE)')


@pytest.fixture
def from_environment(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return what reads settings from an environment with these variables."""

    class OfThisTest(Settings):
        def database(self, service: str) -> str:
            return databases.url(service)

    def read(variables: Mapping[str, str]) -> Settings:
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", databases.server_url)
            for name, value in variables.items():
                patch.setenv(name, value)
            return OfThisTest()

    return read
