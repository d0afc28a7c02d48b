"""What a drawdown is for and whom it pays: purposes, payee, evidence, entrusted payment (DOMAIN §5)."""

from __future__ import annotations

from typing import Any

from shared.events.credit import DrawdownApproved, DrawdownHeld
from shared.values.ids import new_id
from tests.integration.credit.world import World, cny

_DIGEST = "ab" * 32
_BIG = {
    "limit": cny("90000000.00"),
    "upstream_limit": cny("90000000.00"),
    "auto_approve_up_to": cny("90000000.00"),
    "pricing_policy": "pricing",
}


async def _payee(world: World, **changes: Any) -> dict[str, Any]:
    """Register a firm to pay; return what a drawdown says of it."""
    enterprise_id = new_id()
    await world.hear(world.firm(enterprise_id, name="Mill"))
    payee = {"enterprise_id": enterprise_id, "account": f"ACC-{enterprise_id[-4:]}", **changes}
    return {"payee": payee, "evidence": [{"kind": "contract", "reference": "C-7", "digest": _DIGEST}]}


async def test_payee_and_evidence_go_with_the_drawdown_to_whoever_pays(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    said = await _payee(world)
    document = await world.receivable(supplier)
    answer = await world.draw(supplier, [document], "1000.00", purpose="raw material", **said)
    drawdown = answer.json()["drawdown_id"]
    await world.hear(world.assigned(drawdown))
    shown = await world.drawdown(drawdown)
    assert (shown["state"], shown["purpose"]) == ("approved", "materials")
    assert (shown["payee"], shown["evidence"]) == (said["payee"], said["evidence"])
    async with world.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT body FROM outbox WHERE subject = $1 ORDER BY sequence", drawdown)
    held = DrawdownHeld.model_validate_json(rows[0][0])
    approved = DrawdownApproved.model_validate_json(rows[1][0])
    assert held.payee is not None
    assert held.payee.model_dump() == said["payee"]
    assert [each.model_dump() for each in held.evidence] == said["evidence"]
    assert {"enterprise_id": approved.payee_id, "account": approved.payee_account} == said["payee"]
    assert approved.evidence == held.evidence


async def test_a_payee_whom_nobody_registered_or_at_another_account_is_a_persons_to_weigh(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    cases = [
        (await _payee(world, enterprise_id=new_id()), "payee_not_registered"),
        (await _payee(world, account="SOMEWHERE-ELSE"), "payee_account_not_registered"),
    ]
    for said, reason in cases:
        document = await world.receivable(supplier)
        drawdown = (await world.draw(supplier, [document], "1000.00", **said)).json()["drawdown_id"]
        await world.hear(world.assigned(drawdown))
        found = await world.drawdown(drawdown)
        assert (found["state"], found["reason"]) == ("referred", reason)
    borrowers = await _payee(world, account=f"ACC-{supplier[-4:]}")
    document = await world.receivable(supplier)
    drawdown = (await world.draw(supplier, [document], "1000.00", **borrowers)).json()["drawdown_id"]
    await world.hear(world.assigned(drawdown))
    assert "payee_account_is_the_borrowers" in (await world.drawdown(drawdown))["reason"]


async def test_above_the_threshold_a_loan_is_paid_to_a_payee_with_evidence_never_to_the_borrower(world: World) -> None:
    await world.begin(**_BIG)
    await world.hear(world.rating(world.anchor, cap="90000000.00"))
    supplier = await world.supplier(cap="90000000.00", traded="90000000.00")
    said = await _payee(world)
    async with world.database.transaction() as tx:
        # The line's own quota (propagation's policy) lies below the threshold: here it does not.
        await tx.pg.execute("UPDATE limit_node SET sanctioned_minor = 9000000000 WHERE node_id LIKE 'line/%'")
    document = await world.receivable(supplier, amount="20000000.00")
    refused = [
        {},
        {"payee": said["payee"]},
        {"evidence": said["evidence"]},
        {**said, "payee": {"enterprise_id": supplier, "account": "ACC"}},
    ]
    for each in refused:
        answer = await world.draw(supplier, [document], "10000000.01", **each)
        assert (answer.status_code, answer.json()["code"]) == (422, "entrusted_payment_needs_payee"), answer.text
    assert answer.json()["above"] == {"amount": "10000000.00", "currency": "CNY"}
    assert (await world.draw(supplier, [document], "10000000.01", **said)).status_code == 201
    other = await world.receivable(supplier, amount="20000000.00")
    assert (await world.draw(supplier, [other], "10000000.00")).status_code == 201


async def test_what_is_bought_pays_its_seller_and_a_distributors_loan_its_anchor(world: World) -> None:
    await world.begin(recourse=False)
    supplier = await world.supplier()
    said = await _payee(world)
    document = await world.receivable(supplier)
    answer = await world.draw(supplier, [document], "1000.00", **said)
    assert (answer.status_code, answer.json()["code"]) == (422, "payee_not_allowed")
    distributor = new_id()
    await world.hear(
        world.firm(distributor),
        world.rating(distributor),
        world.link(world.anchor, distributor),
        world.member(distributor, direction="downstream", support="0.500000"),
        world.agreement(distributor),
    )
    owed = await world.receivable(world.anchor, obligor_id=distributor)
    answer = await world.draw(distributor, [owed], "1000.00", **said)
    assert (answer.status_code, answer.json()["code"]) == (422, "payee_not_allowed")
    assert (await world.draw(distributor, [owed], "1000.00")).status_code == 201
