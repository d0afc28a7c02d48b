"""Stop draws on lines and firms at once, and let them go on when two persons say so (DOMAIN §5, R22; decision 0030).

A block is a row, and whoever reads a line's terms reads it: no propagation stands between a block and what it stops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from services.credit.domain.blocks import BARS, BlockLifted, Cause, Scope, Target
from services.credit.domain.drawdowns import Input
from services.credit.domain.paths import programme_node
from services.credit.operations.advance_drawdowns import save_with_ends
from services.credit.operations.block_reasons import block_reasons
from services.credit.operations.drawdown_rows import lock_drawdowns
from services.credit.operations.line_terms import UnknownLine, read_lines
from services.credit.operations.nodes import lock_nodes, renew_version
from shared.events.credit import LineBlocked, LineUnblocked
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.ids import new_id

LIFT_BLOCK = "block.lift"
# A firm's lines are counted under its lock: whoever is admitted meanwhile waits, and finds the block.
_LOCK_FIRMS = "SELECT enterprise_id FROM enterprise WHERE enterprise_id = ANY($1) ORDER BY enterprise_id FOR UPDATE"
_LOCK_ADMITTED = "SELECT FROM enterprise WHERE enterprise_id = ANY($1) ORDER BY enterprise_id FOR SHARE"
# What else writes of these lines or ends drawdowns on them locks their programmes first.
_LOCK_PROGRAMMES = """
SELECT p.programme_id FROM programme p WHERE p.programme_id IN (
    SELECT l.programme_id FROM line l WHERE l.line_id = ANY($1) OR l.enterprise_id = ANY($2))
ORDER BY p.programme_id FOR UPDATE
"""
_KEEP = """
INSERT INTO block (block_id, scope, subject, reason, reference, note, blocked_by, policy_version)
SELECT b.*, $8 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS b(block_id, scope, subject, reason, reference, note, by)
ON CONFLICT (subject, reason, reference) WHERE lifted_at IS NULL DO NOTHING RETURNING block_id
"""
_STANDING = """
SELECT b.block_id, b.subject, b.reason, b.reference FROM block b
WHERE b.subject = ANY($1) AND b.lifted_at IS NULL
"""
# The lines of blocks, each with every reason for which it is blocked now.
_LINES = """
SELECT b.block_id, b.scope, b.reason, l.line_id, l.programme_id, l.enterprise_id, p.currency,
    ARRAY(SELECT DISTINCT o.reason FROM block o
        WHERE o.subject IN (l.line_id, l.enterprise_id) AND o.lifted_at IS NULL ORDER BY 1) AS reasons
FROM block b CROSS JOIN LATERAL (
    SELECT * FROM line WHERE line_id = b.subject UNION ALL SELECT * FROM line WHERE enterprise_id = b.subject) AS l
JOIN programme p USING (programme_id)
WHERE b.block_id = ANY($1) ORDER BY l.line_id, b.block_id
"""
_UNPAID = """
SELECT drawdown_id FROM drawdown WHERE line_id = ANY($1) AND state IN ('held', 'referred', 'approved')
"""
_LIFT = """
UPDATE block SET lifted_at = statement_timestamp(), lift_reason = $2,
    lifted_by = ARRAY[$3, (SELECT decided_by FROM approval WHERE approval_id = $4)]
WHERE block_id = $1 AND lifted_at IS NULL RETURNING block_id
"""
_FIRM_BLOCKS = """
SELECT b.block_id FROM block b WHERE b.subject = ANY($1) AND b.scope = 'firm' AND b.lifted_at IS NULL
"""


class UnknownBlock(LookupError):
    """No block has this id."""

    code: ClassVar[str] = "unknown_block"

    def __init__(self, *, block_id: str) -> None:
        """Keep the id asked for."""
        self.block_id = block_id
        super().__init__(f"There is no block {block_id}.")


class UnknownEnterprise(LookupError):
    """Credit knows no firm of this id."""

    code: ClassVar[str] = "unknown_enterprise"

    def __init__(self, *, enterprise_id: str) -> None:
        """Keep the id asked for."""
        self.enterprise_id = enterprise_id
        super().__init__(f"There is no enterprise {enterprise_id}.")


async def block(database: Database, *, targets: Collection[Target], cause: Cause) -> list[str]:
    """Block all targets or none for one cause; return their blocks' ids, those that stood already among them."""
    async with database.transaction() as tx:
        return await stop_draws(tx, [(target, cause) for target in targets])


async def stop_draws(tx: Transaction, blocks: Sequence[tuple[Target, Cause]]) -> list[str]:
    """Block targets, each for its cause: no new draws, and what was not paid yet ends; return the blocks' ids.

    A target that is blocked for the same reason and reference is left as it is. UnknownLine, UnknownEnterprise and
    UnknownBlockReason refuse all of them.
    """
    asked = list(dict.fromkeys((each.subject, cause.reason, cause.reference) for each, cause in blocks))
    today: date = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    reasons = block_reasons(on=today)
    for _, reason, _ in asked:
        reasons.check(reason)
    await _lock(tx, [target for target, _ in blocks])
    rows = [
        (new_id(), each.scope, each.subject, cause.reason, cause.reference, cause.note, cause.by)
        for each, cause in blocks
    ]
    kept = {row["block_id"] for row in await tx.pg.fetch(_KEEP, *by_column(rows, width=7), reasons.version)}
    await _end_unpaid(tx, await tx.pg.fetch(_LINES, sorted(kept)))
    await record(
        tx,
        [
            Entry(by, f"{scope}.blocked", subject, {"block_id": block_id, **_facts(reason, reference, note)})
            for block_id, scope, subject, reason, reference, note, by in rows
            if block_id in kept
        ],
    )
    standing = {
        (row["subject"], row["reason"], row["reference"]): str(row["block_id"])
        for row in await tx.pg.fetch(_STANDING, sorted({subject for subject, _, _ in asked}))
    }
    return [standing[each] for each in asked]


