"""What may be drawn on: receivables, vouchers and their slices, and the quotes over them."""

from __future__ import annotations

from datetime import date, timedelta

from shared.events.envelope import Event
from shared.events.receivables import (
    ReceivableConfirmed,
    ReceivableRegistered,
    ReceivableSettled,
    Slice,
    VoucherIssued,
    VoucherSettled,
    VoucherTransferred,
)
from shared.values.ids import new_id
from tests.integration.credit.world import DUE, OPEN, World, cny


def _slice(holder_id: str, start: int, end: int) -> Slice:
    return Slice(slice_id=new_id(), start_minor=start, end_minor=end, holder_id=holder_id, state="live")


def _issued(world: World, receivable_id: str, part: Slice, *, root_id: str) -> Event:
    return VoucherIssued(
        root_id=root_id,
        programme_id=world.programme,
        obligor_id=world.anchor,
        receivable_id=receivable_id,
        face=cny(f"{part.end_minor // 100}.00"),
        maturity_date=DUE,
        slice=part,
    )


async def test_a_slice_uses_its_holders_path_and_not_the_lines_between(world: World) -> None:
    """DOMAIN §3: root 100, slice [60, 100) transferred to C and financed: A can still finance at most 60."""
    await world.begin(advance_rate="1.000000", recourse=False)
    first = await world.supplier()
    second = await world.supplier(buyer_id=first)
    root, receivable = new_id(), await world.receivable(first, amount="100.00")
    whole = _slice(first, 0, 10_000)
    kept, passed = _slice(first, 0, 6_000), _slice(second, 6_000, 10_000)
    await world.hear(
        _issued(world, receivable, whole, root_id=root),
        VoucherTransferred(
            root_id=root, replaced_slice_id=whole.slice_id, slices=[kept, passed], trade_reference="T-1"
        ),
    )
    before = await world.nodes()
    answer = await world.draw(second, [passed.slice_id], "40.00", kind="slice")
    assert answer.status_code == 201, answer.text
    after = await world.nodes()
    raised = {name for name in after if after[name]["held"] != before[name]["held"]}
    line = (await world.line_of(second))["line_id"]
    assert raised == {
        f"group/{world.anchor}/CNY",
        f"obligor/{world.anchor}/CNY",
        f"programme/{world.programme}",
        f"direction/{world.programme}/upstream",
        f"tier/{world.programme}/upstream/2",
        f"line/{line}",
    }
    assert {after[name]["held"]["amount"] for name in raised} == {"40.00"}
    too_much = await world.draw(first, [kept.slice_id], "60.01", kind="slice")
    assert (too_much.status_code, too_much.json()["code"]) == (422, "borrowing_base_exceeded")
    assert too_much.json()["most"]["amount"] == "60.00"
    gone = await world.draw(first, [whole.slice_id], "1.00", kind="slice")
    assert gone.json()["reason"] == "replaced"
    beneath = await world.draw(first, [receivable], "1.00")
    assert beneath.json()["reason"] == "vouchered"
    assert (await world.draw(first, [kept.slice_id], "60.00", kind="slice")).status_code == 201


