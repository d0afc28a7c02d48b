"""Two towns that play the same rounds: one of processes that die, one of a single process that nothing happens to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.plan import Round, plan
from tests.faults.play import Player, playing
from tests.faults.report import Report
from tests.faults.state import state_of
from tests.faults.town import SECOND, Name, Town
from tributary.services import SERVICES

_EPOCHS = "SELECT coalesce(sum(epoch - 1), 0)::bigint FROM lease WHERE name LIKE 'scf.%'"
_COPIES = "SELECT coalesce(sum(duplicates), 0)::bigint FROM inbox_stats"


class Stage:
    """The two towns and what is still to be played on them."""

    def __init__(self, disturbed: Player, reference: Player, rounds: Sequence[Round]) -> None:
        """Begin before the first round."""
        self.disturbed = disturbed
        self.town = disturbed.town
        self._reference = reference
        self._rounds = iter(rounds)
        self._played: list[Round] = []

    async def play(self) -> None:
        """Play the next round on the town that is disturbed."""
        one = next(self._rounds)
        await self.disturbed.play(one)
        self._played.append(one)

    async def check(self) -> None:
        """Play on the other town what was played on this one; fail unless both are the same, and all is well."""
        for armed in self.town.armed.values():
            armed.board.disarm()
        for one in self._played:
            await self._reference.play(one)
        self._played.clear()
        await self.town.ready()
        await self.disturbed.check(await state_of(self._reference.town))


@asynccontextmanager
async def staged(
    folder: Path, report: Report, *, apart: Sequence[Name], twins: Sequence[Name], seed: int, rounds: int
) -> AsyncIterator[Stage]:
    """Open both towns while the block runs, and report in the end what the processes passed and saw."""
    rounds_of_both = plan(seed=seed, rounds=rounds)
    for name in ("disturbed", "reference"):
        (folder / name).mkdir()
    async with (
        playing(folder / "reference", rounds_of_both, Report()) as reference,
        playing(folder / "disturbed", rounds_of_both, report, apart=apart, twins=twins) as disturbed,
    ):
        stage = Stage(disturbed, reference, rounds_of_both)
        try:
            yield stage
        finally:
            await _tell(stage.town, report)


async def expired_leases(town: Town) -> int:
    """Return how often shards were taken over from an owner whose lease had run out or was given up."""
    return sum(await asyncio.gather(*(town.databases[service].fetchval(_EPOCHS) for service in SERVICES)))


async def copies_skipped(town: Town) -> int:
    """Return how many records came a second time."""
    return sum(await asyncio.gather(*(town.databases[service].fetchval(_COPIES) for service in SERVICES)))


async def _tell(town: Town, report: Report) -> None:
    for armed in town.armed.values():
        name = armed.name.removesuffix(SECOND)
        for failpoint, n in armed.board.passed().items():
            if n:
                report.reached(name, failpoint, n)
        for failpoint, n in armed.board.died().items():
            if n:
                report.killed(name, failpoint, n)
        for situation, n in armed.board.witnessed().items():
            report.hit(situation, n)
        report.hit("restart under load", armed.starts - 1)
    report.hit("expired lease", await expired_leases(town))
    report.hit("copy skipped", await copies_skipped(town))
