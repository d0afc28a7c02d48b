"""No secret of a deployment shows: not in the text of settings, not in what a command says when a server is away."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_CANARY = "canary-3f9a"
_AWAY = f"postgresql://scf:{_CANARY}@127.0.0.1:1/postgres"
_DEPLOYMENT = {
    "DATABASE_URL": _AWAY,
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_USERNAME": "tributary-risk",
    "KAFKA_SASL_PASSWORD": _CANARY,
    "TRIBUTARY_CROSSCHECK_KEY": f"{_CANARY} that banks share, as long as it must be",
    "TRIBUTARY_CROSSCHECK_SECRET": f"{_CANARY} of this bank alone, as long as it must be",
}


def _environment(home: Path, **changed: str) -> dict[str, str]:
    return {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), **_DEPLOYMENT, "TRIBUTARY_HOME": str(home), **changed}


async def _tributary(*arguments: str, env: Mapping[str, str]) -> tuple[int | None, str]:
    process = await _start(*arguments, env=env)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


async def _start(*arguments: str, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tributary", *arguments,
        env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


def test_settings_and_the_way_into_kafka_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _DEPLOYMENT.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.server_url == _AWAY
    assert Kafka.of(settings).password == _CANARY
    for shown in (settings, Kafka.of(settings), [settings], {"settings": settings}):
        assert _CANARY not in f"{shown!r} {shown}"


@pytest.mark.parametrize("name", ["DATABASE_URL", "KAFKA_SASL_PASSWORD"])
async def test_a_secret_may_be_a_file_of_its_variables_name(tmp_path: Path, name: str) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / name).write_text(f"{_DEPLOYMENT[name]}\n", encoding="utf-8")
    env = _environment(tmp_path, TRIBUTARY_SECRETS_DIR=str(secrets))
    del env[name]
    code = (
        "from shared.runtime.settings import Settings; s = Settings(); "
        f"assert (s.server_url, s.kafka_password.get_secret_value()) == ({_AWAY!r}, {_CANARY!r})"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=env)
    assert await process.wait() == 0


@pytest.mark.parametrize("command", [("migrate",), ("verify", "--json")])
async def test_a_command_whose_servers_are_away_says_so_in_one_line_without_a_password(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    status, said = await _tributary(*command, env=_environment(tmp_path))
    assert status == 1
    assert len(said.splitlines()) == 1, said
    assert _CANARY not in said
    assert "scf" not in said.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://scf:{_CANARY}/x@db.bank/postgres",
        f"postgresql://scf:{_CANARY}#x@db.bank/postgres",
        f"postgresql://scf:{_CANARY}?x@db.bank/postgres",
        f"postgres-{_CANARY}://db.bank/postgres",
        f"db.bank:{_CANARY}",
    ],
)
def test_a_database_url_that_nobody_can_read_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ValidationError, match="are written as %2F") as refused:
        Settings()
    assert _CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1:5432/postgres",
        "postgres://u:p%40ss@[::1]:5432/db?sslmode=require",
        "postgresql://u:p@ss@one:5432,two:5433/db?target_session_attrs=primary",
        "postgresql://db.bank",
        "postgresql:///db?host=/run/postgresql",
        "",
    ],
)
def test_what_the_driver_reads_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert Settings().server_url == url


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"DATABASE_URL": f"{_AWAY}?sslmode=verify-full&sslrootcert=/no/ca.pem"}, 2, "/no/ca.pem is no file"),
        ({"DATABASE_URL": f"{_AWAY}?sslmode=very-full"}, 1, "`sslmode` parameter must be one of"),
    ],
)
async def test_a_setting_that_cannot_work_is_named(
    tmp_path: Path, changed: dict[str, str], status: int, said: str
) -> None:
    ended, text = await _tributary("migrate", env=_environment(tmp_path, **changed))
    assert (ended, len(text.splitlines())) == (status, 1), text
    assert said in text
    assert _CANARY not in text


def test_a_file_of_authorities_that_is_not_there_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SSL_CA_FILE", "/no/ca.pem")
    with pytest.raises(ValidationError, match="Path does not point to a file"):
        Settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_SSL_CA_FILE", "KAFKA_SECURITY_PROTOCOL", "TRIBUTARY_PORT", "DATABASE_URL"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.kafka_ca_file, settings.kafka_security_protocol) == (None, "PLAINTEXT")
    assert (settings.port, settings.server_url) == (8000, "")


@pytest.mark.parametrize("kind", ["serve", "work"])
async def test_a_process_that_waits_for_its_servers_never_logs_a_password(tmp_path: Path, kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await _start(kind, "risk", env=_environment(tmp_path, TRIBUTARY_PORT=str(port)))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/risk/v1", trust_env=False) as http:
            async with asyncio.timeout(60):
                answer = await _answer(http, "/health/ready")
            assert answer.status_code == 503
            assert "database" in answer.json()["problems"]
            shown = [answer.text, (await http.get("/ratings/x")).text, (await http.get("/openapi.json")).text]
            await asyncio.sleep(0.5 if kind == "work" else 0)
    finally:
        process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert said
    assert _CANARY not in "".join([*shown, said.decode()])


async def _answer(http: httpx.AsyncClient, path: str) -> httpx.Response:
    while True:
        try:
            return await http.get(path)
        except httpx.TransportError:
            await asyncio.sleep(0.05)
