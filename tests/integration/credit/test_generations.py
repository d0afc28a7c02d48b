"""A large programme's lines change by generations: computed beside them, flipped at once, written chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import SimpleNamespace

import pytest

from services.credit.operations import line_terms, nodes
from services.credit.operations.due_propagations import note_moved
from services.credit.operations.generations import write
from services.credit.operations.generations.carry import carry_generations
from services.credit.operations.generations.flip import MOST_ATTEMPTS, Flipped, flip
from services.credit.operations.generations.write import write_chunk
from services.credit.operations.propagate_due import propagate_due
from services.credit.operations.propagate_limits import propagate_limits
from shared.events.onboarding import ProgrammeLimitChanged
from shared.runtime import failpoints
from shared.values.ids import new_id
from tests.integration.credit import generation as by_hand
from tests.integration.credit.generation import LESS, begun, keep, laid_beside, only, state, under_lock
from tests.integration.credit.world import World
from tributary.verify import i01_limit_tree

pytestmark = pytest.mark.usefixtures("beyond")


@pytest.fixture
def beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every programme of more than one line is a large one."""
    monkeypatch.setitem(under_lock(), "lines_under_lock", 1)


async def _two(world: World) -> tuple[str, str]:
    await world.begin()
    return await world.supplier(), await world.supplier(traded="300000.00")


async def _caps(world: World, firms: Sequence[str]) -> list[str]:
    return [(await world.line_of(each))["cap"]["amount"] for each in firms]


async def _violations(world: World) -> list[str]:
    async with world.database.snapshot() as tx:
        found = await i01_limit_tree.check(SimpleNamespace(state={"credit": tx}))  # type: ignore[arg-type] # it asks for credit's snapshot alone
    return found.examples


async def test_a_limit_reaches_many_lines_as_it_reaches_few(world: World) -> None:
    firms = await _two(world)
    assert await _caps(world, firms) == ["666666.67", "333333.33"]


async def test_draws_go_on_while_a_generation_is_computed_and_meet_it_at_its_flip(world: World) -> None:
    firms = await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    assert await _caps(world, firms) == ["666666.67", "333333.33"]
    await world.held(firms[0], "500.00")
    assert await flip(world.database, programme_id=world.programme, number=number) is Flipped.FLIPPED
    # Before any line is written.
    assert await _caps(world, firms) == ["600.00", "300.00"]
    refused = await world.draw(firms[0], [await by_hand.paper(world, firms[0])], "100.01")
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_exceeded")
    assert refused.json()["binding_node"].startswith("line/")
    held = await world.draw(firms[0], [await by_hand.paper(world, firms[0])], "100.00")
    assert held.status_code == 201, held.text
    assert await _violations(world) == []
    await carry_generations(world.database)
    assert await _caps(world, firms) == ["600.00", "300.00"]
    assert await _violations(world) == []


async def test_whatever_is_read_between_flip_and_writing_is_one_generation(world: World) -> None:
    firms = await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    flipped = await by_hand.seen(world, firms)
    assert flipped["reserved"] == "900.00"
    for _ in range(2):
        assert not await write_chunk(world.database, programme_id=world.programme, number=number, lines=1)
        assert await by_hand.seen(world, firms) == flipped
        assert await _violations(world) == []
    await carry_generations(world.database)
    assert await by_hand.seen(world, firms) == flipped


