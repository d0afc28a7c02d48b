"""What the documents for engineers say of the tree is there: topics, files, decisions, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.console.consumers import PUBLISHERS
from shared.events.envelope import EVENT_TYPES
from tributary.services import SERVICES

_ROOT = Path(__file__).resolve().parents[2]
_ARCHITECTURE = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_DOCUMENTS = [
    *(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/README.md")),
    *sorted((_ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("service", SERVICES)
def test_the_architecture_names_what_each_service_publishes(service: str) -> None:
    row = re.search(rf"^\| {service} \| .* \| (.*) \|$", _ARCHITECTURE, re.MULTILINE)
    assert row, service
    publishers = {module.__name__ for module in PUBLISHERS}
    topics = [kind.topic.split(".") for kind in EVENT_TYPES.values() if kind.__module__ in publishers]
    assert set(re.findall(r"\w+", row[1])) == {name for _, who, name, _ in topics if who == service}


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|csv|json|yaml))`", _ARCHITECTURE))
    kept = [
        path.as_posix()
        for folder in ("shared", "services", "tributary", "tests", "docs", "deploy", "policies")
        for path in (_ROOT / folder).rglob("*")
        if path.is_file()
    ]
    assert len(named) > 40
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in kept)] == []


def test_every_decision_is_in_the_index_and_names_a_check() -> None:
    folder = _ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == pages
    for line in index.splitlines():
        if line.startswith("| [0"):
            assert line.split("|")[3].strip(), line


def test_every_link_of_the_documents_leads_somewhere() -> None:
    links = [
        (document, target)
        for document in _DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    ]
    assert len(links) > 40
    assert [
        f"{document.name}: {target}"
        for document, target in links
        if "://" not in target and not (document.parent / target).exists()
    ] == []
