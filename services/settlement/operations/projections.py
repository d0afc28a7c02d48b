"""Keep what settlement needs of other services' events."""

from __future__ import annotations

from collections.abc import Sequence

from shared.events.credit import DrawdownHeld
from shared.events.envelope import Received
from shared.events.onboarding import EnterpriseRegistered, ProgrammeActivated
from shared.storage.database import Transaction


async def keep_programmes(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a programme's cut-off and zone: they decide the value date of a payment (R18)."""
    kept = [event.event for event in events if isinstance(event.event, ProgrammeActivated)]
    await tx.pg.executemany(
        """INSERT INTO programme (programme_id, name, anchor_id, currency, cut_off, zone)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (programme_id) DO UPDATE SET name = excluded.name,
            cut_off = excluded.cut_off, zone = excluded.zone""",
        [
            (each.programme_id, each.name, each.anchor_id, each.terms.currency, each.terms.cut_off, each.terms.zone)
            for each in kept
        ],
    )


async def keep_enterprises(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a firm's account: a surplus is paid there (R17)."""
    kept = [event.event for event in events if isinstance(event.event, EnterpriseRegistered)]
    await tx.pg.executemany(
        """INSERT INTO enterprise (enterprise_id, name, account) VALUES ($1, $2, $3)
        ON CONFLICT (enterprise_id) DO UPDATE SET name = excluded.name, account = excluded.account""",
        [(each.enterprise_id, each.name, each.account) for each in kept],
    )


async def keep_drawdowns(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep the documents of a drawdown: payers name them."""
    kept = [event.event for event in events if isinstance(event.event, DrawdownHeld)]
    await tx.pg.executemany(
        """INSERT INTO drawdown (drawdown_id, enterprise_id, obligor_id, document_ids)
        VALUES ($1, $2, $3, $4) ON CONFLICT (drawdown_id) DO NOTHING""",
        [
            (
                each.drawdown_id,
                each.enterprise_id,
                each.obligor_id,
                [document.document_id for document in each.documents],
            )
            for each in kept
        ],
    )
