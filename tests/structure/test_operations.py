"""What the run books name exists: anchors, commands, routes, metrics, codes, settings; errors say what is quoted."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from typer.main import get_command

from shared.messaging.applying import TooManyFailures
from shared.messaging.inbox import OffsetGone
from shared.messaging.read_back import OutboxBehind, TopicLost
from shared.messaging.relay_rows import LEASE_S, OnTopic
from shared.runtime.metrics import REGISTRY
from shared.runtime.settings import Settings
from tests.support.manifests import container_of, known_variables, named
from tributary.adopt import SequenceTaken
from tributary.cli import app
from tributary.services import SERVICES, builds

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
_RULES = [
    rule
    for group in yaml.safe_load((_ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
_SAMPLES = {"histogram": ("", "_bucket", "_sum", "_count"), "counter": ("_total",)}
# Roles and databases of the servers are called after the platform too.
_OF_THE_SERVERS = {"tributary_migrate", "tributary_SERVICE", *(f"tributary_{service}" for service in SERVICES)}
# Other programs' own words, and the shell's.
_FOREIGN_WORDS = {
    *("archive_timeout", "wait_event", "wait_event_type", "pg_stat_activity", "max_connections", "pg_dump"),
    *("process_cpu_seconds_total", "SyncRep"),
}
_FOREIGN_VARIABLES = {"CREATEDB", "TRIBUTARY_SECRETS_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT"}
_SOURCES = ("shared", "services", "tributary", "deploy")


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def _sections() -> dict[str, str]:
    """Return anchor → text, with that of the sections below it."""
    found = {}
    heads = [
        match
        for match in re.finditer(r"^(#+) (.+)$", _PAGE, re.MULTILINE)
        if _PAGE[: match.start()].count("```") % 2 == 0
    ]
    for nth, head in enumerate(heads):
        end = next((each.start() for each in heads[nth + 1 :] if len(each[1]) <= len(head[1])), len(_PAGE))
        found[_anchor(head[2])] = _PAGE[head.end() : end]
    return found


def _spans() -> Iterator[str]:
    """Yield what stands in backticks outside code blocks."""
    prose = re.sub(r"^ *```.*?^ *```", "", _PAGE, flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(r"`([^`]+)`", prose):
        yield " ".join(found.split())


@cache
def _code() -> str:
    suffixes = {".py", ".yaml", ".yml"}
    files = (path for name in _SOURCES for path in (_ROOT / name).rglob("*") if path.suffix in suffixes)
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@cache
def _codes() -> frozenset[str]:
    """Return the codes of errors: a class' `code`, or that of a Problem."""
    said = re.findall(r"code: ClassVar\[str\] = \"(\w+)\"|code=\"(\w+)\"", _code())
    return frozenset(one or other for one, other in said)


def test_every_alert_leads_to_a_section_that_knows_it() -> None:
    sections = _sections()
    for rule in _RULES:
        for anchor in re.findall(r"#([\w-]+)", " ".join(rule["annotations"].values())):
            assert anchor in sections, (rule["alert"], anchor)
        section = sections[rule["annotations"]["runbook"].partition("#")[2]]
        assert rule["alert"] in section, rule["alert"]
    assert set(re.findall(r"`(Tributary[A-Z]\w+)`", _PAGE)) <= {rule["alert"] for rule in _RULES}


def test_every_run_book_says_what_is_seen_meant_done_and_when_it_is_over() -> None:
    for anchor in {rule["annotations"]["runbook"].partition("#")[2] for rule in _RULES} - {"rolling-upgrade"}:
        for heading in ("**You see**", "**Over**"):
            assert heading in _sections()[anchor], (anchor, heading)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", _PAGE):
        path, _, anchor = target.partition("#")
        assert (_ROOT / "docs" / path).exists(), target
        assert not anchor or anchor in _sections(), target
    for path in re.findall(r"`(\.\./[\w./-]+)`", _PAGE):
        assert (_ROOT / "docs" / path).exists(), path


def _commands() -> Iterator[list[str]]:
    for line in re.findall(r"(?:^|`)tributary ([a-z][^`\n]*)", "\n".join(_spans()), re.MULTILINE):
        yield line.split()
    for line in re.findall(
        r"^by_hand \S+ \S+ \S+ (.+)$|docker compose run --rm migrate ([^`\n]+)", _PAGE, re.MULTILINE
    ):
        yield (line[0] or line[1]).split()


def test_every_command_and_option_exists() -> None:
    commands = list(_commands())
    assert len(commands) > 10
    for words in commands:
        command: Any = get_command(app)
        rest = list(words)
        while hasattr(command, "commands"):
            assert rest, words
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words


