"""Propagate a programme's limit to its lines: read, compute, write `sanctioned` under the programme's lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from services.credit.domain.limits import Node
from services.credit.operations.bring_in import bring_in
from services.credit.operations.due_propagations import note_moved
from services.credit.operations.keep_history import keep_programmes
from services.credit.operations.large_programmes import (
    INLINE_LINES,
    create_line_nodes,
    large_among,
    sanction_head,
)
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, renew_version, sanction
from services.credit.operations.product_quotas import sanction_quotas
from services.credit.operations.programme_facts import (
    Computed,
    Facts,
    compute,
    read_facts,
    read_head,
    sanctions,
)
from services.credit.operations.trade_links import read_trade
from shared.events.credit import LimitPropagated, LineChanged
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.database import Transaction, packed, unpacked
from shared.values.money import Amount

# Only lines of which anything is new are written, each with its history.
_WRITE_LINES = f"""
WITH written AS (
    UPDATE line l SET tier = n.tier, volume_minor = n.volume, weight = n.weight, floor_minor = n.floor,
        ceiling_minor = n.ceiling, reserved_minor = n.reserved, cap_minor = n.cap, drawable = n.drawable,
        reasons = string_to_array(n.reasons, ','), bounds = n.bounds::jsonb, policy_version = $12
    FROM unnest({unpacked(1)}, {unpacked(2, "int")}, {unpacked(3, "bigint")}, {unpacked(4, "bigint")},
        {unpacked(5, "bigint")}, {unpacked(6, "bigint")}, {unpacked(7, "bigint")}, {unpacked(8, "bigint")},
        {unpacked(9, "bool")}, {unpacked(10)}, {unpacked(11)})
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
"""  # noqa: S608 - constants only


async def propagate_limits(
    tx: Transaction, *, programme_ids: Sequence[str], cause: str, admitted: Collection[str] = (), wholly: bool = False
) -> None:
    """Propagate each programme anew; only lines that changed produce an event. What was due of them is done.

    One of many lines is due instead, unless it is to be done `wholly`: what is above its lines is sanctioned now, and
    its lines are read anew at their next draw, so that what must stop draws stops them. Firms that were `admitted` to
    it have their nodes.
    """
    names = sorted(set(programme_ids))
    rows = await tx.pg.fetch(
        """SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p
        WHERE programme_id = ANY($1) ORDER BY programme_id FOR UPDATE OF p""",
        names,
    )
    large: set[str] = set() if wholly else await large_among(tx, rows, most=INLINE_LINES)
    small = [row for row in rows if row["programme_id"] not in large]
    # Under the lock, before anything is read: a note that is not seen here stays, and what it tells of is read next.
    await tx.pg.execute(
        "DELETE FROM due_propagation WHERE programme_id = ANY($1)", [row["programme_id"] for row in small]
    )
    links = await read_trade(tx, small)
    read = [await read_facts(tx, row, links=links[row["currency"]]) for row in small]
    heads = [await read_head(tx, row) for row in rows if row["programme_id"] in large]
    for each in (*read, *heads):
        await create_nodes(tx, nodes=each.nodes(), currency=each.terms.currency)
    for each in heads:
        await create_line_nodes(tx, each, admitted=admitted)
    # All programmes' nodes in one statement: root first, or two propagations could wait for each other.
    nodes = await lock_nodes(tx, node_ids={node_id for each in (*read, *heads) for _, node_id in each.nodes()})
    for each in read:
        await _propagate_one(tx, each, nodes, cause)
    for each in heads:
        await sanction_head(tx, each, cause=cause)
        await sanction_quotas(tx, programme=each.programme, terms=each.terms, cause=cause, firms=admitted)
    await keep_programmes(tx, programme_ids=[row["programme_id"] for row in rows])
    await note_moved(tx, programme_ids=sorted(large), cause=cause)


async def _propagate_one(tx: Transaction, facts: Facts, nodes: Mapping[str, Node], cause: str) -> None:
    computed = compute(facts, nodes)
    amounts = sanctions(facts, computed.lines)
    await sanction(tx, amounts)
    await note_overuse(tx, node_ids=amounts, cause=cause)
    await sanction_quotas(tx, programme=facts.programme, terms=facts.terms, cause=cause)
    await bring_in(tx, programme=facts.programme)
    await renew_version(tx, programme_id=facts.programme["programme_id"])
    await _write(tx, facts, computed, cause=cause)


async def _write(tx: Transaction, facts: Facts, computed: Computed, *, cause: str) -> None:
    programme_id, terms = facts.programme["programme_id"], facts.terms
    result, policy = computed.result, computed.policy
    lines = [line for line in computed.lines if line.is_new(policy_version=policy.version)]
    await tx.pg.execute(
        _WRITE_LINES,
        packed([line.row["line_id"] for line in lines]),
        packed([str(line.reach.tier) if line.reach else None for line in lines]),
        packed([str(line.reach.volume_minor) if line.reach else "0" for line in lines]),
        packed([str(line.given.weight) for line in lines]),
        packed([str(line.given.floor) for line in lines]),
        packed([str(line.given.ceiling) for line in lines]),
        packed([str(line.share.reserved) for line in lines]),
        packed([str(line.share.cap) for line in lines]),
        packed(["f" if line.reasons else "t" for line in lines]),
        packed([",".join(line.reasons) for line in lines]),
        packed([to_json(line.bounds).decode() for line in lines]),
        policy.version,
    )
    await tx.pg.execute(
        "UPDATE programme SET shortfall_minor = $2, pool_minor = $3 WHERE programme_id = $1",
        *(programme_id, result.shortfall, result.pool),
    )
    changed = [line for line in lines if line.changed]
    events: list[Event] = [
        line_changed(
            line.row,
            tier=line.reach.tier if line.reach else None,
            cap=line.share.cap,
            reasons=line.reasons,
            currency=terms.currency,
        )
        for line in changed
    ]
    events.append(
        limit_propagated(
            programme_id,
            limit=terms.limit,
            pool=result.pool,
            reserved=result.reserved,
            shortfall=result.shortfall,
            changed_lines=len(changed),
            cause=cause,
            policy_version=policy.version,
        )
    )
    await append(tx, events, source="credit")


def limit_propagated(
    programme_id: str,
    *,
    limit: Amount,
    pool: int,
    reserved: int,
    shortfall: int,
    changed_lines: int,
    cause: str,
    policy_version: str,
) -> LimitPropagated:
    """Return what is said of a programme whose limit was propagated; amounts in minor units of the limit's currency."""

    def amount(minor: int) -> Amount:
        return Amount.of(amount_minor=minor, currency=limit.currency)

    return LimitPropagated(
        programme_id=programme_id,
        limit=limit,
        pool=amount(pool),
        reserved=amount(reserved),
        shortfall=amount(shortfall),
        changed_lines=changed_lines,
        cause=cause,
        policy_version=policy_version,
    )


def line_changed(
    before: Mapping[str, Any], *, tier: int | None, cap: int, reasons: Sequence[str], currency: str
) -> LineChanged:
    """Return what is said of a line of which others see something new; its row is as it was before."""
    return LineChanged(
        line_id=before["line_id"],
        programme_id=before["programme_id"],
        enterprise_id=before["enterprise_id"],
        tier=tier or 0,
        direction=before["direction"],
        cap=Amount.of(amount_minor=cap, currency=currency),
        cap_before=Amount.of(amount_minor=before["cap_minor"], currency=currency),
        drawable=not reasons,
        reasons=list(reasons),
    )
