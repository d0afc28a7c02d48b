"""I4: every ledger transaction balances per currency, and postings are append-only (R20).

What a loan earned is what the ledger says, and of a closed one what its instalments were billed (R3).
"""

from __future__ import annotations

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
    for row in await tx.pg.fetch(_TOTALS):
        result.notes.append(f"{row['currency']}: {row['debit']} debit, {row['credit']} credit in minor units")
    return result
