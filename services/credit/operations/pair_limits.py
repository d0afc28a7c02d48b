"""Limit what the bank finances of one seller's claims on one obligor; set by two persons (R22).

A pair without a limit has no node, and nothing carries it. When it gets one, whatever was drawn between the two is
brought in: the node goes onto the drawdowns' own paths, so each of them moves it from then on as if it always had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from services.credit.domain.paths import Level, pair_node, programme_node
from services.credit.operations.block_lines import UnknownEnterprise
from services.credit.operations.bring_in import bring_in
from services.credit.operations.due_propagations import note_inputs
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, renew_version, sanction
from shared.events.credit import PairLimitChanged
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Amount, InvalidAmount, Money

PAIR_LIMIT = "pair_limit.set"
_KNOWN = "SELECT enterprise_id FROM enterprise WHERE enterprise_id = ANY($1)"
_PROGRAMMES = """
SELECT DISTINCT p.programme_id FROM line l JOIN programme p USING (programme_id) WHERE p.currency = $3
    AND (l.direction, l.enterprise_id, p.anchor_id) IN (('upstream', $1, $2), ('downstream', $2, $1))
ORDER BY 1
"""

# That there is a limit is kept of a first one of nothing, too.
_FIRST = """
INSERT INTO node_history (node_id, since, sanctioned_minor) VALUES ($1, statement_timestamp(), $2)
ON CONFLICT DO NOTHING
"""


class NoPair(ValueError):
    """A firm owes itself nothing: seller and obligor are two."""

    code: ClassVar[str] = "no_pair"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("Seller and obligor are one firm.")


async def propose_pair_limit(
    database: Database, *, seller_id: str, obligor_id: str, limit: Money, reason: str, actor: str
) -> Approval:
    """Propose the limit of a pair, the first one or another; a second person decides."""
    if seller_id == obligor_id:
        raise NoPair
    if limit.amount_minor < 0:
        raise InvalidAmount(amount=limit.wire()["amount"], reason="is below zero")
    node_id = pair_node(seller_id=seller_id, obligor_id=obligor_id, currency=limit.currency)
    content = {"seller_id": seller_id, "obligor_id": obligor_id, "limit": limit.wire(), "reason": reason}
    async with database.transaction() as tx:
        known = {row["enterprise_id"] for row in await tx.pg.fetch(_KNOWN, [seller_id, obligor_id])}
        for enterprise_id in (seller_id, obligor_id):
            if enterprise_id not in known:
                raise UnknownEnterprise(enterprise_id=enterprise_id)
        proposal = await propose(tx, kind=PAIR_LIMIT, subject=node_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "pair_limit.proposed", node_id, content)])
    return proposal


async def set_pair_limit(tx: Transaction, approval: Approval) -> None:
    """Set an approved limit, below use too (R12); what is open between the two counts from then on."""
    said, node_id = approval.content, approval.subject
    limit = Amount.model_validate(said["limit"])
    seller_id, obligor_id = said["seller_id"], said["obligor_id"]
    rows = await tx.pg.fetch(_PROGRAMMES, seller_id, obligor_id, limit.currency)
    programmes = [row["programme_id"] for row in rows]
    before = await tx.pg.fetchval("SELECT sanctioned_minor FROM limit_node WHERE node_id = $1", node_id)
    await create_nodes(tx, nodes=[(Level.PAIR, node_id)], currency=limit.currency)
    # Under the programmes' locks nothing is drawn between the two, and nothing that was moves.
    await lock_nodes(tx, node_ids=[node_id, *(programme_node(programme_id=each) for each in programmes)])
    await sanction(tx, {node_id: limit.minor})
    if before is None:
        await tx.pg.execute(_FIRST, node_id, limit.minor)
    for row in await tx.pg.fetch("SELECT * FROM programme WHERE programme_id = ANY($1)", programmes):
        await bring_in(tx, programme=row)
        await renew_version(tx, programme_id=row["programme_id"])
    await note_overuse(tx, node_ids=[node_id], cause="pair_limit.set")
    # A line that begins in another open transaction may be drawn on without the node: it is looked for once more.
    await note_inputs(tx, enterprise_ids=[seller_id, obligor_id], cause="pair_limit.set")
    await _tell(tx, said, node_id=node_id, limit=limit, before=before)


async def _tell(tx: Transaction, said: Mapping[str, Any], *, node_id: str, limit: Amount, before: int | None) -> None:
    event = PairLimitChanged(
        node_id=node_id,
        seller_id=said["seller_id"],
        obligor_id=said["obligor_id"],
        limit=limit,
        limit_before=None if before is None else Amount.of(amount_minor=before, currency=limit.currency),
        reason=said["reason"],
    )
    await append(tx, [event], source="credit")
