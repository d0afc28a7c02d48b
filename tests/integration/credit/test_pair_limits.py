"""A pair's limit over HTTP: two persons set it, what is open counts from then on, and nobody draws beyond it."""

from __future__ import annotations

import httpx

from services.credit.operations.close_drawdowns import expire_drawdowns
from services.credit.operations.propagate_due import propagate_due
from shared.values.ids import new_id
from tests.integration.credit.checks import sound
from tests.integration.credit.desk import work
from tests.integration.credit.world import World, cny


async def propose(world: World, seller: str, obligor: str, limit: str, *, subject: str = "maker") -> httpx.Response:
    body = {"seller_id": seller, "obligor_id": obligor, "reason": "reviewed"}
    async with world.bench.caller("bank_maker", subject=subject) as maker:
        return await maker.post("/pair-limits", json={**body, "limit": {"amount": limit, "currency": "CNY"}})


async def approve(world: World, proposed: httpx.Response, *, subject: str = "checker") -> httpx.Response:
    assert proposed.status_code == 201, proposed.text
    async with world.bench.caller("bank_checker", subject=subject) as checker:
        return await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


async def limit_pair(world: World, seller: str, limit: str) -> str:
    """Limit a seller's claims on the world's anchor; return the node."""
    answer = await approve(world, await propose(world, seller, world.anchor, limit))
    assert answer.status_code == 200, answer.text
    await propagate_due(world.database)
    return f"pair/{seller}/{world.anchor}/CNY"


async def standing(world: World, node: str) -> tuple[str, str, str]:
    """Return what is held, used and short of a node."""
    told = (await world.nodes())[node]
    return told["held"]["amount"], told["utilised"]["amount"], told["shortfall"]["amount"]


async def test_r22_two_persons_limit_a_pair_and_a_refusal_names_it(world: World) -> None:
    await world.begin()
    firm, other = await world.supplier(), await world.supplier()
    proposed = await propose(world, firm, world.anchor, "1000.00")
    assert (await approve(world, proposed, subject="maker")).json()["code"] == "own_proposal"
    assert f"pair/{firm}/{world.anchor}/CNY" not in await world.nodes()
    assert (await approve(world, proposed)).status_code == 200
    node = f"pair/{firm}/{world.anchor}/CNY"
    refused = await world.draw(firm, [await world.receivable(firm)], "1000.01")
    assert (refused.status_code, refused.json()["binding_node"]) == (409, node)
    assert refused.json()["available"]["amount"] == "1000.00"
    await world.held(firm, "1000.00")
    await world.held(other, "2000.00")
    assert await standing(world, node) == ("1000.00", "0.00", "0.00")
    assert await world.told(node) == ["limit.pair_changed"]
    line = await world.line_of(firm)
    assert (line["binding_node"], line["available"]["amount"]) == (node, "0.00")
    await sound(world)