async def test_a_voucher_heard_of_before_its_receivable_still_covers_it(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    receivable, whole = new_id(), _slice(supplier, 0, 10_000)
    await world.hear(_issued(world, receivable, whole, root_id=new_id()))
    await world.hear(
        ReceivableRegistered(
            receivable_id=receivable,
            seller_id=supplier,
            obligor_id=world.anchor,
            number="1",
            document_type="380",
            syntax="json",
            issue_date=OPEN,
            due_date=DUE,
            payable=cny("100.00"),
            state="validated",
            reasons=[],
        ),
        ReceivableConfirmed(
            receivable_id=receivable,
            seller_id=supplier,
            obligor_id=world.anchor,
            financeable=cny("100.00"),
            due_date=DUE,
            undertaking="none",
        ),
    )
    assert (await world.draw(supplier, [receivable], "1.00")).json()["reason"] == "vouchered"


async def test_nothing_is_drawn_on_what_is_not_confirmed_settled_paid_or_due_too_late(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    bare = new_id()
    await world.hear(
        ReceivableRegistered(
            receivable_id=bare,
            seller_id=supplier,
            obligor_id=world.anchor,
            number="1",
            document_type="380",
            syntax="json",
            issue_date=OPEN,
            due_date=DUE,
            payable=cny("100.00"),
            state="validated",
            reasons=[],
        )
    )
    settled = await world.receivable(supplier)
    part = _slice(supplier, 0, 10_000)
    root = new_id()
    await world.hear(
        ReceivableSettled(receivable_id=settled),
        _issued(world, new_id(), part, root_id=root),
        VoucherSettled(root_id=root, slice_id=part.slice_id),
    )
    late = await world.receivable(supplier, due=OPEN + timedelta(days=176))
    on_time = await world.receivable(supplier, due=OPEN + timedelta(days=175))
    past = await world.receivable(supplier, due=OPEN)
    foreign = await world.receivable(supplier, obligor_id=new_id())
    reasons = {
        bare: "not_confirmed",
        settled: "settled",
        late: "due_beyond_the_longest_tenor",
        past: "already_due",
        foreign: "obligor_not_of_this_programme",
    }
    for document, reason in reasons.items():
        answer = await world.draw(supplier, [document], "1.00")
        assert (answer.status_code, answer.json().get("reason")) == (422, reason), answer.text
    paid = await world.draw(supplier, [part.slice_id], "1.00", kind="slice")
    assert paid.json()["reason"] == "paid"
    wrong_kind = await world.draw(supplier, [on_time], "1.00", kind="slice")
    assert wrong_kind.json()["reason"] == "unknown"
    assert (await world.draw(supplier, [on_time], "1.00")).status_code == 201


async def test_a_quote_names_every_component_and_binds_its_price(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line, document = (await world.line_of(supplier))["line_id"], await world.receivable(supplier)
    body = {
        "line_id": line,
        "documents": [{"kind": "receivable", "document_id": document}],
        "principal": {"amount": "80000.00", "currency": "CNY"},
    }
    async with world.bench.caller("sme", party=supplier) as sme:
        quote = (await sme.post("/quotes", json=body)).json()
    names = [each["name"] for each in quote["components"]]
    assert names[:3] == ["lpr_1y", "risk", "product"]
    assert sum(int(each["rate"].replace(".", "")) for each in quote["components"]) == int(
        quote["rate"].replace(".", "")
    )
    assert (quote["tenor_days"], quote["maturity_date"]) == (96, date(2026, 6, 6).isoformat())
    assert (quote["policy_version"], quote["lpr_version"]) == ("pricing/2000-01", "lpr/2025-05-20")
    assert quote["all_in_rate"] > quote["rate"]
    # The firm's rating, and with it the price, changes; the quote still binds.
    await world.hear(world.rating(supplier, cap="900000.00").model_copy(update={"risk_spread": "0.100000"}))
    dear = await world.draw(supplier, [await world.receivable(supplier)], "1000.00")
    bound = await world.draw(supplier, [document], "80000.00", quote_id=quote["quote_id"])
    assert dear.json()["rate"] > quote["rate"]
    assert bound.json()["rate"] == quote["rate"]
    assert bound.json()["penalty_rate"] == quote["penalty_rate"]
    assert bound.json()["fee"] == quote["fee"]


async def test_an_expired_or_other_quote_binds_nobody(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line, document = (await world.line_of(supplier))["line_id"], await world.receivable(supplier)
    body = {
        "line_id": line,
        "documents": [{"kind": "receivable", "document_id": document}],
        "principal": {"amount": "80000.00", "currency": "CNY"},
    }
    async with world.bench.caller("sme", party=supplier) as sme:
        quote = (await sme.post("/quotes", json=body)).json()["quote_id"]
        foreign = await sme.post("/quotes", json={**body, "line_id": new_id()})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_line")
    async with world.bench.caller("sme", party=new_id()) as other:
        assert (await other.post("/quotes", json=body)).json()["code"] == "foreign_party"
    changed = await world.draw(supplier, [document], "79999.99", quote_id=quote)
    assert (changed.status_code, changed.json()["code"]) == (409, "quote_mismatch")
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE quote SET valid_until = clock_timestamp()")
    expired = await world.draw(supplier, [document], "80000.00", quote_id=quote)
    assert (expired.status_code, expired.json()["code"]) == (410, "quote_expired")
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"