async def test_the_past_sees_each_generation_whole_from_its_flip_on(world: World) -> None:
    firms = await _two(world)
    before = await by_hand.now(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    since = await by_hand.now(world)
    expected = {before: ["666666.67", "333333.33"], since: ["600.00", "300.00"]}
    for _ in range(3):
        for instant, caps in expected.items():
            assert await by_hand.caps_as_of(world, firms, instant) == caps
        await write_chunk(world.database, programme_id=world.programme, number=number, lines=1)


async def test_an_input_that_moves_between_snapshot_and_flip_has_it_computed_anew(world: World) -> None:
    firms = await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await keep(world, [world.rating(firms[0], cap="70.00")])
    assert await flip(world.database, programme_id=world.programme, number=number) is Flipped.MOVED
    assert await _caps(world, firms) == ["666666.67", "333333.33"]
    before = len(await world.told(world.programme))
    await by_hand.let_go(world)
    await carry_generations(world.database)
    assert await _caps(world, firms) == ["70.00", "830.00"]
    assert len(await world.told(world.programme)) == before + 1
    async with world.database.reader() as tx:
        assert not await tx.pg.fetchval("SELECT EXISTS (SELECT FROM due_propagation)")


async def test_inputs_that_never_rest_keep_no_generation_back_for_ever(world: World) -> None:
    firms = await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await keep(world, [world.rating(firms[0], cap="70.00")])
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE generation SET attempts = $1", MOST_ATTEMPTS)
    assert await flip(world.database, programme_id=world.programme, number=number) is Flipped.FLIPPED
    assert await _caps(world, firms) == ["600.00", "300.00"]
    await by_hand.let_go(world)
    await by_hand.carried(world)
    assert await _caps(world, firms) == ["70.00", "830.00"]


@pytest.mark.parametrize("place", ["transaction.done", "transaction.durable"])
async def test_a_crash_between_chunks_loses_no_event_and_doubles_none(world: World, place: str) -> None:
    await world.begin()
    firms = [await world.supplier() for _ in range(5)]
    lines = [(await world.line_of(each))["line_id"] for each in firms]
    before = {line: await world.told(line) for line in lines}
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    changed = await only(world, "SELECT changed_lines FROM generation")
    assert changed == len(firms)
    await write_chunk(world.database, programme_id=world.programme, number=number, lines=2)

    def die(name: str) -> None:
        if name == place:
            raise InterruptedError

    failpoints.hook(die)
    try:
        with pytest.raises(InterruptedError):
            await write_chunk(world.database, programme_id=world.programme, number=number, lines=2)
    finally:
        failpoints.hook(None)
    await by_hand.let_go(world)
    await carry_generations(world.database)
    after = {line: await world.told(line) for line in lines}
    assert sum(len(after[line]) - len(before[line]) for line in lines) == changed
    assert all(len(after[line]) - len(before[line]) <= 1 for line in lines)
    sequences = await only(
        world,
        """SELECT bool_and(many = last) FROM (SELECT count(*) AS many, max(sequence) AS last FROM outbox
        GROUP BY topic, subject) AS told""",
    )
    assert sequences
    assert await only(world, "SELECT count(*) FROM line_next") == 0


async def test_r12_what_is_drawn_while_a_share_is_computed_is_left_by_the_next_generation(world: World) -> None:
    firms = await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await world.held(firms[1], "800.00")
    await flip(world.database, programme_id=world.programme, number=number)
    line = await world.line_of(firms[1])
    assert (line["cap"]["amount"], line["shortfall"]["amount"]) == ("300.00", "500.00")
    # The generation names the cause until the node does.
    assert await _violations(world) == []
    refused = await world.draw(firms[1], [await by_hand.paper(world, firms[1])], "1.00")
    assert refused.json()["code"] == "limit_exceeded"
    await by_hand.let_go(world)
    await by_hand.carried(world)
    assert await _caps(world, firms) == ["100.00", "800.00"]
    assert await _violations(world) == []


async def test_r12_a_hold_that_a_flipped_generation_cut_below_is_referred_before_any_line_is_written(
    world: World,
) -> None:
    firms = await _two(world)
    held = await world.held(firms[0], "700.00")
    await keep(world, [world.rating(firms[0], cap="70.00")])
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    await keep(world, [world.assigned(held)])
    assert (await world.drawdown(held))["state"] == "referred"
    assert "limit_cut_below_use" in (await world.drawdown(held))["reason"]


async def test_a_line_back_in_its_limit_is_drawn_on_as_soon_as_the_generation_is_flipped(world: World) -> None:
    firms = await _two(world)
    await world.held(firms[0], "800.00")
    await world.hear(world.rating(firms[0], cap="500.00"))
    assert (await world.line_of(firms[0]))["shortfall"]["amount"] == "300.00"
    await keep(world, [world.rating(firms[0], cap="5000.00")])
    number = await begun(world)
    await laid_beside(world, number)
    await flip(world.database, programme_id=world.programme, number=number)
    assert (await world.line_of(firms[0]))["cap"]["amount"] == "5000.00"
    assert await only(world, "SELECT count(*) FROM overuse WHERE until IS NULL AND node_id LIKE 'line/%'") == 0
    await by_hand.let_go(world)
    await carry_generations(world.database)
    await world.held(firms[0], "1.00")
    assert await _violations(world) == []


async def test_another_workers_generation_is_not_flipped(world: World) -> None:
    await _two(world)
    await keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LESS)])
    number = await begun(world)
    await laid_beside(world, number)
    await by_hand.let_go(world)
    later = await begun(world)
    assert later != number
    assert await flip(world.database, programme_id=world.programme, number=number) is Flipped.LOST
    await laid_beside(world, later)
    assert await flip(world.database, programme_id=world.programme, number=later) is Flipped.FLIPPED