async def test_what_is_open_counts_at_once_and_its_repayment_lowers_a_node_that_came_later(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    paid, held, released = [await world.held(firm, "300.00", amount="1000.00") for _ in range(3)]
    async with world.bench.caller("sme", party=firm) as sme:
        key = {"idempotency-key": new_id()}
        assert (
            await sme.post(f"/drawdowns/{released}/cancel", json={"reason": "late"}, headers=key)
        ).status_code == 200
    await world.hear(world.assigned(paid), world.disbursed(paid, "300.00"), world.repaid(paid, "100.00"))
    node = await limit_pair(world, firm, "250.00")
    # R12: the limit is below what is open; both go on.
    assert await standing(world, node) == ("300.00", "200.00", "250.00")
    refused = await world.draw(firm, [await world.receivable(firm)], "1.00")
    assert refused.json()["binding_node"] == node
    await world.hear(world.repaid(paid, "200.00"))
    assert await standing(world, node) == ("300.00", "0.00", "50.00")
    # R11: a reversal uses again; and money that went out although the hold was released is used too.
    await world.hear(world.repaid(paid, "-50.00"), world.disbursed(released, "300.00"))
    assert await standing(world, node) == ("300.00", "350.00", "400.00")
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE drawdown SET expires_at = clock_timestamp() WHERE drawdown_id = $1", held)
    assert await expire_drawdowns(world.database) == 1
    assert await standing(world, node) == ("0.00", "350.00", "100.00")
    await sound(world)


async def test_r12_a_hold_is_looked_at_again_where_its_pair_was_limited_below_it(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    held = await world.held(firm, "300.00")
    await limit_pair(world, firm, "100.00")
    await world.hear(world.assigned(held))
    found = await world.drawdown(held)
    assert (found["state"], found["reason"]) == ("referred", "limit_cut_below_use")


async def test_one_pair_s_limit_is_shared_by_every_programme_of_the_anchor(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    node = await limit_pair(world, firm, "500.00")
    await world.held(firm, "400.00", amount="1000.00")
    first, world.programme = world.programme, new_id()
    await world.hear(world.activated(), world.member(firm), world.agreement(firm))
    async with world.bench.caller("risk_officer") as bank:
        lines = (await bank.get("/lines", params={"enterprise_id": firm})).json()["items"]
    (line,) = [each["line_id"] for each in lines if each["programme_id"] != first]
    refused = await world.draw(firm, [await world.receivable(firm)], "101.00", line_id=line)
    assert (refused.json()["binding_node"], refused.json()["available"]["amount"]) == (node, "100.00")
    assert (await world.draw(firm, [await world.receivable(firm)], "100.00", line_id=line)).status_code == 201
    await sound(world)


async def test_in_distributor_finance_the_anchor_sells_and_the_distributor_owes(world: World) -> None:
    await world.begin()
    dealer = new_id()
    await world.hear(
        *(world.firm(dealer), world.rating(dealer), world.link(world.anchor, dealer)),
        *(world.member(dealer, direction="downstream", support="0.300000"), world.agreement(dealer)),
    )
    assert (await approve(world, await propose(world, world.anchor, dealer, "70.00"))).status_code == 200
    document = await world.receivable(world.anchor, obligor_id=dealer)
    refused = await world.draw(dealer, [document], "70.01")
    assert refused.json()["binding_node"] == f"pair/{world.anchor}/{dealer}/CNY"
    assert (await world.draw(dealer, [document], "70.00")).status_code == 201


async def test_an_explanation_tells_the_pair_and_one_of_before_does_not(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    line = (await world.line_of(firm))["line_id"]
    async with world.bench.caller("sme", party=firm) as sme:
        before = (await sme.get(f"/lines/{line}/explanation")).json()
        node = await limit_pair(world, firm, "0.00")
        now = (await sme.get(f"/lines/{line}/explanation")).json()
        zh = (await sme.get(f"/lines/{line}/explanation", params={"language": "zh"})).json()
        then = (await sme.get(f"/lines/{line}/explanation", params={"as_of": before["as_of"]})).json()
        again = (await sme.get(f"/lines/{line}/explanation", params={"as_of": now["as_of"]})).json()
    assert "the limit of seller and obligor binds" in now["text"]
    assert "交易对手额度" in zh["text"]
    assert [each["node_id"] for each in now["nodes"]][-1] == node
    assert now["nodes"][-1]["sanctioned"]["amount"] == "0.00"
    assert then["nodes"] == before["nodes"]
    assert again["nodes"] == now["nodes"]


async def test_what_if_knows_the_pair_and_the_list_pages(world: World) -> None:
    await world.begin()
    firms = sorted([await world.supplier() for _ in range(3)])
    nodes = [await limit_pair(world, firm, "10.00") for firm in firms]
    async with world.bench.caller("risk_officer") as bank:
        path = f"/programmes/{world.programme}/what-if"
        supposed = (await bank.post(path, json={"changes": []})).json()
        first = (await bank.get("/pair-limits", params={"limit": 2})).json()
        rest = (await bank.get("/pair-limits", params={"limit": 2, "cursor": first["next"]})).json()
        mine = (await bank.get("/pair-limits", params={"enterprise_id": firms[1]})).json()["items"]
    assert {each["before"]["available"]["amount"] for each in supposed["lines"]} == {"10.00"}
    assert [each["node_id"] for each in first["items"] + rest["items"]] == nodes
    assert [(each["seller_id"], each["obligor_id"]) for each in mine] == [(firms[1], world.anchor)]


async def test_a_limit_needs_two_known_firms_and_no_less_than_nothing(world: World) -> None:
    await world.begin()
    firm = await world.supplier()
    for seller, obligor, limit, told in (
        (firm, new_id(), "1.00", (404, "unknown_enterprise")),
        (firm, firm, "1.00", (422, "no_pair")),
        (firm, world.anchor, "-1.00", (422, "invalid_amount")),
    ):
        answer = await propose(world, seller, obligor, limit)
        assert (answer.status_code, answer.json()["code"]) == told


async def test_r10_draws_from_several_processes_never_pass_the_limit_of_a_pair_that_is_set_meanwhile(
    world: World,
) -> None:
    await world.begin(auto_approve_up_to=cny("0.00"))
    firm = await world.supplier()
    line = (await world.line_of(firm))["line_id"]
    documents = [await world.receivable(firm, amount="100.00") for _ in range(60)]
    held = [await world.held(firm, "10.00", amount="100.00") for _ in range(10)]
    approvals = [(await propose(world, firm, world.anchor, f"{each}.00")).json()["approval_id"] for each in (300, 155)]
    draws = [
        {"do": "hold", "key": each, "party": firm, "line": line, "document": each, "principal": 1_000}
        for each in documents
    ]
    cancels = [{"do": "cancel", "drawdown": each} for each in held]
    limits = [{"do": "decide", "approval": each} for each in approvals]
    desks = [draws[:20] + limits[:1], cancels + draws[20:40], limits[1:] + draws[40:]]
    done = [each for desk in await work(world.database.url, desks) for each in desk]
    assert {each["code"] for each in done if "code" in each} <= {"limit_exceeded"}
    await propagate_due(world.database)
    node = f"pair/{firm}/{world.anchor}/CNY"
    async with world.database.reader() as tx:
        kept = await tx.pg.fetchrow("SELECT * FROM limit_node WHERE node_id = $1", node)
        open_minor = await tx.pg.fetchval("SELECT sum(exposure_minor)::bigint FROM drawdown WHERE state = 'held'")
        assert kept is not None
        assert kept["held_minor"] == open_minor
        # Whoever was held once the lower limit stood fitted beneath it.
        late = await tx.pg.fetchval(
            """SELECT count(*) FROM drawdown, (SELECT max(since) AS since FROM node_history WHERE node_id = $1) h
            WHERE held_at > since AND $2::bigint > $3::bigint""",
            *(node, open_minor, kept["sanctioned_minor"]),
        )
    assert late == 0
    await sound(world)