async def propose_lift(database: Database, *, block_id: str, reason: str, actor: str) -> Approval:
    """Propose to lift a block; a second person decides (R22). UnknownBlock, BlockLifted."""
    async with database.transaction() as tx:
        found = await _find(tx, block_id)
        if found["lifted_at"] is not None:
            raise BlockLifted(block_id=block_id)
        content = {name: found[name] for name in ("scope", "subject", "reference")}
        content |= {"blocked_for": found["reason"], "reason": reason}
        proposal = await propose(tx, kind=LIFT_BLOCK, subject=block_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "block.lift_proposed", block_id, content)])
    return proposal


async def lift(tx: Transaction, approval: Approval) -> None:
    """Lift a block that a second person let go; its lines may be drawn again when no other block stands."""
    found = await _find(tx, approval.subject)
    await _lock(tx, [Target(found["scope"], found["subject"])])
    lifted = await tx.pg.fetchval(
        _LIFT, approval.subject, approval.content["reason"], approval.proposer, approval.approval_id
    )
    if lifted is None:
        raise BlockLifted(block_id=approval.subject)
    lines = await tx.pg.fetch(_LINES, [lifted])
    programmes = sorted({line["programme_id"] for line in lines})
    await lock_nodes(tx, node_ids=[programme_node(programme_id=each) for each in programmes])
    await _forget_terms(tx, programmes)
    await append(tx, [LineUnblocked.model_validate(_told(line)) for line in lines], source="credit")


async def tell_of_new_lines(tx: Transaction, *, enterprise_ids: Collection[str]) -> None:
    """Tell of blocks that stand on firms which were just admitted: their new lines are blocked with them."""
    rows = await tx.pg.fetch(_FIRM_BLOCKS, sorted(set(enterprise_ids)))
    lines = await tx.pg.fetch(_LINES, [row["block_id"] for row in rows])
    await append(tx, [LineBlocked.model_validate(_told(line)) for line in lines], source="credit")


async def lock_admitted(tx: Transaction, *, enterprise_ids: Collection[str]) -> None:
    """Keep firms from being blocked while lines of theirs come to be."""
    await tx.pg.execute(_LOCK_ADMITTED, sorted(set(enterprise_ids)))


async def _lock(tx: Transaction, targets: Collection[Target]) -> None:
    """Lock the firms, then the programmes of all lines concerned; UnknownEnterprise, UnknownLine."""
    subjects: Mapping[Scope, list[str]] = {
        scope: sorted({each.subject for each in targets if each.scope == scope}) for scope in BARS
    }
    firms = {row["enterprise_id"] for row in await tx.pg.fetch(_LOCK_FIRMS, subjects["firm"])}
    for enterprise_id in subjects["firm"]:
        if enterprise_id not in firms:
            raise UnknownEnterprise(enterprise_id=enterprise_id)
    rows = await tx.pg.fetch("SELECT line_id FROM line WHERE line_id = ANY($1)", subjects["line"])
    lines = {row["line_id"] for row in rows}
    for line_id in subjects["line"]:
        if line_id not in lines:
            raise UnknownLine(line_id=line_id)
    await tx.pg.execute(_LOCK_PROGRAMMES, subjects["line"], subjects["firm"])


async def _end_unpaid(tx: Transaction, lines: Sequence[Mapping[str, Any]]) -> None:
    """Let no hold begin on blocked lines, and end what waits for its money there (DOMAIN §5)."""
    if not lines:
        return
    scopes: dict[str, set[Scope]] = defaultdict(set)
    for line in lines:
        scopes[line["line_id"]].add(line["scope"])
    programmes = sorted({line["programme_id"] for line in lines})
    offered, _ = await read_lines(tx, line_ids=scopes.keys())
    nodes = {step.node_id for each in offered.values() for terms in each.terms for step in terms.path}
    nodes |= {programme_node(programme_id=each) for each in programmes}
    await lock_drawdowns(tx, drawdown_ids=await _unpaid(tx, scopes), node_ids=nodes)
    # A hold that had the nodes before us has committed by now, one that comes after finds the terms renewed.
    locked = await lock_drawdowns(tx, drawdown_ids=await _unpaid(tx, scopes))
    await _forget_terms(tx, programmes)
    for drawdown in locked.drawdowns.values():
        scope: Scope = "line" if "line" in scopes[drawdown.line_id] else "firm"
        locked.advance(drawdown, Input.BLOCK, reason=BARS[scope])
    await append(tx, [LineBlocked.model_validate(_told(line)) for line in lines], source="credit")
    await save_with_ends(tx, locked, cause=Input.BLOCK)


async def _unpaid(tx: Transaction, line_ids: Collection[str]) -> list[str]:
    return [row["drawdown_id"] for row in await tx.pg.fetch(_UNPAID, list(line_ids))]


async def _forget_terms(tx: Transaction, programme_ids: Collection[str]) -> None:
    for programme_id in programme_ids:
        await renew_version(tx, programme_id=programme_id)


async def _find(tx: Transaction, block_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = await tx.pg.fetchrow("SELECT * FROM block WHERE block_id = $1", block_id)
    if found is None:
        raise UnknownBlock(block_id=block_id)
    return found


def _facts(reason: str, reference: str, note: str) -> dict[str, str]:
    return {"reason": reason, "reference": reference, "note": note}


def _told(line: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(line), "blocks": line["reasons"]}
