"""Keep what others say: who a firm is, which programmes there are, which day it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.receivables.domain.documents import Party
from services.receivables.domain.parties import Directory, identifier_key, keys_of, name_key
from shared.events.envelope import Received
from shared.events.onboarding import EnterpriseRegistered, ProgrammeActivated, ProgrammeSuspended
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened
from shared.storage.database import Transaction, by_column


async def keep_enterprises(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a firm's name and the identifiers by which documents may call it."""
    kept = [event.event for event in events if isinstance(event.event, EnterpriseRegistered)]
    await tx.pg.execute(
        """INSERT INTO enterprise (enterprise_id, name, name_key)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT (enterprise_id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key""",
        [each.enterprise_id for each in kept],
        [each.name for each in kept],
        [name_key(each.name) for each in kept],
    )
    identifiers = [
        (key, each.enterprise_id, scheme)
        for each in kept
        for scheme, text in sorted(each.legal_identifiers.items())
        if (key := identifier_key(text))
    ]
    await tx.pg.execute(
        """INSERT INTO party_identifier (identifier_key, enterprise_id, scheme)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING""",
        *by_column(identifiers, width=3),
    )


async def keep_programmes(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep a programme's anchor, issuance limit and collection account."""
    for event in events:
        said = event.event
        if isinstance(said, ProgrammeActivated):
            await tx.pg.execute(
                """INSERT INTO programme (programme_id, anchor_id, currency, issuance_limit_minor, collection_account,
                    matching_policy) VALUES ($1, $2, $3, $4, $5, $6)""",
                *(said.programme_id, said.anchor_id, said.terms.currency),
                *(said.terms.issuance_limit.minor, said.terms.collection_account, said.terms.matching_policy),
            )
        elif isinstance(said, ProgrammeSuspended):
            await tx.pg.execute("UPDATE programme SET active = false WHERE programme_id = $1", said.programme_id)


async def keep_business_day(tx: Transaction, events: Sequence[Received]) -> None:
    """Keep the open business date; it only moves forward."""
    dates = [
        event.event.open_date for event in events if isinstance(event.event, BusinessDayOpened | BusinessDayClosed)
    ]
    await tx.pg.execute(
        """INSERT INTO book (open_date) VALUES ($1)
        ON CONFLICT (one) DO UPDATE SET open_date = greatest(book.open_date, excluded.open_date)""",
        max(dates),
    )


async def directory_of(tx: Transaction, parties: Iterable[Party]) -> Directory:
    """Return the registered firms that these parties may be, by two look-ups for the whole batch."""
    ids: set[str] = set()
    identifiers: set[str] = set()
    names: set[str] = set()
    for party in parties:
        if party.enterprise_id is not None:
            ids.add(party.enterprise_id)
            continue
        party_identifiers, party_names = keys_of(party)
        identifiers.update(party_identifiers)
        names.update(party_names)
    by_identifier: dict[str, set[str]] = defaultdict(set)
    for row in await tx.pg.fetch(
        "SELECT identifier_key, enterprise_id FROM party_identifier WHERE identifier_key = ANY($1)", list(identifiers)
    ):
        by_identifier[row["identifier_key"]].add(row["enterprise_id"])
    by_name: dict[str, set[str]] = defaultdict(set)
    known = set()
    for row in await tx.pg.fetch(
        "SELECT enterprise_id, name_key FROM enterprise WHERE enterprise_id = ANY($1) OR name_key = ANY($2)",
        list(ids),
        list(names),
    ):
        known.add(row["enterprise_id"])
        by_name[row["name_key"]].add(row["enterprise_id"])
    return Directory(
        known=frozenset(known),
        by_identifier={key: frozenset(firms) for key, firms in by_identifier.items()},
        by_name={key: frozenset(firms) for key, firms in by_name.items()},
    )
