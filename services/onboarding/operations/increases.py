"""Temporary increases of a programme's limits: for some days more than was agreed, then as before."""

from __future__ import annotations

from datetime import date

from services.onboarding.domain.programmes import check_increase
from services.onboarding.operations.enterprises import SOURCE
from services.onboarding.operations.programmes import active_terms
from shared.events.onboarding import ProgrammeLimitIncreased
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Amount


async def propose_increase(
    database: Database,
    *,
    programme_id: str,
    limit: Amount,
    upstream_limit: Amount,
    downstream_limit: Amount,
    valid_from: date,
    valid_until: date,
    reason: str,
    actor: str,
) -> Approval:
    """Propose what the limits are raised by from one business date to another, both included; see R22."""
    event = ProgrammeLimitIncreased(
        programme_id=programme_id,
        increase_id=new_id(),
        limit=limit,
        upstream_limit=upstream_limit,
        downstream_limit=downstream_limit,
        valid_from=valid_from,
        valid_until=valid_until,
        reason=reason,
    )
    async with database.transaction() as tx:
        terms = await active_terms(tx, programme_id)
        check_increase(
            currency=terms.currency,
            limit=limit.money(),
            upstream=upstream_limit.money(),
            downstream=downstream_limit.money(),
            valid_from=valid_from,
            valid_until=valid_until,
        )
        content = event.model_dump(mode="json")
        proposal = await propose(tx, kind="programme.increase", subject=programme_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "limit_increase.proposed", programme_id, content)])
    return proposal


async def increase(tx: Transaction, approval: Approval) -> None:
    """Put an approved increase into force; on the dates that it names it counts, and on no other."""
    await active_terms(tx, approval.subject)
    event = ProgrammeLimitIncreased.model_validate(approval.content)
    await tx.pg.execute(
        """INSERT INTO limit_increase (increase_id, programme_id, limit_minor, upstream_minor, downstream_minor,
            valid_from, valid_until) VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        *(event.increase_id, event.programme_id),
        *(event.limit.minor, event.upstream_limit.minor, event.downstream_limit.minor),
        *(event.valid_from, event.valid_until),
    )
    await append(tx, [event], source=SOURCE)
