"""`python -m tests.faults.armed serve|work SERVICE`: what `tributary serve|work` does, but its failpoints are armed.

It also witnesses from inside what can be seen from nowhere else; none of that changes what the process does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.messaging import inbox, inbox_rows, relay_rows
from shared.runtime import failpoints
from shared.storage.database import Transaction
from tests.faults.board import Board
from tributary.cli import main

BOARD = "TRIBUTARY_FAULT_BOARD"


class _Witness:
    """Sees what becomes of marks, fetched records and partitions."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._applying = False
        self._only_audit = False
        self._pending = relay_rows.pending
        self._mark, self._lock_offsets = relay_rows.mark, inbox_rows.lock_offsets
        self._assigned = inbox._Seek.on_partitions_assigned

    def install(self) -> None:
        witness = self

        async def assigned(listener: inbox._Seek, partitions: Any) -> None:
            if witness._applying:
                witness._board.witness("rebalance during commit")
            await witness._assigned(listener, partitions)

        failpoints.hook(self.reached)
        relay_rows.pending, relay_rows.mark = self.pending, self.mark
        inbox_rows.lock_offsets = self.lock_offsets  # type: ignore[assignment] # the inbox gives it what it fetched
        inbox._Seek.on_partitions_assigned = assigned  # type: ignore[method-assign,assignment] # the witness stands in between

    def reached(self, failpoint: str) -> None:
        if failpoint == "inbox.fetched":
            self._applying = True
        elif failpoint == "inbox.committed":
            self._applying = False
        # The heads of the audit log are always on their way, and no service hears them: of their copies none is seen.
        self._board.reached(failpoint, idle=failpoint.startswith("relay.") and self._only_audit)

    async def pending(self, tx: Transaction, *, floors: Mapping[str, int]) -> list[Any]:
        rows = await self._pending(tx, floors=floors)
        self._only_audit = all(row["topic"].endswith(".audit.v1") for row in rows)
        return rows

    async def mark(self, tx: Transaction, *, rows: Sequence[Any], **given: Any) -> int:
        marked = await self._mark(tx, rows=rows, **given)
        epochs = given["epochs"]
        held = await tx.pg.fetchval(
            "SELECT count(*) FROM lease JOIN unnest($1::text[], $2::bigint[]) AS l(name, epoch) USING (name, epoch)",
            list(epochs),
            list(epochs.values()),
        )
        if rows and marked == 0 and held < len(epochs):
            self._board.witness("zombie mark refused")
        return marked

    async def lock_offsets(self, tx: Transaction, *, partitions: Mapping[Any, Any]) -> dict[Any, int]:
        current = await self._lock_offsets(tx, partitions=partitions)
        stale = [each for each, batch in partitions.items() if batch[0].offset != current[each]]
        if stale:
            self._board.witness("stale fetch dropped", len(stale))
        return current


if __name__ == "__main__":
    _Witness(Board(Path(os.environ[BOARD]))).install()
    main()
