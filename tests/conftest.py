"""Fixtures of every test: the real servers, an empty database, a name nobody else uses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.runtime.telemetry import configure_logging
from tests.support.memory import roomy_memory_folder
from tests.support.order import longest_first
from tests.support.servers import a_database, addresses, beside, drop_database

# The counts of the fault tests are told at the end of the whole run, whoever ran them.
pytest_plugins = ["tests.faults.report"]


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    configure_logging(level="ERROR")


def pytest_configure(config: pytest.Config) -> None:
    # Hundreds of databases come and go: their files cost ten times as much on a disk. Workers and children inherit it.
    # The long runs write more than memory should hold.
    is_asked = "TMPDIR" not in os.environ and not config.getoption("--run-long")
    if is_asked and (folder := roomy_memory_folder()):
        os.environ["TMPDIR"], tempfile.tempdir = folder, None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-long", action="store_true", help="run the long versions of the fault tests")


@pytest.fixture(scope="session")
def _servers(request: pytest.FixtureRequest) -> dict[str, str]:
    # Under xdist the workers' parent is the run; alone, this process is.
    owner = os.getppid() if hasattr(request.config, "workerinput") else os.getpid()
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(owner)
    return addresses(run_id, owner=owner)


@pytest.fixture(scope="session")
def postgres_url(_servers: dict[str, str]) -> str:
    return _servers["postgres"]


@pytest.fixture(scope="session")
def kafka_bootstrap(_servers: dict[str, str]) -> str:
    return _servers["kafka"]


@pytest.fixture
def unique_name() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
async def fresh_database(postgres_url: str, unique_name: str) -> AsyncIterator[str]:
    """Yield the URL of a database that is not there yet: `bench` makes it with its service's tables."""
    yield beside(postgres_url, unique_name)
    await drop_database(postgres_url, unique_name)


@pytest.fixture
async def empty_database(postgres_url: str, unique_name: str) -> AsyncIterator[str]:
    async with a_database(postgres_url, unique_name) as url:
        yield url
