"""Hot statements keep to their indexes, however many rows there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from services.receivables import queries
from services.receivables.operations import (
    choose,
    follow_loans,
    invoice_orders,
    issue_voucher,
    locking,
    match_orders,
    pay,
    take_documents,
    take_notes,
)
from services.receivables.queries import batches, credit_notes, payments
from shared.storage.database import packed
from tests.integration.receivables.desk import ANCHOR, SUPPLIER, Desk, desk
from tests.support.servers import a_database

MANY = 20_000
FILL = (
    """INSERT INTO enterprise SELECT 'e' || n, 'firm ' || n, 'firm ' || n FROM generate_series(0, 499) n""",
    f"""INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type,
        syntax, profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state,
        reasons, policy_version, drawdown_id)
    SELECT 'r' || lpad(n::text, 9, '0'), 'e' || n % 400, 'e' || 400 + n % 100, 'N' || n, 'n' || n, 2026, '380', 'ubl',
        '', '', '2026-09-01', '2026-12-01', 'CNY', 100, 100, '',
        CASE WHEN n % 2 = 0 THEN 'financed' ELSE 'confirmed' END, '{{}}', 'intake/2000-01',
        CASE WHEN n % 2 = 0 THEN 'd' || n END FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    """INSERT INTO voucher (root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date)
    SELECT 'v' || substr(receivable_id, 2), (SELECT programme_id FROM programme), obligor_id, receivable_id, 'CNY', 100,
        due_date FROM receivable WHERE state = 'confirmed'""",
    """INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
    SELECT 's' || substr(v.root_id, 2), v.root_id, 0, 100, r.seller_id, 'live' FROM voucher v JOIN receivable r
        USING (receivable_id)""",
    """INSERT INTO transfer (transfer_id, root_id, slice_id, amount_minor, transferor_id, transferee_id,
        trade_reference, state)
        SELECT 't' || substr(slice_id, 2), root_id, slice_id, 1, holder_id, 'e1', 'x', 'accepted'
        FROM slice WHERE holder_id <> 'e1'""",
    f"""INSERT INTO trade_order (order_id, seller_id, buyer_id, side, number, number_key, syntax, issue_date, due_date,
        currency, amount_minor, open_minor, lines, state, drawdown_id)
    SELECT 'o' || lpad(n::text, 9, '0'), 'e' || n % 400, 'e' || 400 + n % 100, 'purchase', 'P' || n, 'p' || n, 'json',
        '2026-09-01', '2026-12-01', 'CNY', 100, 100, '[]', CASE WHEN n % 2 = 0 THEN 'financed' ELSE 'confirmed' END,
        CASE WHEN n % 2 = 0 THEN 'd' || n END FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    """INSERT INTO citation (receivable_id, buyer_id, seller_id, number_key, lines)
    SELECT receivable_id, obligor_id, seller_id, 'p' || substr(number_key, 2), '[]' FROM receivable""",
    """INSERT INTO payment (receivable_id, reference, amount_minor, payee, paid_date, actor)
    SELECT receivable_id, 'T', 1, 'seller', '2026-10-01', 'x' FROM receivable""",
    f"""INSERT INTO credit_note (credit_note_id, seller_id, obligor_id, number, number_key, issue_year, document_type,
        syntax, profile, file, issue_date, currency, amount_minor, cites, cited_keys, state, reasons, actor)
    SELECT 'c' || lpad(n::text, 9, '0'), 'e' || n % 400, 'e' || 400 + n % 100, 'C' || n, 'c' || n, 2026, '381', 'ubl',
        '', '', '2026-10-01', 'CNY', 1, '[]', ARRAY['x' || n],
        CASE WHEN n % 200 = 0 THEN 'referred' ELSE 'rejected' END,
        '{{invoice_not_known}}', 'x' FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    """INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor, credit_note_id)
    SELECT 'r' || substr(credit_note_id, 2), number, 1, 'x', 'x', credit_note_id FROM credit_note""",
    """INSERT INTO decision_batch (batch_id, kind, party, state, many, totals, digest, actor)
    VALUES ('b1', 'confirmation', 'e407', 'done', 1, '[]', 'x', 'x')""",
    f"""INSERT INTO decision_item (batch_id, nth, asked, receivable_id, outcome)
    SELECT 'b1', n, 'x', 'r' || lpad(n::text, 9, '0'), 'confirmed' FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    """INSERT INTO order_invoice (receivable_id, order_id, amount_minor)
    SELECT receivable_id, 'o' || substr(receivable_id, 2), 100 FROM receivable""",
    """INSERT INTO delivery (delivery_id, order_id, kind, number, number_key, syntax, issue_date, lines)
    SELECT 'x' || substr(order_id, 2), order_id, 'receipt', 'R', 'r', 'json', '2026-10-01', '[]' FROM trade_order""",
    "ANALYZE",
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


# Plans are only read: one filled database serves them all.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    home = tmp_path_factory.mktemp("plans")
    async with a_database(postgres_url, f"plans{uuid4().hex[:12]}") as url, desk(url, home) as made:
        async with made.bench.database.transaction() as tx:
            for statement in FILL:
                await tx.pg.execute(statement)
        yield made


HOT: list[tuple[str, str, tuple[Any, ...]]] = [
    ("a page of the bank's receivables", queries._ALL, ("", "", 101)),
    ("a page of a seller's receivables", queries._OWN, ("", "", 101, "e7")),
    ("a page of an obligor's receivables", queries._OWN, ("r000010000", "confirmed", 101, "e407")),
    ("a page of vouchers", queries._ALL_VOUCHERS, ("", 101)),
    ("a page of a holder's vouchers", queries._OWN_VOUCHERS, ("", 101, "e7")),
    ("the slices of a page", queries._SLICES, (["v000000001"],)),
    ("a page of a party's transfers", queries._OWN_TRANSFERS, ("", 101, "e7")),
    ("namesakes at intake", take_documents._NAMESAKES, (packed(["e7"]), packed(["n7"]))),
    ("the documents of a drawdown", follow_loans._LOCK_RECEIVABLES, (["d2", "d4"],)),
    ("the slices of a drawdown", follow_loans._LOCK_SLICES, (["d2"],)),
    ("a page of the bank's orders", queries._ALL_ORDERS, ("", "", 101)),
    ("a page of a firm's orders", queries._OWN_ORDERS, ("", "", 101, "e7")),
    ("what was invoiced of an order", queries._INVOICES_OF, ("o000000007",)),
    ("what was delivered of an order", queries._DELIVERIES_OF, ("o000000007",)),
    ("how an invoice matches", queries._MATCH, ("r000000007",)),
    ("orders by their claims", locking.FIND_ORDERS, (["e407"], ["e7"], ["p7"])),
    ("invoices that cite orders", match_orders.CITING, (["o000000007"],)),
    ("which cited orders to lock", invoice_orders._CITING, (["r000000007"],)),
    ("the orders of a drawdown", follow_loans._LOCK_ORDERS, (["d2", "d4"],)),
    ("the receivables of a drawdown and beneath it", follow_loans._LOCK_BENEATH, (["d2", "d4"],)),
    ("a page of a firm's credit notes", credit_notes.OWN, ("", "", 101, "e7")),
    ("a page of the bank's credit notes", credit_notes.ALL, ("", "referred", 101)),
    ("what a waiting note may mean", credit_notes.CANDIDATES, ("c000000200",)),
    ("which receivables a note may mean", take_notes._TARGETS, (["e7"], ["n7"])),
    ("notes whose invoice came", take_notes.WAITING, (["invoice_not_known"],)),
    ("the receivables of loans that were paid", pay.OF_LOANS, (["d2", "d4"],)),
    ("what lies beneath the slices of loans that were paid", pay.OF_SLICES, (["d2", "d4"],)),
    ("what loans paid of receivables", pay._PAID_BY_LOANS, (["r000000007"], ["d2"])),
    ("what was paid on a receivable", payments._PAYMENTS, ("r000000007",)),
    ("what an obligor may confirm", choose.CHOSEN, ("e407", "e7", None, None, None, None, 10_001)),
    ("receivables by their numbers", choose.BY_NUMBER, (["e7"], ["n7"], "e407")),
    ("a page of a batch", batches.ITEMS, ("b1", 0, "", 101)),
    ("a name", "SELECT enterprise_id FROM enterprise WHERE name_key = ANY($1)", (["firm 7"],)),
]


@pytest.mark.parametrize(("what", "statement", "values"), HOT, ids=[each[0] for each in HOT])
async def test_a_hot_statement_scans_no_table(filled: Desk, what: str, statement: str, values: tuple[Any, ...]) -> None:
    async with filled.bench.database.transaction() as tx:
        # A read from memory or an SSD: what a bank's server is told, and what many more rows come to by themselves.
        await tx.pg.execute("SET LOCAL random_page_cost = 1.1")
        plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *values))
    assert "Seq Scan on receivable" not in plan, f"{what}\n{plan}"
    assert "Seq Scan on slice" not in plan, f"{what}\n{plan}"
    assert "Seq Scan on voucher" not in plan, f"{what}\n{plan}"
    assert "Seq Scan on transfer" not in plan, f"{what}\n{plan}"
    assert "Seq Scan on enterprise" not in plan, f"{what}\n{plan}"
    for table in (
        "credit_note",
        "dilution",
        "payment",
        "decision_item",
        "trade_order",
        "citation",
        "delivery",
        "order_invoice",
    ):
        assert f"Seq Scan on {table}" not in plan, f"{what}\n{plan}"


async def test_the_outstanding_of_a_programme_is_one_sum(filled: Desk) -> None:
    async with filled.bench.database.transaction() as tx:
        found = await tx.pg.fetchval(issue_voucher._OUTSTANDING, filled.programme_id)
        locked = await locking.lock_slices(tx, ["s000000001"])
    assert found == MANY // 2 * 100
    assert list(locked) == ["s000000001"]
    assert filled.id(SUPPLIER) != filled.id(ANCHOR)
