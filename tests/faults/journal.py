"""What the clients sent and what they were answered; and what of it the platform did, exactly once each.

A command whose answer is not known (no connection, no answer in time, a 5xx) is sent again at once in half of the
cases, and left alone until the end in the other half; then all are completed under the keys they had.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import httpx

from tests.faults.report import Report
from tests.faults.town import Town
from tributary.demo.client import Person

_ANSWER_WITHIN_S = 60.0
_PAUSE_S = 0.1
_SERVER_ERROR, _CONFLICT = 500, 409
# What a command leaves behind, by its kind: where to look, and for what.
_EFFECTS = {
    "draw": ("credit", "SELECT drawdown_id FROM drawdown WHERE command_key = $1"),
    "cancel": ("credit", "SELECT drawdown_id FROM drawdown WHERE drawdown_id = $1 AND state = 'released'"),
    "note": ("receivables", "SELECT reference FROM dilution WHERE reference = $1"),
    "paid": ("settlement", "SELECT entry_id FROM statement_entry WHERE entry_id = $1"),
    "limit": ("onboarding", "SELECT approval_id FROM approval WHERE approval_id = $1 AND state = 'approved'"),
    "close": ("settlement", "SELECT approval_id FROM approval WHERE approval_id = $1 AND state = 'approved'"),
}
_EVENTS = {
    "limit": ("onboarding", "programme.limit_changed.v1", "programme.limit"),
    "close": ("settlement", "business_day.closed.v1", "business_day.close"),
}


@dataclass
class Command:
    """One command: its key is the client's, and every repetition carries it and the same body."""

    kind: str
    key: str
    person: Person
    path: str
    body: Mapping[str, Any] | None
    answers: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    may_be_refused: str = ""
    unanswered: int = 0

    @property
    def settled(self) -> bool:
        """Return whether its client knows what became of it."""
        return bool(self.answers or self.refusals)


class Journal:
    """The clients of a town."""

    def __init__(self, town: Town, report: Report) -> None:
        """Begin with nothing sent."""
        self.commands: dict[str, Command] = {}
        self.failures: Counter[str] = Counter()
        self._town = town
        self._report = report

    async def send(self, command: Command, *, persistent: bool | None = None) -> Command:
        """Send a command; send it again when its answer is unknown and its key says so, where nobody else does."""
        self.commands[command.key] = command
        by_key = crc32(command.key.encode()) % 2 == 0
        await self._attempt(command)
        if not command.settled and (by_key if persistent is None else persistent):
            await self._until_settled(command)
        return command

    async def ask(self, person: Person, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send what may be sent any number of times, until it is answered."""
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            while True:
                try:
                    answer = await self._post(person, path, body, key=None)
                except httpx.TransportError as error:
                    self._note(error)
                else:
                    if answer.status_code < _SERVER_ERROR:
                        assert answer.is_success, answer.text
                        found: dict[str, Any] = answer.json()
                        return found
                await asyncio.sleep(_PAUSE_S)

    async def complete(self) -> None:
        """Look what unanswered commands left, then complete them; repeat some that were answered: the same answer."""
        await self.reconcile()
        unknown = [each for each in self.commands.values() if not each.settled]
        for command in unknown:
            found = await self.effects(command)
            self._report.hit("unanswered, one effect" if found else "unanswered, no effect")
            await self._until_settled(command)
            if found:
                self._report.hit("retried command")
        again = [each for each in self.commands.values() if each.kind in {"draw", "note", "paid"} and each.answers]
        for command in again[-4:]:
            await self._attempt(command)
            self._report.hit("retried command")

    async def reconcile(self, *, completed: bool = False) -> None:
        """Compare with what the platform holds: each success exactly one effect, each unknown none or one."""
        for command in self.commands.values():
            found = await self.effects(command)
            least = 1 if command.answers or (completed and not command.refusals) else 0
            most = 0 if command.refusals else 1
            assert all(command.may_be_refused in each for each in command.refusals), (command.key, command.refusals)
            assert command.may_be_refused or not command.refusals, (command.key, command.refusals)
            assert least <= len(found) <= most, (command.key, found, command)
            assert len(set(command.answers)) <= 1, (command.key, command.answers)
            if command.kind == "draw" and command.answers:
                assert found[0] in command.answers[0], command
        for kind, (service, event, approval) in _EVENTS.items():
            if any(each.kind == kind for each in self.commands.values()):
                await self._one_event_each(service, event, approval)

    async def effects(self, command: Command) -> list[str]:
        """Return what a command left behind."""
        service, statement = _EFFECTS[command.kind]
        return [row[0] for row in await self._town.databases[service].fetch(statement, command.key)]

    async def _one_event_each(self, service: str, event: str, approval: str) -> None:
        told = await self._town.databases[service].fetchval("SELECT count(*) FROM outbox WHERE type = $1", event)
        asked = await self._town.databases[service].fetchval(
            "SELECT count(*) FROM approval WHERE kind = $1 AND state = 'approved'", approval
        )
        assert told == asked, (event, told, asked)

    async def _until_settled(self, command: Command) -> None:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            while not command.settled:
                await asyncio.sleep(_PAUSE_S)
                await self._attempt(command)

    async def _attempt(self, command: Command) -> None:
        try:
            answer = await self._post(command.person, command.path, command.body, key=command.key)
        except httpx.TransportError as error:
            self._note(error)
            command.unanswered += 1
            return
        if answer.is_success:
            command.answers.append(answer.text)
        elif answer.status_code >= _SERVER_ERROR:
            self.failures[f"{answer.status_code} {answer.text[:100]}"] += 1
            command.unanswered += 1
        elif answer.status_code == _CONFLICT and answer.json()["code"] == "already_decided" and command.unanswered:
            command.answers.append("decided")
        else:
            command.refusals.append(answer.text)

    def _note(self, error: httpx.TransportError) -> None:
        self.failures[type(error).__name__] += 1
        if not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            self._report.hit("answer lost")

    async def _post(
        self, person: Person, path: str, body: Mapping[str, Any] | None, *, key: str | None
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {person.token}"} | ({"idempotency-key": key} if key else {})
        return await self._town.http.post(path, json=body, headers=headers)
