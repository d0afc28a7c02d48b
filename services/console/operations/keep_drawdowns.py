"""Keep drawdowns, and what they hold and use of their line and programme."""

from __future__ import annotations

from collections.abc import Sequence

from services.console.operations.keep_feed import keep_feed
from shared.events.credit import (
    DrawdownApproved,
    DrawdownCancellationRequested,
    DrawdownHeld,
    DrawdownReferred,
    DrawdownReinstated,
    DrawdownReleased,
    DrawdownRepaid,
    DrawdownTopUpDue,
    DrawdownTopUpEnded,
    DrawdownUtilised,
)
from shared.events.envelope import Event, Received
from shared.storage.database import Transaction

_LINES = """
INSERT INTO line_exposure (line_id, programme_id, enterprise_id, currency)
SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING
"""
_PROGRAMMES = """
INSERT INTO programme_exposure AS p (programme_id, currency) SELECT DISTINCT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (programme_id) DO UPDATE SET currency = excluded.currency WHERE p.currency IS NULL
"""
_DRAWDOWNS = """
INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, currency, principal_minor,
    exposure_minor, state)
SELECT *, 'held' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[])
"""
# Before and after are read in one statement, so the difference of each drawdown reaches its line and programme.
_MOVE = """
WITH given AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) AS g(drawdown_id, minor, note)),
before AS (SELECT d.drawdown_id, d.held_minor, d.utilised_minor FROM drawdown d JOIN given USING (drawdown_id)),
after AS (UPDATE drawdown d SET {changes} FROM given g WHERE d.drawdown_id = g.drawdown_id RETURNING d.*),
moved AS (
    SELECT a.line_id, a.programme_id, sum(a.held_minor - b.held_minor)::bigint AS held,
        sum(a.utilised_minor - b.utilised_minor)::bigint AS utilised
    FROM after a JOIN before b USING (drawdown_id) GROUP BY a.line_id, a.programme_id),
lines AS (
    UPDATE line_exposure l SET held_minor = l.held_minor + m.held, utilised_minor = l.utilised_minor + m.utilised
    FROM moved m WHERE l.line_id = m.line_id)
UPDATE programme_exposure p SET held_minor = p.held_minor + m.held, utilised_minor = p.utilised_minor + m.utilised
FROM (SELECT programme_id, sum(held)::bigint AS held, sum(utilised)::bigint AS utilised FROM moved GROUP BY 1) m
WHERE p.programme_id = m.programme_id
"""
_CHANGES: dict[type[Event], str] = {
    DrawdownHeld: "held_minor = d.exposure_minor",
    DrawdownReferred: "state = 'referred', reason = g.note",
    DrawdownApproved: "state = 'approved', reason = NULL",
    DrawdownCancellationRequested: "state = 'cancelling', reason = g.note",
    DrawdownReleased: "state = 'released', held_minor = 0, reason = g.note",
    # A late payment of a released drawdown uses the line all the same: an incident, not an error.
    DrawdownUtilised: """state = 'utilised', held_minor = 0, utilised_minor = d.exposure_minor,
        disbursed_minor = g.minor,
        incident = CASE d.state WHEN 'released' THEN 'disbursed_after_release'
            WHEN 'cancelling' THEN 'disbursed_while_cancelling' ELSE d.incident END""",
    # A purchase's face shrinks in proportion to what is open; after a reversal more is open than before.
    DrawdownReinstated: """state = CASE g.minor WHEN 0 THEN d.state ELSE 'utilised' END,
        utilised_minor = coalesce(div(d.exposure_minor::numeric * g.minor, nullif(d.disbursed_minor, 0)), 0)::bigint""",
    DrawdownTopUpDue: "top_up_minor = g.minor",
    DrawdownTopUpEnded: "top_up_minor = 0",
    DrawdownRepaid: "state = 'repaid', utilised_minor = 0, top_up_minor = 0",
}
_STATEMENTS = {kind: _MOVE.replace("{changes}", changes) for kind, changes in _CHANGES.items()}


async def open_drawdowns(tx: Transaction, events: Sequence[Received]) -> None:
    """Open a drawdown that holds; its line and programme may not have been told of yet."""
    await keep_feed(tx, events)
    held = [each.event for each in events if isinstance(each.event, DrawdownHeld)]
    lines, programmes = [each.line_id for each in held], [each.programme_id for each in held]
    enterprises, currencies = [each.enterprise_id for each in held], [each.principal.currency for each in held]
    await tx.pg.execute(_LINES, lines, programmes, enterprises, currencies)
    await tx.pg.execute(_PROGRAMMES, programmes, currencies)
    await tx.pg.execute(
        _DRAWDOWNS,
        [each.drawdown_id for each in held],
        lines,
        programmes,
        enterprises,
        [each.obligor_id for each in held],
        currencies,
        [each.principal.minor for each in held],
        [each.held.minor for each in held],
    )
    await _move(tx, events)


async def move_drawdowns(tx: Transaction, events: Sequence[Received]) -> None:
    """Move drawdowns on; all events are of one type, and no drawdown comes twice."""
    await keep_feed(tx, events)
    await _move(tx, events)


async def _move(tx: Transaction, events: Sequence[Received]) -> None:
    said = [each.event for each in events if each.event]
    await tx.pg.execute(
        _STATEMENTS[type(said[0])],
        [each.subject for each in said],
        [_minor(each) for each in said],
        [_note(each) for each in said],
    )


def _minor(event: Event) -> int:
    match event:
        case DrawdownUtilised():
            return event.principal.minor
        case DrawdownReinstated():
            return event.outstanding.minor
        case DrawdownTopUpDue():
            return event.lacking.minor
        case _:
            return 0


def _note(event: Event) -> str | None:
    match event:
        case DrawdownReferred():
            return ",".join(event.reasons)
        case DrawdownReleased() | DrawdownCancellationRequested():
            return event.reason
        case _:
            return None
