"""Propose programmes, limit changes and suspensions, admit members, sign line agreements."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from services.onboarding.domain.programmes import (
    InvalidTerms,
    check_agreement,
    check_days,
    check_limits,
    check_member,
    check_payment,
    check_policy,
    check_products,
    check_shares,
    check_support,
)
from services.onboarding.operations.enterprises import SOURCE, lock_enterprises
from shared.events.onboarding import (
    Direction,
    LineAgreementSigned,
    MemberAdmitted,
    ProgrammeActivated,
    ProgrammeLimitChanged,
    ProgrammeSuspended,
    ProgrammeTerms,
)
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Amount, CurrencyMismatch
from shared.values.rates import parse_rate, rate_text


class UnknownProgramme(LookupError):
    """No programme has this id."""

    code: ClassVar[str] = "unknown_programme"

    def __init__(self, *, programme_id: str) -> None:
        """Keep the id asked for."""
        self.programme_id = programme_id
        super().__init__(f"There is no programme {programme_id}.")


class ProgrammeNotActive(RuntimeError):
    """Something was asked of a programme that is not active."""

    code: ClassVar[str] = "programme_not_active"

    def __init__(self, *, programme_id: str, state: str) -> None:
        """Keep the programme and its state."""
        self.programme_id = programme_id
        self.state = state
        super().__init__(f"The programme is {state}.")


class NotAMember(RuntimeError):
    """A firm that the programme did not admit has no line to sign for."""

    code: ClassVar[str] = "not_a_member"

    def __init__(self, *, programme_id: str, enterprise_id: str) -> None:
        """Keep the programme and the firm."""
        self.programme_id = programme_id
        self.enterprise_id = enterprise_id
        super().__init__(f"{enterprise_id} is no member of the programme {programme_id}.")


class DirectionFixed(RuntimeError):
    """A member stands on one side of the anchor: its line was drawn on that path."""

    code: ClassVar[str] = "direction_fixed"

    def __init__(self, *, programme_id: str, enterprise_id: str, direction: str) -> None:
        """Keep the member and its direction."""
        self.programme_id = programme_id
        self.enterprise_id = enterprise_id
        self.direction = direction
        super().__init__(f"{enterprise_id} was admitted {direction}, and that does not change.")


async def propose_programme(
    database: Database, *, name: str, anchor_id: str, terms: ProgrammeTerms, actor: str
) -> tuple[str, Approval]:
    """Propose a programme; return its id and the proposal that a second person decides."""
    _check(terms)
    programme_id = new_id()
    async with database.transaction() as tx:
        await lock_enterprises(tx, enterprise_ids=[anchor_id])
        await tx.pg.execute(
            """INSERT INTO programme (programme_id, name, anchor_id, terms, state)
            VALUES ($1, $2, $3, $4, 'pending_approval')""",
            *(programme_id, name, anchor_id, terms.model_dump_json()),
        )
        content = {"name": name, "anchor_id": anchor_id, "terms": terms.model_dump(mode="json")}
        proposal = await propose(tx, kind="programme", subject=programme_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "programme.proposed", programme_id, {"hash": proposal.content_hash})])
    return programme_id, proposal


async def activate(tx: Transaction, approval: Approval) -> None:
    """Activate an approved programme: exactly what was proposed."""
    content = approval.content
    heads = await lock_enterprises(tx, enterprise_ids=[content["anchor_id"]])
    await tx.pg.execute("UPDATE programme SET state = 'active' WHERE programme_id = $1", approval.subject)
    event = ProgrammeActivated(
        programme_id=approval.subject,
        name=content["name"],
        anchor_id=content["anchor_id"],
        group_head_id=heads[content["anchor_id"]],
        terms=ProgrammeTerms.model_validate(content["terms"]),
    )
    await append(tx, [event], source=SOURCE)


async def drop(tx: Transaction, approval: Approval) -> None:
    """Drop a programme whose proposal a second person declined."""
    await tx.pg.execute("UPDATE programme SET state = 'declined' WHERE programme_id = $1", approval.subject)


async def propose_limit_change(
    database: Database,
    *,
    programme_id: str,
    limit: Amount,
    upstream_limit: Amount,
    downstream_limit: Amount,
    reason: str,
    actor: str,
) -> Approval:
    """Propose new limits, below use too (R12); a second person decides (R22)."""
    async with database.transaction() as tx:
        terms = await active_terms(tx, programme_id)
        check_limits(
            currency=terms.currency,
            limit=limit.money(),
            upstream=upstream_limit.money(),
            downstream=downstream_limit.money(),
            issuance=Amount.of(amount_minor=0, currency=terms.currency).money(),
        )
        content = {
            "limit": limit.model_dump(),
            "upstream_limit": upstream_limit.model_dump(),
            "downstream_limit": downstream_limit.model_dump(),
            "reason": reason,
        }
        proposal = await propose(tx, kind="programme.limit", subject=programme_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "limit_change.proposed", programme_id, content)])
    return proposal


async def change_limit(tx: Transaction, approval: Approval) -> None:
    """Put an approved limit change into force."""
    terms = await active_terms(tx, approval.subject)
    event = ProgrammeLimitChanged(programme_id=approval.subject, **approval.content)
    changed = terms.model_copy(
        update={
            "limit": event.limit,
            "upstream_limit": event.upstream_limit,
            "downstream_limit": event.downstream_limit,
        }
    )
    await tx.pg.execute(
        "UPDATE programme SET terms = $2 WHERE programme_id = $1", approval.subject, changed.model_dump_json()
    )
    await append(tx, [event], source=SOURCE)


async def propose_suspension(database: Database, *, programme_id: str, reason: str, actor: str) -> Approval:
    """Propose that a programme be suspended; a second person decides."""
    async with database.transaction() as tx:
        await active_terms(tx, programme_id)
        content = {"programme_id": programme_id, "reason": reason}
        proposal = await propose(tx, kind="programme.suspension", subject=programme_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "suspension.proposed", programme_id, content)])
    return proposal


async def suspend(tx: Transaction, approval: Approval) -> None:
    """Suspend a programme whose suspension a second person approved."""
    await active_terms(tx, approval.subject)
    await tx.pg.execute("UPDATE programme SET state = 'suspended' WHERE programme_id = $1", approval.subject)
    event = ProgrammeSuspended(programme_id=approval.subject, reason=approval.content["reason"])
    await append(tx, [event], source=SOURCE)


async def admit_member(
    database: Database, *, programme_id: str, enterprise_id: str, direction: Direction, anchor_support: str, actor: str
) -> None:
    """Admit a firm to a programme; a second admission changes its support, never its direction."""
    support = parse_rate(anchor_support)
    check_support(direction=direction, anchor_support=support)
    async with database.transaction() as tx:
        await active_terms(tx, programme_id)
        anchor_id = await tx.pg.fetchval("SELECT anchor_id FROM programme WHERE programme_id = $1", programme_id)
        check_member(enterprise_id=enterprise_id, anchor_id=anchor_id)
        await lock_enterprises(tx, enterprise_ids=[enterprise_id])
        before = await _direction(tx, programme_id, enterprise_id)
        if before not in {None, direction}:
            raise DirectionFixed(programme_id=programme_id, enterprise_id=enterprise_id, direction=str(before))
        await tx.pg.execute(
            """INSERT INTO member (programme_id, enterprise_id, direction, anchor_support) VALUES ($1, $2, $3, $4)
            ON CONFLICT (programme_id, enterprise_id) DO UPDATE SET anchor_support = excluded.anchor_support""",
            *(programme_id, enterprise_id, direction, rate_text(support)),
        )
        event = MemberAdmitted(
            programme_id=programme_id,
            enterprise_id=enterprise_id,
            direction=direction,
            anchor_support=rate_text(support),
        )
        await append(tx, [event], source=SOURCE)
        facts = {"enterprise_id": enterprise_id, "direction": direction}
        await record(tx, [Entry(actor, "member.admitted", programme_id, facts)])


async def sign_line_agreement(
    database: Database,
    *,
    enterprise_id: str,
    programme_id: str,
    signed_date: date,
    expiry_date: date,
    committed: Amount,
    actor: str,
) -> Approval | None:
    """Record that a member signed; a later agreement replaces an earlier one.

    What commits the bank to an amount binds it only once the bank signs too: then this is a proposal.
    """
    check_agreement(signed_date=signed_date, expiry_date=expiry_date)
    if committed.minor < 0:
        raise InvalidTerms(term="committed", reason="a commitment is not below zero")
    event = LineAgreementSigned(
        enterprise_id=enterprise_id,
        programme_id=programme_id,
        signed_date=signed_date,
        expiry_date=expiry_date,
        committed=committed,
    )
    async with database.transaction() as tx:
        terms = await active_terms(tx, programme_id)
        if committed.currency != terms.currency:
            raise CurrencyMismatch(expected=terms.currency, found=committed.currency)
        await lock_enterprises(tx, enterprise_ids=[enterprise_id])
        if await _direction(tx, programme_id, enterprise_id) is None:
            raise NotAMember(programme_id=programme_id, enterprise_id=enterprise_id)
        if committed.minor == 0:
            await _keep_agreement(tx, event, actor=actor)
            return None
        if committed.minor > terms.limit.minor:
            raise InvalidTerms(term="committed", reason="a commitment is at most the programme's limit")
        content = event.model_dump(mode="json")
        proposal = await propose(tx, kind="line_agreement", subject=enterprise_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "line_agreement.proposed", enterprise_id, {"hash": proposal.content_hash})])
    return proposal


async def countersign(tx: Transaction, approval: Approval) -> None:
    """Put an agreement that commits the bank into force: the bank signed it too."""
    event = LineAgreementSigned.model_validate(approval.content)
    await active_terms(tx, event.programme_id)
    await lock_enterprises(tx, enterprise_ids=[event.enterprise_id])
    await _keep_agreement(tx, event, actor=approval.proposer)


async def _keep_agreement(tx: Transaction, event: LineAgreementSigned, *, actor: str) -> None:
    await tx.pg.execute(
        """INSERT INTO line_agreement
            (programme_id, enterprise_id, signed_date, expiry_date, committed_minor, currency)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (programme_id, enterprise_id) DO UPDATE SET signed_date = excluded.signed_date,
            expiry_date = excluded.expiry_date, committed_minor = excluded.committed_minor""",
        *(event.programme_id, event.enterprise_id, event.signed_date, event.expiry_date),
        *(event.committed.minor, event.committed.currency),
    )
    await append(tx, [event], source=SOURCE)
    await record(tx, [Entry(actor, "line_agreement.signed", event.enterprise_id, {"programme_id": event.programme_id})])


async def _direction(tx: Transaction, programme_id: str, enterprise_id: str) -> str | None:
    """Return on which side of the anchor a member stands, None of a firm that is none; its programme is locked."""
    found: str | None = await tx.pg.fetchval(
        "SELECT direction FROM member WHERE programme_id = $1 AND enterprise_id = $2", programme_id, enterprise_id
    )
    return found


async def active_terms(tx: Transaction, programme_id: str) -> ProgrammeTerms:
    """Lock a programme and return its terms; UnknownProgramme or ProgrammeNotActive."""
    row = await tx.pg.fetchrow("SELECT state, terms FROM programme WHERE programme_id = $1 FOR UPDATE", programme_id)
    if row is None:
        raise UnknownProgramme(programme_id=programme_id)
    if row["state"] != "active":
        raise ProgrammeNotActive(programme_id=programme_id, state=row["state"])
    return ProgrammeTerms.model_validate(row["terms"])


def _check(terms: ProgrammeTerms) -> None:
    check_limits(
        currency=terms.currency,
        limit=terms.limit.money(),
        upstream=terms.upstream_limit.money(),
        downstream=terms.downstream_limit.money(),
        issuance=terms.issuance_limit.money(),
    )
    check_days(max_tenor_days=terms.max_tenor_days, buffer_days=terms.buffer_days, grace_days=terms.grace_days)
    check_shares(
        advance_rate=parse_rate(terms.advance_rate),
        concentration_share=parse_rate(terms.concentration_share),
        max_tier=terms.max_tier,
        zone=terms.zone,
    )
    if terms.auto_approve_up_to.currency != terms.currency:
        raise CurrencyMismatch(expected=terms.currency, found=terms.auto_approve_up_to.currency)
    if terms.auto_approve_up_to.minor < 0:
        raise InvalidTerms(term="auto_approve_up_to", reason="no limit is below zero")
    check_policy(term="pricing_policy", name=terms.pricing_policy, standard="pricing")
    check_policy(term="propagation_policy", name=terms.propagation_policy, standard="propagation")
    check_policy(term="matching_policy", name=terms.matching_policy, standard="matching")
    check_products(terms.products)
    check_payment(collection_account=terms.collection_account, cut_off=terms.cut_off)
