"""I4: every ledger transaction balances per currency, and postings are append-only (R20)."""

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
    for row in await tx.pg.fetch(_TOTALS):
        result.notes.append(f"{row['currency']}: {row['debit']} debit, {row['credit']} credit in minor units")
    return result
