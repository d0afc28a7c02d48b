"""I4: every ledger transaction balances per currency, and postings are append-only (R20).

What a loan earned is what the ledger says, and of a closed one what its instalments were billed (R3). What waits in
suspense is what came into it less what two persons cleared; with what is under way it is what the ledger says (R25).
"""

from __future__ import annotations

from shared.storage.database import Transaction
from tributary.verify.append_only import refuses_change
from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "ledger balances"

_UNBALANCED = """
SELECT transaction_id, currency, sum(debit_minor)::bigint AS debit, sum(credit_minor)::bigint AS credit
FROM ledger_posting GROUP BY transaction_id, currency HAVING sum(debit_minor) <> sum(credit_minor)
"""
_EMPTY = """
SELECT t.transaction_id FROM ledger_transaction t
WHERE NOT EXISTS (SELECT FROM ledger_posting p WHERE p.transaction_id = t.transaction_id)
"""
_EARNED = """
SELECT l.loan_id, l.interest_minor, b.booked, (
    SELECT sum(i.billed_minor)::bigint FROM instalment i WHERE i.loan_id = l.loan_id) AS billed, l.state, l.form
FROM loan l CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.credit_minor - p.debit_minor), 0)::bigint AS booked
    FROM ledger_transaction t JOIN ledger_posting p USING (transaction_id)
    WHERE t.loan_id = l.loan_id AND p.account = 'interest_income') b
WHERE l.disbursed_date IS NOT NULL
"""
_WAITING = """
SELECT s.suspense_id, s.waiting_minor, s.suspense_minor - coalesce((SELECT sum(c.amount_minor) FROM clearing c
    WHERE s.suspense_id IN (c.suspense_id, c.against) AND c.state <> 'refused'), 0)::bigint AS left_minor
FROM statement_entry s WHERE s.suspense_id IS NOT NULL
"""
_SUSPENSE = """
WITH waits AS (
    SELECT CASE direction WHEN 'credit' THEN 'collections_in_suspense' ELSE 'payments_in_suspense' END AS account,
        currency, waiting_minor + coalesce((SELECT sum(c.amount_minor) FROM clearing c
            WHERE c.suspense_id = s.suspense_id AND c.state = 'ordered'), 0) AS minor
    FROM statement_entry s WHERE suspense_id IS NOT NULL),
booked AS (
    SELECT p.account, p.currency, sum(p.credit_minor - p.debit_minor)
        * CASE p.account WHEN 'collections_in_suspense' THEN 1 ELSE -1 END AS minor FROM ledger_posting p
    WHERE p.account IN ('collections_in_suspense', 'payments_in_suspense') GROUP BY 1, 2)
SELECT account, currency, coalesce(w.minor, 0)::bigint AS waits, coalesce(b.minor, 0)::bigint AS booked
FROM (SELECT account, currency, sum(minor) AS minor FROM waits GROUP BY 1, 2) w
FULL JOIN booked b USING (account, currency) WHERE coalesce(w.minor, 0) <> coalesce(b.minor, 0)
"""
_TOTALS = """
SELECT currency, sum(debit_minor)::bigint AS debit, sum(credit_minor)::bigint AS credit FROM ledger_posting
GROUP BY currency
"""


async def check(world: World) -> Result:
    """Add up every transaction in settlement's snapshot."""
    result, tx = Result(), world.state["settlement"]
    result.checked = await tx.pg.fetchval("SELECT count(*) FROM ledger_transaction")
    async for row in tx.pg.cursor(_UNBALANCED):
        result.violate(
            f"transaction {row['transaction_id']}: {row['debit']} debit, {row['credit']} credit {row['currency']}"
        )
    async for row in tx.pg.cursor(_EMPTY):
        result.violate(f"transaction {row['transaction_id']} has no postings")
    for table in ("ledger_transaction", "ledger_posting"):
        if not await refuses_change(tx, table=table):
            result.violate(f"nothing keeps {table} append-only")
    async for row in tx.pg.cursor(_EARNED):
        if row["booked"] != row["interest_minor"]:
            result.violate(f"loan {row['loan_id']}: {row['interest_minor']} of interest, {row['booked']} in the ledger")
        elif row["state"] == "closed" and row["form"] == "loan" and row["billed"] != row["interest_minor"]:
            result.violate(f"loan {row['loan_id']}: {row['interest_minor']} of interest, {row['billed']} billed")
    await _suspense(tx, result)
    for row in await tx.pg.fetch(_TOTALS):
        result.notes.append(f"{row['currency']}: {row['debit']} debit, {row['credit']} credit in minor units")
    return result


async def _suspense(tx: Transaction, result: Result) -> None:
    async for row in tx.pg.cursor(_WAITING):
        if row["waiting_minor"] != row["left_minor"]:
            waits = f"{row['waiting_minor']} waits under {row['suspense_id']}"
            result.violate(f"{waits}, {row['left_minor']} was not cleared")
    for row in await tx.pg.fetch(_SUSPENSE):
        result.violate(f"{row['account']}: {row['waits']} waits, {row['booked']} {row['currency']} in the ledger")
