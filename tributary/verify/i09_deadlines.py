"""I9: no held or referred drawdown outlives its deadline by a minute, and none is both confirmed and cancelled.

Nor does one outlive the withdrawal of its documents by a minute and wait to be approved or paid, or wait at all on a
line that is blocked.
"""

from __future__ import annotations

from datetime import timedelta

from shared.events.credit import DrawdownEvent, DrawdownReleased, DrawdownUtilised
from shared.events.receivables import DocumentsWithdrawn
from shared.events.settlement import DisbursementFailed, LoanDisbursed, LoanEvent
from tributary.verify.result import GRACE_S, Result
from tributary.verify.snapshots import World

NAME = "deadlines; one end each"

_OVERDUE = """
SELECT drawdown_id, state, expires_at FROM drawdown
WHERE state IN ('held', 'referred') AND (expires_at IS NULL OR expires_at < $1)
"""
_WITHDRAWN = """
SELECT a.drawdown_id, max(o.time) AS since FROM assignment a
JOIN outbox_kept o ON o.topic = $1 AND o.subject = a.drawdown_id AND o.type = $2
WHERE a.state = 'withdrawn' GROUP BY a.drawdown_id
"""
_GOING_ON = """
SELECT drawdown_id, state FROM drawdown WHERE drawdown_id = ANY($1) AND state IN ('held', 'referred', 'approved')
ORDER BY drawdown_id
"""
# Of one snapshot: a block ends what waits on its lines in the commit that makes it.
_BLOCKED = """
SELECT w.drawdown_id, w.state, b.block_id FROM block b CROSS JOIN LATERAL (
    SELECT drawdown_id, state FROM drawdown WHERE line_id = b.subject
    UNION ALL SELECT drawdown_id, state FROM drawdown WHERE enterprise_id = b.subject) AS w
WHERE b.lifted_at IS NULL AND w.state IN ('held', 'referred', 'approved') ORDER BY w.drawdown_id
"""
_BOTH = """
SELECT subject, count(*) FILTER (WHERE type = $2) AS confirmed,
    max(sequence) FILTER (WHERE type = $3) > min(sequence) FILTER (WHERE type = $2) AS cancelled_afterwards
FROM outbox_kept WHERE topic = $1 AND type IN ($2, $3) GROUP BY subject
HAVING bool_or(type = $2) AND bool_or(type = $3) OR count(*) FILTER (WHERE type = $2) > 1
"""


async def check(world: World) -> Result:
    """Look at credit's clock and at what credit and settlement have said."""
    result, tx = Result(), world.state["credit"]
    result.checked = await tx.pg.fetchval("SELECT count(*) FROM drawdown")
    async for row in tx.pg.cursor(_OVERDUE, world.now - timedelta(seconds=GRACE_S)):
        until = row["expires_at"].isoformat(timespec="seconds") if row["expires_at"] else "nothing"
        result.violate(f"drawdown {row['drawdown_id']} is still {row['state']}; its deadline was {until}")
    for row in await tx.pg.fetch(_BLOCKED):
        result.violate(f"drawdown {row['drawdown_id']} is {row['state']} on a line that is blocked ({row['block_id']})")
    await _withdrawn(world, to=result)
    drawdown = (DrawdownEvent.topic, DrawdownUtilised.type, DrawdownReleased.type)
    await _one_end(
        world, "credit", drawdown, incident="SELECT incident FROM drawdown WHERE drawdown_id = $1", to=result
    )
    loan = (LoanEvent.topic, LoanDisbursed.type, DisbursementFailed.type)
    await _one_end(world, "settlement", loan, incident="SELECT incident FROM loan WHERE loan_id = $1", to=result)
    return result


async def _withdrawn(world: World, *, to: Result) -> None:
    """Find what goes on although its documents were withdrawn; for a minute the withdrawal may be on its way."""
    kind = (DocumentsWithdrawn.topic, DocumentsWithdrawn.type)
    rows = await world.state["receivables"].pg.fetch(_WITHDRAWN, *kind)
    since = {row["drawdown_id"]: row["since"] for row in rows}
    for row in await world.state["credit"].pg.fetch(_GOING_ON, list(since)):
        what = f"drawdown {row['drawdown_id']} is {row['state']} though its documents were withdrawn,"
        to.fly(what, age_s=world.age_s(since[row["drawdown_id"]]))


async def _one_end(world: World, service: str, kinds: tuple[str, str, str], *, incident: str, to: Result) -> None:
    """Find what was confirmed twice, or cancelled too; money that came after a release is a named incident."""
    rows = await world.outboxes[service].pg.fetch(_BOTH, *kinds)
    for row in rows:
        if row["confirmed"] > 1:
            to.violate(f"{service}: {row['subject']} was confirmed {row['confirmed']} times")
            continue
        # The outbox is read later than the state, and so must be the incident that it tells of.
        async with world.databases[service].reader() as tx:
            named = await tx.pg.fetchval(incident, row["subject"])
        if row["cancelled_afterwards"] or not named:
            to.violate(f"{service}: {row['subject']} is both confirmed and cancelled")
