"""Take collateral and guarantees through their life; each step by two persons (R22)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any, ClassVar

from services.credit.domain.covers import CoverState, CoverStep, CoverStepNotPossible, Kind, after
from services.credit.operations.line_terms import UnknownLine
from services.credit.operations.sanction_covers import sanction_changed
from shared.events.credit import CoverEnforced, CoverProposed, CoverRegistered, CoverReleased, CoverValued
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Amount, CurrencyMismatch, InvalidAmount, Money

COVER_STEP = "cover.step"
_RANK_TAKEN = """
SELECT cover_id FROM cover WHERE asset = $1 AND rank = $2 AND state = 'registered' AND cover_id <> $3
"""

_STEPPED = "UPDATE cover SET state = $2, version = version + 1 WHERE cover_id = $1 RETURNING *"
# What stood in a register, for explanations of the past.
_KEEP = """
INSERT INTO cover_history (cover_id, since, body) SELECT cover_id, statement_timestamp(), to_jsonb(c) FROM cover c
WHERE cover_id = $1 ON CONFLICT (cover_id, since) DO UPDATE SET body = excluded.body
"""


class UnknownCover(LookupError):
    """No cover has this id."""

    code: ClassVar[str] = "unknown_cover"

    def __init__(self, *, cover_id: str) -> None:
        """Keep the id asked for."""
        self.cover_id = cover_id
        super().__init__(f"There is no cover {cover_id}.")


async def propose_cover(
    database: Database,
    *,
    enterprise_id: str,
    provider_id: str,
    kind: Kind,
    asset: str,
    description: str,
    secured: Money,
    rank: int,
    valid_until: date,
    line_ids: Collection[str] | None,
    actor: str,
) -> str:
    """Record a cover that carries nothing yet; return its id."""
    if secured.amount_minor <= 0:
        raise InvalidAmount(amount=secured.wire()["amount"], reason="is not above zero")
    cover_id = new_id()
    async with database.transaction() as tx:
        await _check_lines(tx, line_ids, enterprise_id=enterprise_id, currency=secured.currency)
        await tx.pg.execute(
            """INSERT INTO cover (cover_id, enterprise_id, provider_id, asset, kind, description, currency,
                secured_minor, rank, line_ids, valid_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
            *(cover_id, enterprise_id, provider_id, asset, kind, description, secured.currency),
            *(secured.amount_minor, rank, None if line_ids is None else sorted(set(line_ids)), valid_until),
        )
        facts = {"enterprise_id": enterprise_id, "kind": kind, "asset": asset, "secured": secured.wire()}
        await record(tx, [Entry(actor, "cover.proposed", cover_id, facts)])
        proposed = CoverProposed(
            cover_id=cover_id,
            enterprise_id=enterprise_id,
            provider_id=provider_id,
            kind=kind,
            asset=asset,
            secured=Amount.of(amount_minor=secured.amount_minor, currency=secured.currency),
            rank=rank,
            valid_until=valid_until,
            line_ids=None if line_ids is None else sorted(set(line_ids)),
        )
        await append(tx, [proposed], source="credit")
    return cover_id


async def propose_cover_step(
    database: Database, *, cover_id: str, step: CoverStep, facts: dict[str, Any], actor: str
) -> Approval:
    """Propose a step of a cover, as it stands now; a second person decides."""
    async with database.transaction() as tx:
        cover = await _lock(tx, cover_id)
        after(CoverState(cover["state"]), step, cover_id=cover_id)
        if step is CoverStep.VALUE:
            _valuation(facts, currency=cover["currency"])
        content = {"step": step, "version": cover["version"], **facts}
        proposal = await propose(tx, kind=COVER_STEP, subject=cover_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "cover.step_proposed", cover_id, content)])
    return proposal