@pytest.mark.parametrize("seed", range(6))
async def test_the_two_ways_leave_the_same(world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)  # noqa: S311 - a story, not a secret
    firms = await by_hand.crowd(world, random, many=random.randint(2, 25))
    for firm in random.sample(firms, 2):
        await by_hand.try_to_draw(world, firm, random)
    for _ in range(3):
        await world.hear(by_hand.moved(world, firms, random))
    by_generations = await state(world)
    monkeypatch.setitem(under_lock(), "lines_under_lock", 10_000)
    async with world.database.transaction() as tx:
        await propagate_limits(tx, programme_ids=[world.programme], cause="again", wholly=True)
    assert await state(world) == by_generations
    await world.hear(by_hand.moved(world, firms, random))
    under_the_lock = await state(world)
    monkeypatch.setitem(under_lock(), "lines_under_lock", 1)
    async with world.database.transaction() as tx:
        await note_moved(tx, programme_ids=[world.programme], cause="again")
    await propagate_due(world.database)
    await by_hand.carried(world)
    assert await state(world) == under_the_lock


async def test_a_generation_that_cannot_be_computed_holds_up_no_other(world: World) -> None:
    firms = await _two(world)
    broken = World(world.bench)
    broken.programme = f"0-{broken.programme}"
    await broken.begin()
    others = [await broken.supplier(), await broken.supplier()]
    await keep(world, [world.rating(others[0], cap="70.00"), world.rating(firms[0], cap="70.00")])
    await propagate_due(world.database)
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """UPDATE programme SET terms = terms || '{"propagation_policy": "lost"}' WHERE programme_id = $1""",
            broken.programme,
        )
    with pytest.raises(Exception, match="lost"):
        await carry_generations(world.database)
    assert (await _caps(world, firms))[0] == "70.00"
    assert await only(world, "SELECT array_agg(programme_id) FROM generation") == [broken.programme]


async def test_a_firm_that_is_admitted_has_its_nodes_at_once(world: World) -> None:
    await _two(world)
    firm = new_id()
    await world.hear(world.firm(firm), world.rating(firm), world.link(firm, world.anchor), world.agreement(firm))
    document = await world.receivable(firm)
    await keep(world, [world.member(firm)])
    line = await world.line_of(firm)
    assert (line["drawable"], line["reasons"]) == (False, ["not_propagated_yet"])
    refused = await world.draw(firm, [document], "1.00")
    assert refused.json()["code"] == "line_not_drawable"


async def test_what_is_in_force_of_a_line_is_found_by_index_among_a_large_generation(world: World) -> None:
    await _two(world)
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO line_next SELECT programme_id, 1, 'x' || n, direction, anchor_support, tier, volume_minor,
                weight, floor_minor, ceiling_minor, reserved_minor, cap_minor, bounds, drawable, reasons, policy_version
            FROM generate_series(1, 20000) AS n CROSS JOIN (SELECT * FROM line LIMIT 1) AS l"""
        )
        await tx.pg.execute(
            "INSERT INTO generation (programme_id, number, cause, flipped_at) VALUES ($1, 1, 'test', now())",
            world.programme,
        )
        await tx.pg.execute("ANALYZE line_next")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for nth, query in enumerate((
            "SELECT * FROM line_now WHERE line_id = ANY($1)",
            "SELECT * FROM limit_node_now WHERE node_id = ANY($1)",
            line_terms._READ,
            nodes._OVERUSED,
            write._CHUNK.replace("$1", "'p'").replace("$2", "1").replace("$3", "'x'").replace("$4", "250"),
        )):  # fmt: skip
            given = "(ARRAY['a'])" if "$1" in query else ""
            await tx.pg.execute(f"PREPARE s{nth} AS {query}")
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN EXECUTE s{nth}{given}"))
            assert "line_next_pkey" in plan, plan
            assert "Seq Scan on line_next" not in plan, plan
