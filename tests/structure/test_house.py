"""The house keeps its shape: rooms, sizes, who commits, who may call what, which rules are tested."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.runtime.settings import Settings
from shared.web.auth import unclassified_routes
from tests.support.order import LONGEST_FIRST, TESTS
from tributary.embedded.setup import PAGE_FILES
from tributary.services import SERVICES, builds

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("shared", "services", "tributary", "tests")
_MOST_LINES = 400
_ROOMS = {
    "values": {"money", "ids", "rates", "periods", "calendars", "policies"},
    "events": {
        "envelope", "topics", "onboarding", "receivables", "credit_notes", "goods", "risk", "credit", "settlement",
        "audit", "schemas",
    },
    "messaging": {
        "outbox", "relay", "relay_rows", "inbox", "inbox_rows", "applying", "kafka", "pipeline", "ddl", "backlog",
        "read_back", "parked", "retention",
    },
    "storage": {"database", "idempotency", "group_commit", "audit", "approvals", "paging"},
    "web": {
        "problems", "auth", "callers", "describing", "issuer", "health", "serving", "approvals", "parked", "metrics",
    },
    "runtime": {
        "settings", "clock", "leases", "timers", "jobs", "offload", "telemetry", "tracing", "spans", "metrics",
        "failpoints", "garbage",
    },
}  # fmt: skip
_SERVICE_ROOMS = {
    "main", "worker", "api", "consumers", "timers", "schemas", "queries", "operations", "domain", "tables",
    "migrations", "templates", "assets", "locales",
}  # fmt: skip
# What this release does not build: the payment terms of State Council Order 802.
_RULES_TO_COME = {16}


def _files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((_ROOT / folder).rglob("*.py"))


def _names(folder: Path) -> set[str]:
    return {each.stem for each in folder.iterdir() if not each.name.startswith(("__", "."))}


def test_shared_has_exactly_its_rooms() -> None:
    assert _names(_ROOT / "shared") == set(_ROOMS)
    assert {room: _names(_ROOT / "shared" / room) for room in _ROOMS} == _ROOMS


def test_every_service_has_the_same_rooms() -> None:
    folders = {path.name for path in (_ROOT / "services").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(SERVICES)
    for service in SERVICES:
        assert _names(_ROOT / "services" / service) <= _SERVICE_ROOMS, service
        assert {"main", "worker", "domain", "migrations"} <= _names(_ROOT / "services" / service), service


def test_no_file_is_longer_than_a_person_reads() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _files(*_CODE)}
    assert {str(path.relative_to(_ROOT)): n for path, n in lengths.items() if n > _MOST_LINES} == {}


def test_no_room_is_called_after_nothing_in_particular() -> None:
    vague = {"utils.py", "util.py", "exceptions.py", "helpers.py", "common.py", "misc.py", "base.py"}
    assert [path for path in _files(*_CODE) if path.name in vague] == []


def test_only_the_database_room_commits() -> None:
    commits = re.compile(r"""\.commit\(|["']\s*COMMIT\b""", re.IGNORECASE)
    found = [
        path.relative_to(_ROOT).as_posix()
        for path in _files("shared", "services", "tributary")
        if commits.search(path.read_text(encoding="utf-8"))
    ]
    assert [path for path in found if path not in _MAY_COMMIT] == []


# The baseline of a bench is what others do, by hand; a consumer's commit shows its lag in Kafka's own tools.
_MAY_COMMIT = {"shared/storage/database.py", "shared/messaging/inbox.py", "tributary/bench/row_lock.py"}


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (r"BaseHTTPMiddleware", "halves the throughput: pure ASGI only"),
        (r"\blifespan=(?!\"off\")|\.on_event\(", "never runs in a mounted app"),
        (r"auto_offset_reset=\"(?!none|earliest)", "an offset that is gone must be loud"),
        (r"enable_auto_commit=True", "offsets belong into the inbox' transaction"),
        (r"\bfrom queue import|time\.sleep\(", "would stop the loop"),
        (r"asyncio\.wait_for\(", "loses a cancellation that comes together with what it waits for: asyncio.timeout"),
    ],
)
def test_what_a_prototype_paid_for_is_nowhere(word: str, why: str) -> None:
    allowed = {"tributary/embedded/processes.py", "shared/runtime/offload.py"}
    found = [
        path.relative_to(_ROOT).as_posix()
        for path in _files("shared", "services", "tributary")
        if "bench" not in path.parts and re.search(word, path.read_text(encoding="utf-8"))
    ]
    assert [path for path in found if path not in allowed] == [], why


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_says_who_may_call_it(service: str, tmp_path: Path) -> None:
    settings = Settings.model_construct(
        server_url="postgresql://nobody@127.0.0.1:1/none", bootstrap_servers="127.0.0.1:1", home=tmp_path
    )
    app = builds([service])[service](settings)
    try:
        assert unclassified_routes(app.fastapi) == []
    finally:
        await app.aclose()


