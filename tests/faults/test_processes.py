"""Processes die, stop and start again under load: every command has its effect exactly once, and no limit is exceeded.

One town for all of it. Beside it another of one process plays the same commands undisturbed, and the business state of
both must be the same after every fault.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import pytest_asyncio

from tests.faults.journal import Command
from tests.faults.market import Invoice, Market, cny, invoice
from tests.faults.report import Report
from tests.faults.stage import Stage, copies_skipped, expired_leases, staged
from tests.faults.state import parked, quiet
from tests.faults.town import ALL, Armed, Name, tell
from tests.support.messaging import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600)]
_SOME: tuple[Name, ...] = (("credit", "serve"), ("credit", "work"), ("receivables", "work"), ("settlement", "work"))
_TWINS: tuple[Name, ...] = (("credit", "serve"), ("credit", "work"))
_ALL_TWINS: tuple[Name, ...] = (("credit", "serve"), *(name for name in ALL if name[1] == "work"))
_TRIES, _AT_ONCE = 3, 6


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--run-long"))


@pytest.fixture(scope="module")
def seed(report: Report) -> int:
    """Return the seed of the day, or the one that is asked for."""
    found = int(os.environ.get("TRIBUTARY_FAULT_SEED", datetime.now(UTC).toordinal()))
    report.note(f"played with TRIBUTARY_FAULT_SEED={found}")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, report: Report, seed: int, *, long: bool
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("towns")
    folder.chmod(0o755)
    apart, twins, rounds = (ALL, _ALL_TWINS, 110) if long else (_SOME, _TWINS, 8)
    async with staged(folder, report, apart=apart, twins=twins, seed=seed, rounds=rounds) as made:
        yield made


async def test_r19_a_process_may_die_at_any_failpoint_it_passes(
    stage: Stage, report: Report, seed: int, *, long: bool
) -> None:
    if long:
        # Nobody takes over: what died has to come back.
        for twin in stage.town.twins:
            stage.town.hold(twin)
    passed = await _passed_in_a_round(stage)
    cells = [(name, failpoint) for name, found in passed.items() for failpoint, n in found.items() if n]
    rng = random.Random(seed)  # noqa: S311 - a choice to be repeated, no secret
    rng.shuffle(cells)
    left = cells if long else _one_a_process(cells)
    tries = dict.fromkeys(left, 0)
    while left:
        now = _one_a_process(left)[:_AT_ONCE]
        before = {cell: _died(stage, cell) for cell in now}
        for name, failpoint in now:
            most = 1 if tries[name, failpoint] else max(1, min(4, passed[name][failpoint] // 2))
            stage.town.armed[name].board.arm(failpoint, nth=rng.randint(1, most))
        await stage.play()
        await stage.check()
        for cell in now:
            tries[cell] += 1
            assert _died(stage, cell) > before[cell] or tries[cell] < _TRIES, f"{cell} is passed no more"
        left = [cell for cell in left if cell not in before or _died(stage, cell) == before[cell]]
    report.note(f"killed at {len(tries)} of {len(cells)} places that processes pass in a round")


async def _passed_in_a_round(stage: Stage) -> dict[str, dict[str, int]]:
    """Play a round in which nothing happens; return how often each process passed each failpoint."""
    before = {name: armed.board.passed() for name, armed in stage.town.armed.items()}
    await stage.play()
    return {
        name: {failpoint: n - before[name][failpoint] for failpoint, n in armed.board.passed().items()}
        for name, armed in stage.town.armed.items()
        if not armed.held
    }


def _one_a_process(cells: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return list({name: (name, failpoint) for name, failpoint in reversed(cells)}.values())


def _died(stage: Stage, cell: tuple[str, str]) -> int:
    name, failpoint = cell
    return stage.town.armed[name].board.died()[failpoint]


async def test_r19_a_relay_that_slept_past_its_lease_marks_nothing_and_its_copies_are_skipped(
    stage: Stage, *, long: bool
) -> None:
    for twin in stage.town.twins:
        stage.town.let_go(twin)
    await stage.town.ready()
    for service in ("credit", "receivables", "settlement") if long else ("credit",):
        await _sleep_past_the_lease(
            stage, [stage.town.armed[f"{service} worker"], stage.town.armed[f"{service} worker 2"]]
        )


async def _sleep_past_the_lease(stage: Stage, pair: list[Armed]) -> None:
    before, copies = await expired_leases(stage.town), await copies_skipped(stage.town)
    stopped = {each.name: each.board.stopped() for each in pair}
    # It has read what is pending, and goes to sleep before it sends any of it. Which of the two has a shard on which
    # something happens is their own affair.
    for each in pair:
        each.board.arm("relay.read", nth=1, sign=signal.SIGSTOP)
    playing = asyncio.create_task(stage.play())

    def sleepers() -> list[Armed]:
        return [each for each in pair if each.board.stopped() > stopped[each.name]]

    async def asleep() -> bool:
        assert not playing.done() or not playing.exception()
        return bool(sleepers())

    async def taken_over() -> bool:
        return await expired_leases(stage.town) > before

    try:
        await until(asleep, within_s=60)
        for each in pair:
            each.board.disarm()
        sleeper, *others = sleepers()
        refused = sleeper.board.witnessed()["zombie mark refused"]
        for each in others:
            each.signal(signal.SIGCONT)
        await until(taken_over, within_s=60)
        await playing
    finally:
        for each in pair:
            each.signal(signal.SIGCONT)

    async def refused_and_skipped() -> bool:
        copied = await copies_skipped(stage.town) > copies
        return copied and sleeper.board.witnessed()["zombie mark refused"] > refused

    await until(refused_and_skipped, within_s=60)
    await stage.check()


async def test_r19_processes_are_asked_to_stop_one_by_one_and_no_command_is_lost(
    stage: Stage, report: Report, *, long: bool
) -> None:
    if not long:
        pytest.skip("the long run only: each has to be ready before the next one stops")
    failures = stage.disturbed.journal.failures
    failures.clear()

    async def roll() -> None:
        for armed in [each for each in stage.town.armed.values() if each not in stage.town.twins]:
            await stage.town.restart(armed)

    await _under_load(stage, roll())
    report.note(f"rolling restart: what requests met instead of an answer: {dict(failures) or 'nothing'}")
    # Nothing but a connection that was closed or not taken: no half answer, no error of the server, no silence.
    assert set(failures) <= {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}


async def test_r19_every_two_seconds_another_process_is_killed(stage: Stage, *, long: bool) -> None:
    if not long:
        pytest.skip("the long run only: it takes a minute and a half")

    async def kill() -> None:
        for _ in range(2):
            for armed in stage.town.armed.values():
                if armed.process.running is not None:
                    armed.process.running.kill()
                await asyncio.sleep(2)

    await _under_load(stage, kill())


async def _under_load(stage: Stage, disturbance: Coroutine[None, None, None]) -> None:
    """Play rounds for as long as a disturbance lasts; then all must be as if it had not been."""
    disturbing = asyncio.create_task(disturbance)
    while not disturbing.done():
        await stage.play()
    await disturbing
    await stage.check()


async def test_r19_partitions_change_hands_while_a_batch_is_applied_and_the_second_owner_drops_what_it_fetched(
    stage: Stage, *, long: bool
) -> None:
    if not long:
        pytest.skip("the long run only: it needs a second worker of receivables")
    town, first, second = stage.town, stage.town.armed["receivables worker"], stage.town.armed["receivables worker 2"]
    town.hold(second)
    before = first.board.witnessed()["rebalance during commit"]

    async def in_the_middle() -> bool:
        passed = first.board.passed()
        return passed["inbox.fetched"] > passed["inbox.committed"]

    async def changed_hands() -> bool:
        return first.board.witnessed()["rebalance during commit"] > before

    async with town.databases["receivables"].acquire() as other, other.transaction():
        # Assigning documents waits for this lock, in the middle of its transaction.
        await other.execute("LOCK TABLE assignment IN EXCLUSIVE MODE")
        playing = asyncio.create_task(stage.play())
        await until(in_the_middle, within_s=60)
        town.let_go(second)
        await until(changed_hands, within_s=60)
    await playing
    await stage.check()


@pytest.mark.parametrize(("failpoint", "effects"), [("transaction.done", 0), ("transaction.durable", 1)])
async def test_r19_a_command_whose_answer_never_came_took_effect_once_or_never_and_is_completed_under_its_key(
    stage: Stage, failpoint: str, effects: int, *, long: bool
) -> None:
    if not long:
        pytest.skip("the long run only: each time the APIs have to start again")
    market, journal = stage.town.market, stage.disturbed.journal
    await invoice(market, [Invoice(f"LEFT-{effects}", "Cedar", 50_000_00)])
    command = _draw_on(market, f"LEFT-{effects}", 20_000_00, supplier="Cedar")
    apis = [
        each for each in stage.town.armed.values() if each.process.service == "credit" and each.process.kind == "serve"
    ]
    for each in apis:
        each.board.arm(failpoint, nth=1)
    await journal.send(command, persistent=False)
    for each in apis:
        each.board.disarm()
    assert command.unanswered == 1
    assert len(await journal.effects(command)) == effects
    await stage.town.ready()
    await journal.complete()
    await quiet(stage.town)
    await stage.disturbed.check(None)


async def test_r10_two_apis_give_out_exactly_what_a_line_has_left_though_one_of_them_dies(
    stage: Stage, report: Report, *, long: bool
) -> None:
    """Which of the commands succeed is chance: no other town has the same state."""
    room, crowd = (40, 120) if long else (12, 36)
    market, journal = stage.town.market, stage.disturbed.journal
    line = await market.person("risk_officer").get(f"/credit/v1/lines/{market.lines['Amber']}")
    minor = int(Decimal(line["available"]["amount"]) * 100) // room
    await invoice(market, [Invoice(f"HOT-{n}", "Amber", 2 * minor) for n in range(crowd)])
    stage.town.armed["credit API"].board.arm("transaction.durable", nth=2)
    commands = [_draw_on(market, f"HOT-{n}", minor) for n in range(crowd)]
    await asyncio.gather(*map(journal.send, commands))
    await quiet(stage.town)
    await journal.complete()
    await quiet(stage.town)
    await stage.town.ready()
    assert stage.town.armed["credit API"].board.died()["transaction.durable"] > 0
    assert sum(bool(each.answers) for each in commands) == room
    assert sum(bool(each.refusals) for each in commands) == crowd - room
    report.hit("refused at the limit", crowd - room)
    await stage.disturbed.check(None)


async def test_r19_an_event_that_overtook_its_predecessor_waits_and_its_worker_dies_draining_it(
    stage: Stage, *, long: bool
) -> None:
    """The last one: the topic keeps what was told by hand before its turn, and verify says so for ever (I6)."""
    if not long:
        pytest.skip("the long run only: three workers have to start again")
    town, journal = stage.town, stage.disturbed.journal
    drainer = town.armed["receivables worker"]
    await invoice(town.market, [Invoice("GAP", "Birch", 50_000_00)])
    resting = [each for name, each in town.armed.items() if name.startswith(("credit worker", f"{drainer.name} "))]
    for each in resting:
        town.hold(each)
    draw = await journal.send(_draw_on(town.market, "GAP", 20_000_00, supplier="Birch"))
    drawdown_id = json.loads(draw.answers[0])["drawdown_id"]
    body = {"reason": "no need any more"}
    cancel = Command("cancel", drawdown_id, draw.person, f"/credit/v1/drawdowns/{drawdown_id}/cancel", body)
    await journal.send(cancel)
    await tell(town, subject=drawdown_id, sequence=2)

    async def waits() -> bool:
        return any("gap" in each for each in await parked(town))

    await until(waits, within_s=60)
    drainer.board.arm("drain.applied", nth=1)
    for each in resting:
        town.let_go(each)
    await town.ready()
    await quiet(town)
    assert drainer.board.died()["drain.applied"] == 1
    assert set(await stage.disturbed.check(None, but=("I6",))) == {"I6"}


def _draw_on(market: Market, number: str, minor: int, *, supplier: str = "Amber") -> Command:
    document = {"kind": "receivable", "document_id": market.receivables[number]}
    body = {"line_id": market.lines[supplier], "documents": [document], "principal": cny(minor), "purpose": "wages"}
    sme = market.person("sme", supplier)
    return Command("draw", f"draw/{number}", sme, "/credit/v1/drawdowns", body, may_be_refused="limit_exceeded")
