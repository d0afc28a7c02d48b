"""TLS to PostgreSQL is a matter of DATABASE_URL: what it asks for holds for every connection, and is never less."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from tests.support.certificates import Authority
from tests.support.tls_postgres import TlsPostgres, tls_postgres


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def front(postgres_url: str, authority: Authority) -> AsyncIterator[TlsPostgres]:
    async with tls_postgres(postgres_url, identity=authority.issue("127.0.0.1", name="postgres")) as front:
        yield front


def _verified(authority: Authority, *, mode: str = "verify-full") -> str:
    return f"sslmode={mode}&sslrootcert={authority.file}"


async def test_every_connection_of_a_service_is_as_its_url_says(
    front: TlsPostgres, authority: Authority, postgres_url: str, unique_name: str
) -> None:
    server_url = front.url(_verified(authority))
    url = await ensure_database(server_url=server_url, service=unique_name)
    assert urlsplit(url).path == f"/tributary_{unique_name}"
    assert urlsplit(url).query == urlsplit(server_url).query
    try:
        await migrate(url=url, package="services.risk")
        database = Database(url, pool_size=2)
        async with database.transaction() as tx:
            assert await tx.pg.fetchval("SELECT count(*) FROM outbox") == 0
            assert tx.pg._transport.get_extra_info("cipher") is not None  # type: ignore[attr-defined] # no public way
        await database.close()
        assert (front.encrypted, front.plain) == (3, 0)
    finally:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f'DROP DATABASE "tributary_{unique_name}" WITH (FORCE)')
        await connection.close()


def test_the_query_of_database_url_reaches_every_services_url(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://scf:p%2Fw@db.bank:5432/postgres?{_verified(authority)}")
    found = Settings().database("credit")
    assert found == f"postgresql://scf:p%2Fw@db.bank:5432/tributary_credit?{_verified(authority)}"


async def test_a_certificate_of_another_authority_is_refused(front: TlsPostgres, tmp_path: Path) -> None:
    another = Authority(tmp_path / "another")
    for mode in ("verify-ca", "verify-full"):
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            await ensure_database(server_url=front.url(_verified(another, mode=mode)), service="none")


async def test_a_certificate_for_another_host_is_refused_where_the_name_is_to_be_verified(
    front: TlsPostgres, authority: Authority
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'localhost'"):
        await ensure_database(server_url=front.url(_verified(authority), host="localhost"), service="none")
    connection = await asyncpg.connect(front.url(_verified(authority, mode="verify-ca"), host="localhost"))
    await connection.close()


async def test_nothing_is_sent_to_a_server_without_tls_where_tls_is_required(
    postgres_url: str, authority: Authority
) -> None:
    for query in ("sslmode=require", _verified(authority)):
        with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
            await ensure_database(server_url=f"{postgres_url}?{query}", service="none")
        database = Database(f"{postgres_url}?{query}", pool_size=1)
        with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
            async with database.reader():
                pass
        await database.close()