def test_every_rule_that_is_built_has_a_test_that_names_it() -> None:
    named = set()
    for path in _files("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                named |= {int(number) for number in re.findall(r"_r(\d+)(?=_)", node.name)}
    assert sorted(set(range(1, 26)) - _RULES_TO_COME - named) == []
    assert sorted(named & _RULES_TO_COME) == [], "built after all: take it off the list of what is to come"


def test_every_silenced_check_says_why() -> None:
    silent = []
    for path in _files(*_CODE):
        with tokenize.open(path) as source:
            for token in tokenize.generate_tokens(source.readline):
                if token.type == tokenize.COMMENT and _SILENCES.search(token.string):
                    reason = _SILENCES.sub("", token.string).strip(" #-:,.")
                    if len(reason) < 5:
                        silent.append(f"{path.relative_to(_ROOT)}:{token.start[0]} {token.string}")
    assert silent == []


_SILENCES = re.compile(r"#\s*noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|#\s*type:\s*ignore(\[[\w\-, ]+\])?")


def test_every_ignored_lint_rule_says_why() -> None:
    text = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.isort]")]
    rules = [line for line in lint.splitlines() if re.match(r'\s+"[A-Z]+\d*"', line)]
    assert rules
    assert [line for line in rules if not re.search(r"#\s*\S.{7,}", line)] == []


def test_every_command_that_the_readme_names_exists() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    commands = set(re.findall(r"^@(?:\w+_)?app\.command\((?:\"(\w+)\")?\)\s+def (\w+)", _CLI, re.MULTILINE))
    known = {given or name for given, name in commands} | {"events", "kafka"}
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bmake ([a-z]+)\b", readme)) <= targets | {"sure"}
    assert set(re.findall(r"(?:bin/|`)tributary ([a-z]+)", readme)) <= known
    assert {"run", "demo", "test", "setup", "check", "faults", "up"} <= targets
    assert {"up", "demo", "verify", "bench", "check", "tail", "show", "republish"} <= known


_CLI = (_ROOT / "tributary" / "cli.py").read_text(encoding="utf-8")


def test_the_locks_name_no_address() -> None:
    for name in ("requirements.lock", "jars.lock"):
        assert "://" not in (_ROOT / name).read_text(encoding="utf-8"), name


def test_ci_calls_what_the_readme_names() -> None:
    lines = (_ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("exec")] == ["exec make test"]


def test_the_files_that_begin_first_are_there() -> None:
    assert [file for file in LONGEST_FIRST if not (TESTS / file).is_file()] == []


def test_set_up_fetches_for_the_pages_what_they_load_and_nothing_else() -> None:
    pages = _ROOT / "services" / "console" / "templates" / "page.html"
    loaded = set(re.findall(r'"([\w.]+\.(?:js|css))"', pages.read_text(encoding="utf-8")))
    ours = {path.name for path in (_ROOT / "services" / "console" / "assets").iterdir()}
    assert loaded - ours == {Path(name).name for name in PAGE_FILES}
