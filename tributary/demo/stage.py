"""The stage: each step is named, timed and checked, and the limits around it are seen before and after."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.values.money import Amount
from tributary.demo.client import NothingHappened, Refused

Nodes = Mapping[str, Mapping[str, Any]]
LEVELS = ("group", "programme", "obligor", "line")


class Unexpected(AssertionError):
    """A step did not have the effect that it must have."""


class StoryStopped(Exception):
    """A step failed, and what follows stands on it."""


def expect(holds: object, what: str) -> None:
    """Refuse to go on when the expected effect is not there; Unexpected."""
    if not holds:
        raise Unexpected(what)


@dataclass
class Change:
    """One limit before and after a step: what could be drawn, what is used."""

    level: str
    node_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hop:
    """Events of one type in a step: how many, and when the first happened after the step's first."""

    name: str
    count: int
    after_ms: int

    def __str__(self) -> str:
        """Return it as a reader sees it: drawdown.held, line.changed ×5 +12 ms."""
        many = f" ×{self.count}" if self.count > 1 else ""
        return f"{self.name}{many}" + (f" +{self.after_ms} ms" if self.after_ms else "")


@dataclass
class Step:
    """What one step did."""

    name: str
    said: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    lacked: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    hops_ms: int = 0
    ok: bool = False
    ms: int = 0
    error: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def say(self, text: str) -> None:
        """Record what happened, for the table."""
        self.said.append(text)

    def lack(self, text: str) -> None:
        """Record what the folder lacked and what was made up instead."""
        self.lacked.append(text)

    @property
    def text(self) -> str:
        """Return all that was said."""
        return "; ".join([*self.said, *(f"lacking: {text}" for text in self.lacked)])


@dataclass
class Stage:
    """Runs steps one after the other; `look` returns the limit nodes once there are any."""

    look: Callable[[], Awaitable[Nodes]] | None = None
    steps: list[Step] = field(default_factory=list)
    told: Callable[[Step], None] = lambda _: None

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Step]:
        """Run one step: record what it changed; StoryStopped when it fails."""
        before = await self._nodes()
        step = Step(name)
        self.steps.append(step)
        started = time.monotonic()
        try:
            yield step
            step.ok = True
        except (Refused, NothingHappened, Unexpected, httpx.HTTPError) as failed:
            step.error = str(failed) or type(failed).__name__
        step.ms = round((time.monotonic() - started) * 1000)
        after = await self._nodes()
        step.ended_at = datetime.now(UTC)
        step.changes = _changes(before, after)
        self.told(step)
        if not step.ok:
            raise StoryStopped(name)

    async def _nodes(self) -> Nodes:
        return await self.look() if self.look is not None else {}


def _changes(before: Nodes, after: Nodes) -> list[Change]:
    found = []
    for node_id, node in sorted(after.items()):
        level = node_id.split("/", 1)[0]
        if level in LEVELS and before.get(node_id) != node:
            found.append(Change(level, node_id, before.get(node_id), node))
    return sorted(found, key=lambda change: LEVELS.index(change.level))


def money(amount: Mapping[str, str]) -> str:
    """Return an amount as a reader expects it: 1,000.00 CNY."""
    whole, dot, decimals = amount["amount"].partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{decimals} {amount['currency']}"


def minor(amount: Mapping[str, str]) -> int:
    """Return the minor units of an amount on the wire."""
    return Amount(**amount).minor


def wire(amount_minor: int, currency: str) -> dict[str, str]:
    """Return the wire shape of minor units."""
    return Amount.of(amount_minor=amount_minor, currency=currency).model_dump()
