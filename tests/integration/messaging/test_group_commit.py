"""Group commit: one transaction for many commands, each answered on its own; what made batches fail elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from shared.storage.database import Database
from shared.storage.group_commit import GroupCommit, QueueFull


class Refused(Exception):
    """A rule says no to one command."""


class Desk:
    """A handler that writes numbers set-wise, refuses odd hundreds, and chokes on duplicates and negatives."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=3)
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.kill_next = False

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(len(items))
        await self.gate.wait()
        async with self.database.transaction() as tx:
            good = [item for item in items if item < 1000]
            await tx.pg.execute("INSERT INTO kept SELECT * FROM unnest($1::int[])", good)
            if self.kill_next:
                self.kill_next = False
                await tx.pg.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return [item * 2 if item < 1000 else Refused() for item in items]

    async def kept(self) -> list[int]:
        async with self.database.reader() as tx:
            return [row["n"] for row in await tx.pg.fetch("SELECT n FROM kept ORDER BY n")]


@pytest.fixture
async def desk(empty_database: str) -> AsyncIterator[Desk]:
    made = Desk(empty_database)
    async with made.database.transaction() as tx:
        await tx.pg.execute("CREATE TABLE kept (n int PRIMARY KEY CHECK (n >= 0))")
    yield made
    await made.database.close()


async def test_what_comes_while_a_batch_commits_goes_into_the_next_one_together(desk: Desk) -> None:
    group = GroupCommit(desk, max_batch=64)
    answers = await asyncio.gather(*(group.submit(n, root="r") for n in range(200)))
    assert answers == [n * 2 for n in range(200)]
    assert len(desk.batches) <= 6
    assert max(desk.batches) <= 64
    assert await desk.kept() == list(range(200))


async def test_one_refused_and_one_poisonous_command_leave_their_neighbours_their_success(desk: Desk) -> None:
    group = GroupCommit(desk)
    commands = [1, 2, 1000, 3, -7, 4, 5]
    answers = await asyncio.gather(*(group.submit(n, root="r") for n in commands), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [2, 4, 6, 8, 10]
    assert isinstance(answers[2], Refused)
    assert isinstance(answers[4], asyncpg.CheckViolationError)
    assert await desk.kept() == [1, 2, 3, 4, 5]


async def test_a_client_that_goes_away_takes_only_a_command_that_was_not_gathered(desk: Desk) -> None:
    group = GroupCommit(desk)
    desk.gate.clear()
    gathered = [asyncio.create_task(group.submit(n, root="r")) for n in (1, 2)]
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(group.submit(n, root="r")) for n in (3, 4)]
    await asyncio.sleep(0.05)
    gathered[0].cancel()
    waiting[0].cancel()
    desk.gate.set()
    answers = await asyncio.gather(*gathered, *waiting, return_exceptions=True)
    assert [answers[1], answers[3]] == [4, 8]
    # 1 was in the batch already: it happened, whoever asks again finds it. 3 never did.
    assert await desk.kept() == [1, 2, 4]
    assert await group.submit(5, root="r") == 10


async def test_a_connection_lost_in_the_middle_is_met_by_one_rerun(desk: Desk) -> None:
    group = GroupCommit(desk)
    desk.kill_next = True
    answers = await asyncio.gather(*(group.submit(n, root="r") for n in range(5)))
    assert answers == [0, 2, 4, 6, 8]
    assert await desk.kept() == list(range(5))


async def test_a_full_queue_refuses_and_does_nothing(desk: Desk) -> None:
    group = GroupCommit(desk, max_batch=1, max_queue=2)
    desk.gate.clear()
    first = asyncio.create_task(group.submit(0, root="r"))
    await asyncio.sleep(0.02)
    queued = [asyncio.create_task(group.submit(n, root="r")) for n in (1, 2)]
    await asyncio.sleep(0.02)
    with pytest.raises(QueueFull):
        await group.submit(3, root="r")
    # Another root has a queue of its own.
    other = asyncio.create_task(group.submit(4, root="other"))
    desk.gate.set()
    assert await asyncio.gather(first, *queued, other) == [0, 2, 4, 8]
    assert await desk.kept() == [0, 1, 2, 4]


async def test_closing_answers_what_was_gathered(desk: Desk) -> None:
    group = GroupCommit(desk)
    desk.gate.clear()
    submitted = [asyncio.create_task(group.submit(n, root="r")) for n in range(3)]
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(group.aclose())
    desk.gate.set()
    await closing
    assert [task.result() for task in submitted] == [0, 2, 4]


async def test_what_is_sent_together_is_answered_in_its_order_each_on_its_own(desk: Desk) -> None:
    group = GroupCommit(desk, max_batch=4)
    alone = asyncio.create_task(group.submit(90, root="r"))
    answers = await group.submit_together([1, 1000, 2, -7, 3, 4, 5], root="r")
    assert [each if isinstance(each, int) else type(each) for each in answers] == [
        2,
        Refused,
        4,
        asyncpg.CheckViolationError,
        6,
        8,
        10,
    ]
    assert await alone == 180
    assert await desk.kept() == [1, 2, 3, 4, 5, 90]


async def test_whoever_sent_together_and_goes_away_takes_only_what_was_not_gathered(desk: Desk) -> None:
    group = GroupCommit(desk, max_batch=2)
    desk.gate.clear()
    together = asyncio.create_task(group.submit_together([1, 2, 3, 4, 5], root="r"))
    await asyncio.sleep(0.05)
    together.cancel()
    await asyncio.wait([together])
    desk.gate.set()
    assert await group.submit(6, root="r") == 12
    assert await desk.kept() == [1, 2, 6]


async def test_what_does_not_fit_together_is_refused_whole(desk: Desk) -> None:
    group = GroupCommit(desk, max_batch=1, max_queue=2)
    with pytest.raises(QueueFull):
        await group.submit_together([1, 2, 3], root="r")
    assert await group.submit_together([4, 5], root="r") == [8, 10]
    assert await desk.kept() == [4, 5]
