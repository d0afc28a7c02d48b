"""`tributary verify` as a person runs it: a figure an invariant, and status 1 with one line when one is violated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.integration.verify.clean import Copies
from tributary.addresses import NoPlatform
from tributary.services import SERVICES
from tributary.verify.command import run
from tributary.verify.snapshots import NothingToVerify, world_of


@pytest.fixture
async def platform(clean: Copies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Put copies of the clean state under the names that a platform's databases have; return the server's URL."""
    connection = await asyncpg.connect(clean.server_url)
    for service in SERVICES:
        origin = urlsplit(clean.urls[service]).path.removeprefix("/")
        await connection.execute(f'CREATE DATABASE "tributary_{service}" TEMPLATE "{origin}"')
    monkeypatch.setenv("DATABASE_URL", clean.server_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", clean.bootstrap_servers)
    monkeypatch.setenv("TRIBUTARY_HOME", str(tmp_path))
    yield clean.server_url
    for service in SERVICES:
        await connection.execute(f'DROP DATABASE "tributary_{service}" WITH (FORCE)')
    await connection.close()


async def test_a_clean_platform_is_status_0_and_a_spoiled_one_status_1_with_one_line(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = await asyncio.to_thread(run, json_output=True)
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    invariants = json.loads(said.out)["invariants"]
    assert list(invariants) == [f"I{n}" for n in range(1, 12)]
    assert all(
        each.keys() == {"violations", "checked", "in_flight", "examples"} and each["violations"] == 0
        for each in invariants.values()
    )
    credit = await asyncpg.connect(f"{platform.rpartition('/')[0]}/tributary_credit")
    await credit.execute("UPDATE limit_node SET utilised_minor = utilised_minor + 1 WHERE node_id = 'programme/p1'")
    await credit.close()
    status = await asyncio.to_thread(run, json_output=False)
    said = capsys.readouterr()
    assert status == 1
    assert said.err == "Violated: I1 (1), I2 (1).\n"
    assert "programme/p1 is used 1 above its limit, and nothing says why" in said.out
    assert sum(line.startswith("I") for line in said.out.splitlines()) == 11


async def test_a_platform_that_never_ran_is_one_sentence(clean: Copies) -> None:
    missing = clean.model_copy(update={"urls": clean.urls | {"risk": f"{clean.server_url}_not_there"}})
    with pytest.raises(NothingToVerify, match="risk has no database yet"):
        async with world_of(missing):
            pass


async def test_a_service_without_tables_is_one_sentence_too(clean: Copies) -> None:
    empty = clean.model_copy(update={"urls": clean.urls | {"risk": clean.server_url}})
    with pytest.raises(NothingToVerify, match="risk has no database yet"):
        async with world_of(empty):
            pass


def test_without_servers_and_without_a_data_folder_there_is_nothing_to_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIBUTARY_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(NoPlatform):
        run(json_output=True)


def test_servers_that_do_not_answer_are_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/postgres")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run(json_output=True) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "nothing was verified" in said.err
