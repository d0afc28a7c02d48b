"""Register firms, suspend and reinstate them, record their trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from shared.events.onboarding import (
    EnterpriseRegistered,
    EnterpriseReinstated,
    EnterpriseSuspended,
    LinkRecorded,
    SizeClass,
)
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import check_legal_identifier, new_id
from shared.values.money import Amount, InvalidAmount

SOURCE = "onboarding"


class UnknownEnterprise(LookupError):
    """No enterprise has this id."""

    code: ClassVar[str] = "unknown_enterprise"

    def __init__(self, *, enterprise_id: str) -> None:
        """Keep the id asked for."""
        self.enterprise_id = enterprise_id
        super().__init__(f"There is no enterprise {enterprise_id}.")


class AlreadyRegistered(ValueError):
    """Another enterprise has this legal identifier."""

    code: ClassVar[str] = "already_registered"

    def __init__(self, *, scheme: str, identifier: str, enterprise_id: str) -> None:
        """Keep the identifier and who has it."""
        self.scheme = scheme
        self.identifier = identifier
        self.enterprise_id = enterprise_id
        super().__init__(f"The {scheme} {identifier} belongs to {enterprise_id}.")


class NotSuspended(RuntimeError):
    """There is no suspension to lift."""

    code: ClassVar[str] = "not_suspended"

    def __init__(self, *, enterprise_id: str) -> None:
        """Keep the firm."""
        self.enterprise_id = enterprise_id
        super().__init__(f"The enterprise {enterprise_id} is not suspended.")


class SelfTrade(ValueError):
    """A firm cannot be its own supplier."""

    code: ClassVar[str] = "self_trade"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("Supplier and buyer are the same enterprise.")


async def lock_enterprises(tx: Transaction, *, enterprise_ids: Sequence[str]) -> dict[str, str]:
    """Lock the firms, in id order; return their group heads by id; UnknownEnterprise when one is not known."""
    rows = await tx.pg.fetch(
        """SELECT enterprise_id, group_head_id FROM enterprise WHERE enterprise_id = ANY($1)
        ORDER BY enterprise_id FOR KEY SHARE""",
        list(enterprise_ids),
    )
    found = {row["enterprise_id"]: row["group_head_id"] for row in rows}
    for enterprise_id in enterprise_ids:
        if enterprise_id not in found:
            raise UnknownEnterprise(enterprise_id=enterprise_id)
    return found


async def register_enterprise(
    database: Database,
    *,
    name: str,
    country: str,
    legal_identifiers: Mapping[str, str],
    group_head_id: str | None,
    size_class: SizeClass,
    industry: str,
    account: str,
    actor: str,
) -> str:
    """Register a firm, its identifiers' check digits verified (R24); return its id."""
    checked = {
        scheme: check_legal_identifier(scheme=scheme, identifier=text) for scheme, text in legal_identifiers.items()
    }
    enterprise_id = new_id()
    async with database.transaction() as tx:
        head = enterprise_id
        if group_head_id is not None:
            head = (await lock_enterprises(tx, enterprise_ids=[group_head_id]))[group_head_id]
        await tx.pg.execute(
            """INSERT INTO enterprise (enterprise_id, name, country, group_head_id, size_class, industry, account)
            VALUES ($1, $2, $3, $4, $5, $6, $7)""",
            *(enterprise_id, name, country, head, size_class, industry, account),
        )
        await _claim_identifiers(tx, enterprise_id, checked)
        event = EnterpriseRegistered(
            enterprise_id=enterprise_id,
            name=name,
            country=country,
            legal_identifiers=checked,
            group_head_id=head,
            size_class=size_class,
            industry=industry,
            account=account,
        )
        await append(tx, [event], source=SOURCE)
        await record(tx, [Entry(actor, "enterprise.registered", enterprise_id, {"name": name, **checked})])
    return enterprise_id


