"""One service's app on its own real database, and callers with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.web.serving import ServiceApp
from tests.support.servers import with_tables


@dataclass
class Bench:
    """A service under test."""

    name: str
    app: ServiceApp
    settings: Settings
    database: Database

    def caller(self, *roles: str, party: str | None = None, subject: str | None = None) -> httpx.AsyncClient:
        """Return a client that speaks for somebody with these roles."""
        who = subject or new_id()
        issued = self.app.fastapi.state.issuer.issue(subject=who, roles=roles, party=party, client_id=who)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url=f"http://test/{self.name}/v1",
            headers={"authorization": f"Bearer {issued}"},
        )


class OneDatabase(Settings):
    """Settings that read nothing from the environment, and know one database only."""

    def database(self, service: str) -> str:
        del service
        return self.server_url


def settings_for(*, url: str, home: Path, bootstrap_servers: str = "") -> Settings:
    """Return settings for one service under test."""
    return OneDatabase.model_construct(
        server_url=url,
        bootstrap_servers=bootstrap_servers,
        home=home,
        port=0,
        issuer="tributary",
        audience="tributary",
        hold_seconds=600,
        rail_timeout_seconds=0.2,
    )


@asynccontextmanager
async def bench(name: str, build: Callable[[Settings], ServiceApp], *, url: str, home: Path) -> AsyncIterator[Bench]:
    """Give the service its tables in a database of this URL, and run its app on it."""
    settings = settings_for(url=url, home=home)
    await with_tables(url, service=name)
    app, database = build(settings), Database(url, pool_size=3)
    try:
        yield Bench(name, app, settings, database)
    finally:
        await app.aclose()
        await database.close()
