"""`make up`: every service and role of the code, in order, locked down, behind one origin that holds nothing back."""

from __future__ import annotations

import re
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.manifests import ROOT, compose, known_variables, tool
from tributary.services import SERVICES

_FILE = ROOT / "docker-compose.yml"
_ORIGIN = (ROOT / "deploy" / "compose" / "origin.conf").read_text(encoding="utf-8")
_OTHERS = {"postgres", "kafka", "migrate", "origin"}
_ROLES = {"api": "serve", "worker": "work"}
_IMAGE = "tributary"


def _ours() -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose()["services"].items() if each["image"] == _IMAGE}


def _check(path: str) -> subprocess.CompletedProcess[str]:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def test_the_file_is_what_the_compose_specification_says(tmp_path: Any) -> None:
    done = _check(str(_FILE))
    assert done.returncode == 0, done.stdout
    wrong = compose()
    wrong["services"]["kafka"]["helthcheck"] = wrong["services"]["kafka"].pop("healthcheck")
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    assert _check(str(tmp_path / "docker-compose.yml")).returncode == 1


def test_each_service_runs_as_an_api_and_a_worker_and_nothing_else_does() -> None:
    commands = {name: each["command"] for name, each in _ours().items()}
    assert commands == {
        "migrate": ["migrate"],
        **{f"{service}-{role}": [command, service] for service in SERVICES for role, command in _ROLES.items()},
    }
    assert set(compose()["services"]) == set(commands) | _OTHERS
    assert _ours()["migrate"]["build"] == "."
    # An image of this name elsewhere is somebody else's.
    assert {each["pull_policy"] for each in _ours().values()} == {"build", "never"}


def test_the_environment_names_settings_that_exist_and_servers_that_are_there() -> None:
    services = compose()["services"]
    for name, each in _ours().items():
        assert set(each["environment"]) <= known_variables(), name
        url = urlsplit(each["environment"]["DATABASE_URL"])
        assert (url.scheme, url.hostname, url.port) == ("postgresql", "postgres", 5432)
        assert each["environment"]["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "PLAINTEXT://kafka:9092" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_everything_is_locked_down_and_only_the_origin_is_published_on_this_machine() -> None:
    for name, each in compose()["services"].items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in each, name
        for port in each.get("ports", []):
            assert name == "origin"
            assert port.startswith("127.0.0.1:")


def test_nothing_starts_before_what_it_needs() -> None:
    services = compose()["services"]
    for name, each in services.items():
        for needed, how in each.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            # Ours know their health themselves: the image says how.
            known = "healthcheck" in services[needed] or services[needed]["image"] == _IMAGE
            assert known if healthy else how["condition"] == "service_completed_successfully", (name, needed)
    assert set(services["migrate"]["depends_on"]) == {"postgres", "kafka"}
    for name in set(_ours()) - {"migrate"}:
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert set(services["origin"]["depends_on"]) == {f"{service}-api" for service in SERVICES}


def test_every_process_has_a_health_check_but_the_one_that_ends() -> None:
    for name, each in compose()["services"].items():
        if each["image"] == _IMAGE:
            assert each.get("healthcheck", {}) == ({"disable": True} if name == "migrate" else {}), name
        else:
            assert {"test", "interval", "timeout", "start_period"} <= set(each["healthcheck"]), name


def test_the_signing_key_is_written_once_and_read_by_every_api() -> None:
    mounts = {name: each.get("volumes", []) for name, each in _ours().items()}
    assert mounts["migrate"] == ["home:/data"]
    assert {name for name, volumes in mounts.items() if volumes == ["home:/data:ro"]} == {f"{s}-api" for s in SERVICES}
    # The movables registry is a file in the data folder, and receivables' worker writes it.
    assert [name for name, volumes in mounts.items() if volumes == ["home:/data"]] == ["migrate", "receivables-worker"]
    assert "TRIBUTARY_HOME=/data" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_origin_gives_each_path_to_its_service_and_holds_no_stream_back() -> None:
    (found,) = re.findall(r"location ~ \^/\(\?<service>([a-z|]+)\)\(/\|\$\)", _ORIGIN)
    assert set(found.split("|")) == set(SERVICES)
    assert "proxy_pass http://$service-api:8000;" in _ORIGIN
    assert "proxy_buffering off;" in _ORIGIN
    assert "location = / {\n            return 302 /console/;" in _ORIGIN
    port = re.findall(r"listen (\d+);", _ORIGIN)[0]
    assert compose()["services"]["origin"]["ports"] == [f"127.0.0.1:${{TRIBUTARY_PORT:-8000}}:{port}"]
    assert "TRIBUTARY_PORT=8000" in re.sub(r"\s+", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ["docker-compose.yml", "deploy/compose/origin.conf", "Dockerfile"])
def test_nothing_here_holds_a_secret(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8").lower().replace("no passwords", "")
    assert "password" not in text
    assert "secret" not in text


def test_make_up_is_docker_compose() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\nup:\n\tdocker compose up --build\n" in makefile
