"""Whether a table is append-only: an enabled trigger refuses UPDATE, DELETE and TRUNCATE."""

from __future__ import annotations

from shared.storage.database import Transaction

# tgtype bits: 2 BEFORE, 8 DELETE, 16 UPDATE, 32 TRUNCATE; a row trigger may leave TRUNCATE to another.
_COVERED = """
SELECT coalesce(bit_or(t.tgtype::int & 56), 0) FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype::int & 2 = 2
    AND f.prosrc LIKE '%RAISE EXCEPTION%'
"""
_ALL = 8 + 16 + 32


async def refuses_change(tx: Transaction, *, table: str) -> bool:
    """Return whether every way to change a row of the table is refused."""
    covered: int = await tx.pg.fetchval(_COVERED, table)
    return covered == _ALL