async def _claim_identifiers(tx: Transaction, enterprise_id: str, identifiers: Mapping[str, str]) -> None:
    for scheme, identifier in sorted(identifiers.items()):
        holder = await tx.pg.fetchval(
            """INSERT INTO legal_identifier AS l (scheme, identifier, enterprise_id) VALUES ($1, $2, $3)
            ON CONFLICT (scheme, identifier) DO UPDATE SET enterprise_id = l.enterprise_id RETURNING enterprise_id""",
            *(scheme, identifier, enterprise_id),
        )
        if holder != enterprise_id:
            raise AlreadyRegistered(scheme=scheme, identifier=identifier, enterprise_id=holder)


async def propose_suspension(database: Database, *, enterprise_id: str, reason: str, actor: str) -> Approval:
    """Propose that a firm be suspended; a second person decides."""
    async with database.transaction() as tx:
        await lock_enterprises(tx, enterprise_ids=[enterprise_id])
        content = {"enterprise_id": enterprise_id, "reason": reason}
        proposal = await propose(
            tx, kind="enterprise.suspension", subject=enterprise_id, content=content, proposer=actor
        )
        await record(tx, [Entry(actor, "suspension.proposed", enterprise_id, content)])
    return proposal


async def suspend(tx: Transaction, approval: Approval) -> None:
    """Suspend a firm whose suspension a second person approved."""
    await tx.pg.execute("UPDATE enterprise SET state = 'suspended' WHERE enterprise_id = $1", approval.subject)
    event = EnterpriseSuspended(enterprise_id=approval.subject, reason=approval.content["reason"])
    await append(tx, [event], source=SOURCE)


async def propose_reinstatement(database: Database, *, enterprise_id: str, reason: str, actor: str) -> Approval:
    """Propose that a firm's suspension be lifted; a second person decides."""
    async with database.transaction() as tx:
        await lock_enterprises(tx, enterprise_ids=[enterprise_id])
        await _check_suspended(tx, enterprise_id)
        content = {"enterprise_id": enterprise_id, "reason": reason}
        proposal = await propose(
            tx, kind="enterprise.reinstatement", subject=enterprise_id, content=content, proposer=actor
        )
        await record(tx, [Entry(actor, "reinstatement.proposed", enterprise_id, content)])
    return proposal


async def reinstate(tx: Transaction, approval: Approval) -> None:
    """Lift a suspension, as a second person approved."""
    await _check_suspended(tx, approval.subject)
    await tx.pg.execute("UPDATE enterprise SET state = 'active' WHERE enterprise_id = $1", approval.subject)
    await append(tx, [EnterpriseReinstated(enterprise_id=approval.subject)], source=SOURCE)


async def _check_suspended(tx: Transaction, enterprise_id: str) -> None:
    state = await tx.pg.fetchval(
        "SELECT state FROM enterprise WHERE enterprise_id = $1 FOR NO KEY UPDATE", enterprise_id
    )
    if state != "suspended":
        raise NotSuspended(enterprise_id=enterprise_id)


async def record_link(
    database: Database, *, supplier_id: str, buyer_id: str, traded: Amount, contract: str, actor: str
) -> str:
    """Record that one firm supplies another; a second one in its currency updates it; return the link's id."""
    if supplier_id == buyer_id:
        raise SelfTrade
    if traded.minor < 0:
        raise InvalidAmount(amount=traded.amount, reason="is below zero")
    async with database.transaction() as tx:
        await lock_enterprises(tx, enterprise_ids=[supplier_id, buyer_id])
        link_id: str = await tx.pg.fetchval(
            """INSERT INTO link (link_id, supplier_id, buyer_id, traded_minor, currency, contract)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (supplier_id, buyer_id, currency) DO UPDATE SET traded_minor = excluded.traded_minor,
                contract = excluded.contract RETURNING link_id""",
            *(new_id(), supplier_id, buyer_id, traded.minor, traded.currency, contract),
        )
        event = LinkRecorded(
            link_id=link_id, supplier_id=supplier_id, buyer_id=buyer_id, traded=traded, contract=contract
        )
        await append(tx, [event], source=SOURCE)
        facts = {"traded": traded.model_dump(), "contract": contract}
        await record(tx, [Entry(actor, "link.recorded", link_id, facts)])
    return link_id
