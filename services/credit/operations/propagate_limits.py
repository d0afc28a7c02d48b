"""Propagate a programme's limit to its lines: read, compute, write `sanctioned` under the programme's lock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from services.credit.domain.limits import Node
from services.credit.operations.keep_history import keep_programmes
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, renew_version, sanction
from services.credit.operations.product_quotas import sanction_quotas
from services.credit.operations.programme_facts import (
    Computed,
    ComputedLine,
    Facts,
    compute,
    read_facts,
    read_links,
    sanctions,
)
from shared.events.credit import LimitPropagated, LineChanged
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.database import Transaction
from shared.values.money import Amount

# Only lines of which anything is new are written, each with its history.
_WRITE_LINES = """
WITH written AS (
    UPDATE line l SET tier = n.tier, volume_minor = n.volume, weight = n.weight, floor_minor = n.floor,
        ceiling_minor = n.ceiling, reserved_minor = n.reserved, cap_minor = n.cap, drawable = n.drawable,
        reasons = string_to_array(n.reasons, ','), bounds = n.bounds::jsonb, policy_version = $12
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bool[], $10::text[], $11::text[])
        AS n(line_id, tier, volume, weight, floor, ceiling, reserved, cap, drawable, reasons, bounds)
    WHERE l.line_id = n.line_id
        AND (l.tier, l.volume_minor, l.weight, l.floor_minor, l.ceiling_minor, l.reserved_minor, l.cap_minor,
            l.drawable, l.reasons, l.bounds, l.policy_version)
        IS DISTINCT FROM (n.tier, n.volume, n.weight, n.floor, n.ceiling, n.reserved, n.cap, n.drawable,
            string_to_array(n.reasons, ','), n.bounds::jsonb, $12)
    RETURNING l.*)
INSERT INTO line_history (line_id, since, direction, anchor_support, tier, volume_minor, weight, floor_minor,
    ceiling_minor, reserved_minor, cap_minor, bounds, drawable, reasons, policy_version)
SELECT line_id, statement_timestamp(), direction, anchor_support, tier, volume_minor, weight, floor_minor,
    ceiling_minor, reserved_minor, cap_minor, bounds, drawable, reasons, policy_version FROM written
ON CONFLICT (line_id, since) DO NOTHING
"""


async def propagate_limits(tx: Transaction, *, programme_ids: Sequence[str], cause: str) -> None:
    """Propagate each programme anew; only lines that changed produce an event. What was due of them is done."""
    names = sorted(set(programme_ids))
    rows = await tx.pg.fetch(
        """SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p
        WHERE programme_id = ANY($1) ORDER BY programme_id FOR UPDATE OF p""",
        names,
    )
    # Under the lock, before anything is read: a note that is not seen here stays, and what it tells of is read next.
    await tx.pg.execute("DELETE FROM due_propagation WHERE programme_id = ANY($1)", names)
    links = {each: await read_links(tx, currency=each) for each in sorted({row["currency"] for row in rows})}
    read = [await read_facts(tx, row, links=links[row["currency"]]) for row in rows]
    for each in read:
        await create_nodes(tx, nodes=each.nodes(), currency=each.terms.currency)
    # All programmes' nodes in one statement: root first, or two propagations could wait for each other.
    nodes = await lock_nodes(tx, node_ids={node_id for each in read for _, node_id in each.nodes()})
    for each in read:
        await _propagate_one(tx, each, nodes, cause)
    await keep_programmes(tx, programme_ids=[each.programme["programme_id"] for each in read])


async def _propagate_one(tx: Transaction, facts: Facts, nodes: Mapping[str, Node], cause: str) -> None:
    computed = compute(facts, nodes)
    amounts = sanctions(facts, computed.lines)
    await sanction(tx, amounts)
    await note_overuse(tx, node_ids=amounts, cause=cause)
    await sanction_quotas(tx, programme=facts.programme, terms=facts.terms, cause=cause)
    await renew_version(tx, programme_id=facts.programme["programme_id"])
    await _write(tx, facts, computed, cause=cause)


async def _write(tx: Transaction, facts: Facts, computed: Computed, *, cause: str) -> None:
    programme_id, terms, lines = facts.programme["programme_id"], facts.terms, computed.lines
    result, policy = computed.result, computed.policy
    await tx.pg.execute(
        _WRITE_LINES,
        [line.row["line_id"] for line in lines],
        [line.reach.tier if line.reach else None for line in lines],
        [line.reach.volume_minor if line.reach else 0 for line in lines],
        [line.given.weight for line in lines],
        [line.given.floor for line in lines],
        [line.given.ceiling for line in lines],
        [line.share.reserved for line in lines],
        [line.share.cap for line in lines],
        [not line.reasons for line in lines],
        [",".join(line.reasons) for line in lines],
        [json.dumps(line.bounds) for line in lines],
        policy.version,
    )
    await tx.pg.execute(
        "UPDATE programme SET shortfall_minor = $2, pool_minor = $3 WHERE programme_id = $1",
        *(programme_id, result.shortfall, result.pool),
    )
    changed = [line for line in lines if line.changed]
    events: list[Event] = [_line_changed(line, programme_id, terms.currency) for line in changed]

    def amount(minor: int) -> Amount:
        return Amount.of(amount_minor=minor, currency=terms.currency)

    events.append(
        LimitPropagated(
            programme_id=programme_id,
            limit=terms.limit,
            pool=amount(result.pool),
            reserved=amount(result.reserved),
            shortfall=amount(result.shortfall),
            changed_lines=len(changed),
            cause=cause,
            policy_version=policy.version,
        )
    )
    await append(tx, events, source="credit")


def _line_changed(line: ComputedLine, programme_id: str, currency: str) -> LineChanged:
    return LineChanged(
        line_id=line.row["line_id"],
        programme_id=programme_id,
        enterprise_id=line.row["enterprise_id"],
        tier=line.reach.tier if line.reach else 0,
        direction=line.row["direction"],
        cap=Amount.of(amount_minor=line.share.cap, currency=currency),
        cap_before=Amount.of(amount_minor=line.row["cap_minor"], currency=currency),
        drawable=not line.reasons,
        reasons=list(line.reasons),
    )
