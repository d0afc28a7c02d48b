"""How often each failpoint and each rare situation was really hit: a summary, and a verdict in the long run.

A pytest plugin of the whole run: under xdist the workers' counts are added up where the run's end is told.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.failpoints import FAILPOINTS
from tests.faults.situations import SITUATIONS

_FOLDER = Path(__file__).resolve().parent
_OUTPUT, _PATH = "fault_report", "TRIBUTARY_FAULT_REPORT"
_SEPARATOR = "|"


class Report:
    """What one test run met."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.situations: Counter[str] = Counter()
        self.passed: Counter[tuple[str, str]] = Counter()
        self.died: Counter[tuple[str, str]] = Counter()
        self.notes: list[str] = []

    def hit(self, situation: str, n: int = 1) -> None:
        """Count a rare situation, which must be one of SITUATIONS."""
        SITUATIONS[situation]
        self.situations[situation] += n

    def reached(self, service: str, failpoint: str, n: int = 1) -> None:
        """Count how often a process of a service came through a failpoint."""
        FAILPOINTS[failpoint]
        self.passed[service, failpoint] += n

    def killed(self, service: str, failpoint: str, n: int = 1) -> None:
        """Count a process of a service that died at a failpoint."""
        FAILPOINTS[failpoint]
        self.died[service, failpoint] += n

    def note(self, sentence: str) -> None:
        """Say something at the end of the run."""
        self.notes.append(sentence)

    def add(self, other: dict[str, Any]) -> None:
        """Add what another process met."""
        self.situations.update(other["situations"])
        self.passed.update(_keys(other["passed"]))
        self.died.update(_keys(other["died"]))
        self.notes += other["notes"]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "situations": dict(self.situations),
            "passed": {_SEPARATOR.join(cell): n for cell, n in sorted(self.passed.items())},
            "died": {_SEPARATOR.join(cell): n for cell, n in sorted(self.died.items())},
            "notes": self.notes,
        }

    def never_hit(self) -> list[str]:
        """Return the failpoints that no process came through and the situations that never came about."""
        passed = {failpoint for _, failpoint in self.passed}
        return [name for name in FAILPOINTS if name not in passed] + [
            name for name in SITUATIONS if not self.situations[name]
        ]

    def lines(self) -> Iterable[str]:
        """Return the summary, a line a failpoint and a line a situation."""
        yield "times passed (of these, died there), by failpoint and process"
        for failpoint in FAILPOINTS:
            cells = [
                f"{service} {n}" + (f" ({self.died[service, failpoint]})" if self.died[service, failpoint] else "")
                for (service, name), n in sorted(self.passed.items())
                if name == failpoint
            ]
            yield f"  {failpoint:<22} {', '.join(cells) or 'never'}"
        yield "times met, by situation"
        for name, situation in SITUATIONS.items():
            n = self.situations[name]
            later = " (the long run makes sure of it)" if situation.long and not n else ""
            yield f"  {name:<28} {n or 'never':<6} {situation.sentence}{later}"
        yield from self.notes


_KEY = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Return the recorder of this run."""
    return request.config.stash[_KEY]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = Report()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what an xdist worker met."""
    given = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if given is not None:
        node.config.stash[_KEY].add(json.loads(given))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts on, or write them; a long run that missed something has failed."""
    made = session.config.stash[_KEY]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = json.dumps(made.plain())
        return
    if path := os.environ.get(_PATH):
        Path(path).write_text(json.dumps(made.plain(), indent=2) + "\n", encoding="utf-8")
    if session.exitstatus == pytest.ExitCode.OK and _is_whole(session.config) and made.never_hit():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print how often each was hit."""
    made = config.stash[_KEY]
    if not (made.situations or made.passed):
        for note in made.notes:
            terminalreporter.write_line(note)
        return
    terminalreporter.section("faults", sep="-")
    for line in made.lines():
        terminalreporter.write_line(line)
    if _is_whole(config) and made.never_hit():
        terminalreporter.write_line(f"NEVER HIT: {', '.join(made.never_hit())}", red=True)


def _is_whole(config: pytest.Config) -> bool:
    """Return whether this is a long run of the whole folder."""
    chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "maxfail"))
    folders = [Path(argument).resolve() for argument in config.args]
    whole = any(folder == _FOLDER or folder in _FOLDER.parents for folder in folders)
    return bool(config.getoption("--run-long")) and whole and not chosen


def _keys(cells: dict[str, int]) -> dict[tuple[str, str], int]:
    return {(service, failpoint): n for name, n in cells.items() for service, _, failpoint in [name.partition("|")]}
