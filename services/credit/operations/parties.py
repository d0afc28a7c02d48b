"""Keep what onboarding and risk say of firms and programmes, and have propagated whatever that changes."""

from __future__ import annotations

from collections.abc import Sequence

from services.credit.operations.advance_drawdowns import block
from services.credit.operations.block_lines import lock_admitted, tell_of_new_lines
from services.credit.operations.due_propagations import note_inputs, note_moved
from services.credit.operations.keep_history import keep_names
from services.credit.operations.propagate_limits import propagate_limits
from shared.events.envelope import Received
from shared.events.onboarding import (
    EnterpriseRegistered,
    EnterpriseReinstated,
    EnterpriseSuspended,
    LineAgreementSigned,
    LinkRecorded,
    MemberAdmitted,
    ProgrammeActivated,
    ProgrammeLimitChanged,
    ProgrammeSuspended,
)
from shared.events.risk import RatingRecorded
from shared.storage.database import Transaction
from shared.values.ids import new_id
from shared.values.rates import parse_rate

_PROGRAMMES_OF = """
SELECT programme_id FROM programme WHERE anchor_id = ANY($1) OR group_head_id = ANY($1)
UNION SELECT programme_id FROM line WHERE enterprise_id = ANY($1)
"""


async def keep_enterprises(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep who a firm is, and its account."""
    kept = [event.event for event in events if isinstance(event.event, EnterpriseRegistered)]
    await tx.pg.executemany(
        """INSERT INTO enterprise (enterprise_id, name, group_head_id, size_class, account, industry)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (enterprise_id) DO UPDATE SET name = excluded.name, group_head_id = excluded.group_head_id,
            size_class = excluded.size_class, account = excluded.account, industry = excluded.industry""",
        [
            (each.enterprise_id, each.name, each.group_head_id, each.size_class, each.account, each.industry)
            for each in kept
        ],
    )
    await keep_names(tx, enterprise_ids=[each.enterprise_id for each in kept])
    await _note_for(tx, [each.enterprise_id for each in kept], cause="enterprise.registered")


async def suspend_enterprises(tx: Transaction, events: Sequence[Received]) -> None:
    """Block the lines of suspended firms, open those of reinstated ones."""
    for event in events:
        if isinstance(event.event, EnterpriseSuspended | EnterpriseReinstated):
            active = isinstance(event.event, EnterpriseReinstated)
            await tx.pg.execute(
                "UPDATE enterprise SET active = $2 WHERE enterprise_id = $1", event.event.enterprise_id, active
            )
    firms = [event.subject for event in events]
    await propagate_limits(tx, programme_ids=await _programmes_of(tx, firms), cause="enterprise.state")
    await note_inputs(tx, enterprise_ids=firms, cause="enterprise.state")
    blocked = [event.subject for event in events if isinstance(event.event, EnterpriseSuspended)]
    await block(tx, column="enterprise_id", ids=blocked, reason="sme_suspended")


async def keep_agreements(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep which line agreements are signed, until when, and what they commit."""
    kept = [event.event for event in events if isinstance(event.event, LineAgreementSigned)]
    await tx.pg.executemany(
        """INSERT INTO agreement (programme_id, enterprise_id, expiry_date, committed_minor) VALUES ($1, $2, $3, $4)
        ON CONFLICT (programme_id, enterprise_id) DO UPDATE SET expiry_date = excluded.expiry_date,
            committed_minor = excluded.committed_minor""",
        [(each.programme_id, each.enterprise_id, each.expiry_date, each.committed.minor) for each in kept],
    )
    await note_moved(tx, programme_ids=[each.programme_id for each in kept], cause="agreement.signed")


async def keep_ratings(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep the last rating of each firm and currency."""
    kept = [event.event for event in events if isinstance(event.event, RatingRecorded)]
    await tx.pg.executemany(
        """INSERT INTO rating (enterprise_id, currency, grade, cap_minor, multiplier, risk_spread, valid_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (enterprise_id, currency) DO UPDATE SET grade = excluded.grade, cap_minor = excluded.cap_minor,
            multiplier = excluded.multiplier, risk_spread = excluded.risk_spread, valid_until = excluded.valid_until""",
        [
            (
                each.enterprise_id,
                each.cap.currency,
                each.grade,
                each.cap.minor,
                parse_rate(each.multiplier),
                parse_rate(each.risk_spread),
                each.valid_until,
            )
            for each in kept
        ],
    )
    await _note_for(tx, [each.enterprise_id for each in kept], cause="rating.recorded")


async def keep_links(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep who supplies whom; trade in a currency concerns every programme of that currency."""
    kept = [event.event for event in events if isinstance(event.event, LinkRecorded)]
    await tx.pg.executemany(
        """INSERT INTO link (link_id, supplier_id, buyer_id, traded_minor, currency) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (link_id) DO UPDATE SET traded_minor = excluded.traded_minor, currency = excluded.currency""",
        [(each.link_id, each.supplier_id, each.buyer_id, each.traded.minor, each.traded.currency) for each in kept],
    )
    currencies = sorted({each.traded.currency for each in kept})
    rows = await tx.pg.fetch("SELECT programme_id FROM programme WHERE currency = ANY($1)", currencies)
    await note_moved(tx, programme_ids=[row["programme_id"] for row in rows], cause="link.recorded")
    await note_inputs(tx, currencies=currencies, cause="link.recorded")


async def keep_programmes(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a programme's terms, its limits and whether it is active."""
    for event in events:
        said = event.event
        if isinstance(said, ProgrammeActivated):
            await tx.pg.execute(
                """INSERT INTO programme (programme_id, name, anchor_id, group_head_id, currency, terms)
                VALUES ($1, $2, $3, $4, $5, $6)""",
                *(said.programme_id, said.name, said.anchor_id, said.group_head_id),
                *(said.terms.currency, said.terms.model_dump_json()),
            )
        elif isinstance(said, ProgrammeLimitChanged):
            limits = said.model_dump_json(include={"limit", "upstream_limit", "downstream_limit"})
            await tx.pg.execute(
                "UPDATE programme SET terms = terms || $2::jsonb WHERE programme_id = $1", said.programme_id, limits
            )
        elif isinstance(said, ProgrammeSuspended):
            await tx.pg.execute("UPDATE programme SET active = false WHERE programme_id = $1", said.programme_id)
    # A limit moves lines soon; a programme that begins makes nodes, and one that is suspended stops draws, at once.
    cause, names = events[-1].type.removesuffix(".v1"), [event.subject for event in events]
    if not isinstance(events[-1].event, ProgrammeLimitChanged):
        await propagate_limits(tx, programme_ids=names, cause=cause)
    if not isinstance(events[-1].event, ProgrammeSuspended):
        await note_moved(tx, programme_ids=names, cause=cause)
    blocked = [event.subject for event in events if isinstance(event.event, ProgrammeSuspended)]
    await block(tx, column="programme_id", ids=blocked, reason="programme_not_active")


async def keep_members(tx: Transaction, events: Sequence[Received]) -> None:
    """Open a line for each admitted firm; one that is admitted anew is propagated anew, with its history."""
    kept = [event.event for event in events if isinstance(event.event, MemberAdmitted)]
    await lock_admitted(tx, enterprise_ids=[each.enterprise_id for each in kept])
    await tx.pg.executemany(
        """INSERT INTO line (line_id, programme_id, enterprise_id, direction, anchor_support)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (programme_id, enterprise_id) DO UPDATE SET direction = excluded.direction,
            anchor_support = excluded.anchor_support, policy_version = ''""",
        [
            (new_id(), each.programme_id, each.enterprise_id, each.direction, parse_rate(each.anchor_support))
            for each in kept
        ],
    )
    names = [each.programme_id for each in kept]
    firms = sorted({each.enterprise_id for each in kept})
    await propagate_limits(tx, programme_ids=names, cause="member.admitted", admitted=firms)
    await note_moved(tx, programme_ids=names, cause="member.admitted")
    await tell_of_new_lines(tx, enterprise_ids=[each.enterprise_id for each in kept])


async def _note_for(tx: Transaction, enterprise_ids: Sequence[str], *, cause: str) -> None:
    await note_moved(tx, programme_ids=await _programmes_of(tx, enterprise_ids), cause=cause)
    await note_inputs(tx, enterprise_ids=enterprise_ids, cause=cause)


async def _programmes_of(tx: Transaction, enterprise_ids: Sequence[str]) -> list[str]:
    return [row["programme_id"] for row in await tx.pg.fetch(_PROGRAMMES_OF, list(enterprise_ids))]