async def take_cover_step(tx: Transaction, approval: Approval) -> None:
    """Take an approved step of a cover, if nothing has changed it since it was proposed."""
    said = approval.content
    cover, step = await _lock(tx, approval.subject), CoverStep(said["step"])
    cover_id = cover["cover_id"]
    state = after(CoverState(cover["state"]), step, cover_id=cover_id)
    if cover["version"] != said["version"]:
        raise CoverStepNotPossible(cover_id=cover_id, step=step, reason="changed_since")
    if step is CoverStep.VALUE:
        value, prior = _valuation(said, currency=cover["currency"])
        await tx.pg.execute(
            """UPDATE cover SET value_minor = $2, prior_minor = $3, valued_date = $4, valuer = $5
            WHERE cover_id = $1""",
            *(cover_id, value, prior, date.fromisoformat(said["valued_date"]), said["valuer"]),
        )
    elif step is CoverStep.REGISTER:
        if await tx.pg.fetchval(_RANK_TAKEN, cover["asset"], cover["rank"], cover_id) is not None:
            raise CoverStepNotPossible(cover_id=cover_id, step=step, reason="rank_taken")
        await tx.pg.execute(
            "UPDATE cover SET registry_reference = $2 WHERE cover_id = $1", cover_id, said["registry_reference"]
        )
    row = await tx.pg.fetchrow(_STEPPED, cover_id, state)
    if CoverState.REGISTERED in {CoverState(cover["state"]), state}:
        await tx.pg.execute(_KEEP, cover_id)
        await sanction_changed(tx, cover_id=cover_id, cause=f"cover.{step}")
    await append(tx, [_told(row, step, said.get("reason", ""))], source="credit")


def _told(row: Any, step: CoverStep, reason: str) -> Event:
    cover_id, enterprise_id = row["cover_id"], row["enterprise_id"]
    if step is CoverStep.VALUE:
        return CoverValued(
            cover_id=cover_id,
            enterprise_id=enterprise_id,
            value=Amount.of(amount_minor=row["value_minor"], currency=row["currency"]),
            prior_charges=Amount.of(amount_minor=row["prior_minor"], currency=row["currency"]),
            valued_date=row["valued_date"],
        )
    if step is CoverStep.REGISTER:
        return CoverRegistered(
            cover_id=cover_id,
            enterprise_id=enterprise_id,
            registry_reference=row["registry_reference"],
            secured=Amount.of(amount_minor=row["secured_minor"], currency=row["currency"]),
        )
    ended = CoverReleased if step is CoverStep.RELEASE else CoverEnforced
    return ended(cover_id=cover_id, enterprise_id=enterprise_id, reason=reason)


async def _lock(tx: Transaction, cover_id: str) -> Any:
    cover = await tx.pg.fetchrow("SELECT * FROM cover WHERE cover_id = $1 FOR UPDATE", cover_id)
    if cover is None:
        raise UnknownCover(cover_id=cover_id)
    return cover


def _valuation(facts: dict[str, Any], *, currency: str) -> tuple[int, int]:
    """Return the value and the prior charges in minor units of the cover's currency; neither is below zero."""
    found = []
    for name in ("value", "prior_charges"):
        amount = Amount.model_validate(facts[name])
        if amount.currency != currency:
            raise CurrencyMismatch(expected=currency, found=amount.currency)
        if amount.minor < 0:
            raise InvalidAmount(amount=amount.amount, reason="is below zero")
        found.append(amount.minor)
    return found[0], found[1]


async def _check_lines(tx: Transaction, line_ids: Collection[str] | None, *, enterprise_id: str, currency: str) -> None:
    """Refuse lines of another firm or currency; UnknownLine."""
    rows = await tx.pg.fetch(
        """SELECT l.line_id FROM line l JOIN programme p USING (programme_id)
        WHERE l.line_id = ANY($1) AND l.enterprise_id = $2 AND p.currency = $3""",
        *(sorted(line_ids or ()), enterprise_id, currency),
    )
    unknown = set(line_ids or ()) - {row["line_id"] for row in rows}
    if unknown:
        raise UnknownLine(line_id=min(unknown))