def test_every_route_exists() -> None:
    routes = set()
    for service in SERVICES:
        document = json.loads((_ROOT / "docs" / "openapi" / f"{service}.json").read_text(encoding="utf-8"))
        routes |= {re.sub(r"\{\w+\}", "*", path) for path in document["paths"]}
    named = re.findall(r"(?:\$API|(?:GET|POST|PUT) |:8001)(/[\w/${}-]+)", _PAGE)
    assert len(named) > 8
    for route in named:
        path = re.sub(r"\{\w+\}|\$[A-Z]+|(?<=/)\d+(?=/)", "*", route).replace("SERVICE", "credit")
        assert path in routes | {"/metrics"}, route


def _metrics() -> Iterator[str]:
    family: Metric
    for family in REGISTRY.collect():
        for suffix in _SAMPLES.get(family.type, ("",)):
            yield f"{family.name}{suffix}"


def test_every_metric_exists() -> None:
    told = set(re.findall(r"\btributary_[a-zA-Z_]+", _PAGE)) - _OF_THE_SERVERS
    assert len(told) > 10
    assert told - set(_metrics()) == set()


def test_every_name_in_backticks_is_one_of_the_code() -> None:
    words = {span for span in _spans() if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|[A-Z][a-z]+([A-Z][a-z]+)+", span)}
    assert len(words) > 40
    assert {
        word for word in words - _FOREIGN_WORDS - set(_metrics()) if not re.search(rf"\b{word}\b", _code())
    } == set()


def test_what_is_refused_or_stops_a_job_is_named_by_its_code() -> None:
    refusals = re.findall(r"^\| (?:\d{3} `(\w+)`|`(\w+)` \| (?:relay|inbox)) \|", _PAGE, re.MULTILINE)
    assert len(refusals) > 8
    assert {one or other for one, other in refusals} - _codes() == set()


@pytest.mark.parametrize(
    "error",
    [
        TopicLost(shard="scf.credit.drawdown.v1-3"),
        OffsetGone("…"),
        OutboxBehind(shard="…", record=OnTopic(topic="…", subject="…", sequence=0, id="…")),
        TooManyFailures(),
        SequenceTaken(record=OnTopic(topic="…", subject="…", sequence=0, id="…")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_error_says_is_quoted_as_it_says_it(error: Exception) -> None:
    page = " ".join(re.sub(r"^> ?", "", _PAGE, flags=re.MULTILINE).split())
    said = re.split(r"…|#0", str(error))[-1].strip(" ):,;(")
    assert said.partition(". Restore again")[0] in page


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", _PAGE, re.MULTILINE))
    assert set(rows) == known_variables()
    for field in Settings.model_fields.values():
        default = getattr(field.default, "get_secret_value", lambda value=field.default: value)()
        shown = "–" if default in {"", None} else f"`{default}`"
        assert rows[str(field.validation_alias)] == shown, field.validation_alias


def test_the_lease_lasts_as_long_as_is_said() -> None:
    page = " ".join(_PAGE.split())
    assert f"a lease lasts {LEASE_S:g} seconds" in page
    assert f"its leases last {LEASE_S:g}" in page
    (rule,) = [rule for rule in _RULES if rule["alert"] == "TributaryNoRelayOwner"]
    assert f"lease lasts {LEASE_S:g} seconds" in rule["annotations"]["description"]


def test_every_variable_is_a_setting() -> None:
    named_here = set(re.findall(r"\b(?:TRIBUTARY|KAFKA|DATABASE|OTEL)_[A-Z_]+\b", _PAGE)) - {
        "DATABASE_SECRET",
        "KAFKA_USER",
    }
    assert named_here - known_variables() - _FOREIGN_VARIABLES == set()


def test_the_connections_are_those_of_the_pools(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, server_url="postgresql://nobody@127.0.0.1:1/none")
    rows = re.findall(r"^\| API of ([\w, ]+) \| (\d+)", _PAGE, re.MULTILINE)
    told = {service: int(number) for services, number in rows for service in services.split(", ")}
    assert told == {
        service: build(settings).fastapi.state.database._engine.pool.size() for service, build in builds().items()
    }


def test_the_job_made_of_a_workers_pod_finds_there_what_it_changes() -> None:
    container = container_of(named("overlays/production", "Deployment", "settlement-worker"))
    variables = {each["name"] for each in container["env"]}
    block = _sections()["how-to-look-how-to-act"]
    changed = set(re.findall(r'\.name == "([A-Z_]+)"', block))
    assert changed == {"DATABASE_URL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}
    assert changed <= variables
    for path in re.findall(r"\.(startupProbe|readinessProbe|livenessProbe|ports)\b", block):
        assert path in container


def test_the_figures_have_their_place() -> None:
    _, _, after = _PAGE.partition("<!-- figures: bench journey -->")
    table, ended, _ = after.partition("<!-- end of figures -->")
    assert ended
    keys = set(re.findall(r"^\| .+ \| `(\w+)` \|", table, re.MULTILINE))
    journey = (_ROOT / "tributary" / "bench" / "journey.py").read_text(encoding="utf-8")
    texts = {node.value for node in ast.walk(ast.parse(journey)) if isinstance(node, ast.Constant)}
    assert keys
    assert keys <= texts
