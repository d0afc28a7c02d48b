"""The price over HTTP: what a firm's record does to it, what a quote binds, and how much of the anchor reaches it."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

from services.credit.operations import track_records
from services.credit.queries import metering
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened, LoanClosed
from shared.values.ids import new_id
from shared.values.rates import parse_rate
from tests.integration.credit.world import OPEN, World

NEXT = date(2026, 3, 3)
AFTER = date(2027, 3, 2)


async def _quote(world: World, firm: str, *, principal: str = "1000.00", **of: Any) -> dict[str, Any]:
    body = {
        "line_id": (await world.line_of(firm))["line_id"],
        "documents": [{"kind": "receivable", "document_id": await world.receivable(firm, **of)}],
        "principal": {"amount": principal, "currency": "CNY"},
    }
    async with world.bench.caller("sme", party=firm) as sme:
        answer = await sme.post("/quotes", json=body)
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "body": body}


async def _component(world: World, firm: str, name: str, **of: Any) -> int:
    found = {each["name"]: each["rate"] for each in (await _quote(world, firm, **of))["components"]}
    return parse_rate(found[name])


async def _drawn(world: World, firm: str) -> str:
    drawdown = await world.held(firm, "1000.00")
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "1000.00"))
    return drawdown


async def _repaid(world: World, firm: str, *, on: date = OPEN) -> str:
    drawdown = await _drawn(world, firm)
    await world.hear(world.repaid(drawdown, "1000.00"), LoanClosed(loan_id=drawdown, closed_date=on))
    return drawdown


async def _next_day(world: World, *, closed: date = OPEN, opened: date = NEXT) -> None:
    await world.hear(BusinessDayClosed(closed_date=closed, open_date=opened))


async def test_the_life_cycle_component_falls_a_year_after_the_first_drawdown_with_the_bank(world: World) -> None:
    await world.begin()
    known, new = await world.supplier(), await world.supplier()
    assert await _component(world, known, "life_cycle") == 1_000
    await _drawn(world, known)
    assert await _component(world, known, "life_cycle") == 1_000
    await _next_day(world, opened=AFTER)
    due = date(2027, 6, 1)
    assert await _component(world, known, "life_cycle", due=due) == 500
    assert await _component(world, new, "life_cycle", due=due) == 1_000


async def test_a_repaid_drawdown_lowers_the_price_from_the_next_day_and_its_reversal_takes_that_back(
    world: World,
) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdown = await _repaid(world, supplier)
    assert await _component(world, supplier, "repeat_concession") == 0
    await _next_day(world)
    assert await _component(world, supplier, "repeat_concession") == -500
    await world.hear(world.repaid(drawdown, "-1000.00", outstanding="1000.00"))
    assert await _component(world, supplier, "repeat_concession") == 0


async def test_the_repeat_concession_counts_what_was_repaid_in_every_programme_at_the_next_draw(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    other = World(world.bench)
    await other.hear(other.firm(other.anchor, size="large"), other.rating(other.anchor), other.activated())
    await other.hear(other.link(supplier, other.anchor), other.member(supplier), other.agreement(supplier))
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"enterprise_id": supplier})).json()["items"]
    theirs = next(line["line_id"] for line in lines if line["programme_id"] == other.programme)
    ours = next(line["line_id"] for line in lines if line["programme_id"] == world.programme)

    async def rate() -> int:
        """Draw without a quote: the hot path remembers lines, and must not remember an old record."""
        document = await world.receivable(supplier, obligor_id=other.anchor)
        answer = await world.draw(supplier, [document], "1.00", line_id=theirs)
        assert answer.status_code == 201, answer.text
        return parse_rate(answer.json()["rate"])

    before = await rate()
    document = await world.receivable(supplier)
    held = (await world.draw(supplier, [document], "1000.00", line_id=ours)).json()["drawdown_id"]
    await world.hear(world.assigned(held), world.disbursed(held, "1000.00"), world.repaid(held, "1000.00"))
    await world.hear(LoanClosed(loan_id=held, closed_date=OPEN))
    assert await rate() == before
    await _next_day(world)
    assert await rate() == before - 500


async def test_r19_a_late_or_repeated_closing_counts_once(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdown = await _repaid(world, supplier)
    await world.hear(LoanClosed(loan_id=drawdown, closed_date=OPEN))
    async with world.database.reader() as tx:
        record = await tx.pg.fetchrow("SELECT * FROM track_record WHERE enterprise_id = $1", supplier)
    assert record is not None
    assert (record["repaid"], record["repaid_that_day"], record["first_drawn_date"]) == (1, 1, OPEN)


async def test_what_a_record_writes_does_not_make_every_remembered_line_old(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()

    async def version() -> int:
        async with world.database.reader() as tx:
            found = await tx.pg.fetchval(
                "SELECT version FROM limit_node WHERE node_id = $1", f"programme/{world.programme}"
            )
        return int(found)

    versions = [await version()]
    for _ in range(4):
        await _repaid(world, supplier)
        versions.append(await version())
    # The first drawdown begins the record and the first repaid one earns a concession; the third earns more.
    assert [later - earlier for earlier, later in pairwise(versions)] == [2, 0, 1, 0]


async def test_a_quote_binds_when_rating_and_day_change_and_is_refused_after_its_15_minutes(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    quote = await _quote(world, supplier)
    async with world.database.reader() as tx:
        minutes = await tx.pg.fetchval(
            "SELECT round(extract(epoch FROM valid_until - clock_timestamp()) / 60) FROM quote"
        )
    assert minutes == 15
    dear = world.rating(supplier, cap="900000.00").model_copy(update={"risk_spread": "0.100000"})
    await world.hear(dear)
    await _next_day(world)
    draw = {**quote["body"], "purpose": "wages", "quote_id": quote["quote_id"]}
    async with world.bench.caller("sme", party=supplier) as sme:
        bound = await sme.post("/drawdowns", json=draw, headers={"idempotency-key": "bound"})
    assert bound.status_code == 201, bound.text
    assert (bound.json()["rate"], bound.json()["fee"]) == (quote["rate"], quote["fee"])
    assert (await _quote(world, supplier))["rate"] > quote["rate"]
    late = await _quote(world, supplier)
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE quote SET valid_until = valid_until - interval '15 minutes'")
    draw = {**late["body"], "purpose": "wages", "quote_id": late["quote_id"]}
    async with world.bench.caller("sme", party=supplier) as sme:
        refused = await sme.post("/drawdowns", json=draw, headers={"idempotency-key": "late"})
    assert (refused.status_code, refused.json()["code"]) == (410, "quote_expired")


async def test_a_quote_binds_over_a_new_fixing_of_the_lpr_and_names_the_versions_it_was_made_by(world: World) -> None:
    await world.begin()
    await world.hear(BusinessDayOpened(open_date=date(2025, 5, 19)))
    supplier, due = await world.supplier(), date(2025, 8, 1)
    quote = await _quote(world, supplier, due=due)
    await _next_day(world, closed=date(2025, 5, 19), opened=date(2025, 5, 20))
    new = await _quote(world, supplier, due=due)
    assert (quote["policy_version"], quote["lpr_version"]) == ("pricing/2000-01", "lpr/2024-10-21")
    assert new["lpr_version"] == "lpr/2025-05-20"
    assert parse_rate(new["rate"]) == parse_rate(quote["rate"]) - 1_000
    draw = {**quote["body"], "purpose": "wages", "quote_id": quote["quote_id"]}
    async with world.bench.caller("sme", party=supplier) as sme:
        bound = await sme.post("/drawdowns", json=draw, headers={"idempotency-key": "bound"})
    assert bound.status_code == 201, bound.text
    assert bound.json()["rate"] == quote["rate"]


async def test_r23_a_quote_tells_what_the_firm_would_pay_alone_and_not_what_the_anchor_would(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    weak = world.rating(supplier, cap="900000.00").model_copy(update={"risk_spread": "0.060000"})
    await world.hear(weak)
    quote = await _quote(world, supplier)
    offered, alone = parse_rate(quote["rate"]), parse_rate(quote["stand_alone_rate"])
    assert sum(parse_rate(each["rate"]) for each in quote["stand_alone_components"]) == alone
    # With recourse the loan stands on the firm's own grade: the chain saves it the unsecured product's spread only.
    assert (offered, alone) == (95_000, 109_000)
    assert quote["passed_through"] == "0.014000"
    # What share of the anchor's advantage that is would tell the anchor's own rate.
    assert "passed_through_share" not in quote


async def test_where_the_bank_buys_without_recourse_the_anchor_s_grade_reaches_the_firm(world: World) -> None:
    await world.begin(recourse=False)
    supplier = await world.supplier()
    await world.hear(world.rating(supplier, cap="900000.00").model_copy(update={"risk_spread": "0.060000"}))
    assert (await _quote(world, supplier))["passed_through"] == "0.064000"


async def test_where_the_anchor_bears_the_interest_the_firm_pays_none(world: World) -> None:
    await world.begin(interest_payer="anchor")
    supplier = await world.supplier()
    quote = await _quote(world, supplier)
    assert quote["passed_through"] == quote["stand_alone_rate"]
    await _drawn(world, supplier)
    async with world.bench.caller("risk_officer") as bank:
        found = (await bank.get(f"/programmes/{world.programme}/pass-through")).json()
    assert (found["rate"], found["passed_through"]) == ("0.000000", found["stand_alone_rate"])


async def test_whoever_never_drew_is_found_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute("SET LOCAL session_replication_role = replica")
        await tx.pg.execute(
            """INSERT INTO track_record (enterprise_id, first_drawn_date)
            SELECT 'e' || n, '2026-01-01' FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute(
            """INSERT INTO line (line_id, programme_id, enterprise_id, direction, anchor_support)
            SELECT 'l' || n, 'p', 'e' || n, 'upstream', 0 FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE line")
        await tx.pg.execute("ANALYZE track_record")
        for nth, query in enumerate((track_records._NEWCOMERS, track_records._BORROWERS, track_records._REOPENED)):
            await tx.pg.execute(f"PREPARE nodes{nth} AS {query}")
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN EXECUTE nodes{nth}(ARRAY['w'])"))
            assert "Seq Scan on line" not in plan, plan
            assert "Seq Scan on track_record" not in plan, plan


async def test_a_programme_s_pass_through_is_weighted_by_what_is_open_tier_by_tier(world: World) -> None:
    await world.begin()
    near = await world.supplier()
    far = await world.supplier(buyer_id=near)
    weak = world.rating(far, cap="900000.00").model_copy(update={"risk_spread": "0.060000"})
    await world.hear(weak)
    for firm, principal in ((near, "3000.00"), (far, "1000.00")):
        drawdown = await world.held(firm, principal)
        await world.hear(world.assigned(drawdown), world.disbursed(drawdown, principal))
    await world.held(near, "500.00")
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.get(f"/programmes/{world.programme}/pass-through")
        missing = await bank.get(f"/programmes/{new_id()}/pass-through")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_programme")
    found = answer.json()
    assert (found["drawdowns"], found["outstanding"]["amount"]) == (2, "4000.00")
    first, second = found["tiers"]
    assert (first["tier"], first["rate"], first["stand_alone_rate"]) == (1, "0.045000", "0.059000")
    assert (second["tier"], second["rate"], second["stand_alone_rate"]) == (2, "0.097500", "0.109000")
    # The near supplier is of the anchor's grade and cheaper for its size: the anchor has nothing to pass on to it.
    assert (first["anchor_rate"], first["passed_through_share"]) == ("0.060000", None)
    assert second["passed_through_share"] == "0.234694"
    assert found["rate"] == "0.058125"
    assert found["passed_through"] == "0.013375"
    async with world.bench.caller("sme", party=near) as sme:
        assert (await sme.get(f"/programmes/{world.programme}/pass-through")).status_code == 403


async def test_an_empty_programme_has_no_pass_through_yet(world: World) -> None:
    await world.begin()
    async with world.bench.caller("risk_officer") as bank:
        found = (await bank.get(f"/programmes/{world.programme}/pass-through")).json()
    assert (found["drawdowns"], found["rate"], found["passed_through_share"], found["tiers"]) == (0, None, None, [])


async def test_what_is_open_of_a_programme_is_found_by_index_among_many_repaid(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL session_replication_role = replica")
        await tx.pg.execute(
            """INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, state, form,
                currency, principal_minor, face_minor, exposure_minor, fee_minor, rate, penalty_rate, day_count,
                start_date, due_date, maturity_date, documents, path, purpose, policy_version, product,
                product_version, command_client, command_key)
            SELECT 'w' || n, 'l', 'p' || n % 3, 'e', 'a', CASE WHEN n % 100 = 0 THEN 'utilised' ELSE 'repaid' END,
                'loan', 'CNY', 1, 1, 1, 0, 1, 1, 'ACT/360', '2026-03-02', '2026-03-02', '2026-03-02', '[]', '[]', '',
                '', '', '', 'c', n::text FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE drawdown")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute(f"PREPARE open_ones AS {metering._OPEN}")
        plan = "\n".join(row[0] for row in await tx.pg.fetch("EXPLAIN EXECUTE open_ones('p1', 365)"))
    assert "drawdown_open" in plan, plan
    assert "Seq Scan on drawdown" not in plan, plan
