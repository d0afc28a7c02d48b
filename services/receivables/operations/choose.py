"""Choose the receivables of an obligor that it decides on together: by a filter, by ids, or by a list of numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from typing import Any

from services.receivables.domain.batches import MOST, BatchTooLarge, Named, Standing, read_named
from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.receivables import told
from services.receivables.operations.locking import Row
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount, Money

_LARGEST_LIST = 2 * 1024 * 1024
CHOSEN = """
SELECT receivable_id, seller_id, number, state, disputed, currency, financeable_minor, issue_date, paid_minor,
    acknowledged FROM receivable
WHERE obligor_id = $1 AND state = 'validated' AND NOT disputed AND ($2::text IS NULL OR seller_id = $2)
    AND ($3::date IS NULL OR due_date >= $3) AND ($4::date IS NULL OR due_date <= $4)
    AND ($5::bigint IS NULL OR (financeable_minor <= $5 AND currency = $6)) ORDER BY receivable_id LIMIT $7
"""
_BY_ID = """
SELECT receivable_id, seller_id, number, state, disputed, currency, financeable_minor, issue_date, paid_minor,
    acknowledged FROM receivable
WHERE receivable_id = ANY($1) AND obligor_id = $2
"""
# Of a number that stands twice (another year) the list does not say which: neither is meant.
BY_NUMBER = """
SELECT r.receivable_id, r.seller_id, r.number, r.number_key, r.state, r.disputed, r.currency, r.financeable_minor,
    r.issue_date, r.paid_minor, r.acknowledged
FROM receivable r JOIN unnest($1::text[], $2::text[]) AS d(seller_id, number_key) USING (seller_id, number_key)
WHERE r.obligor_id = $3 AND r.state NOT IN ('rejected', 'cancelled')
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of what is validated: of a seller, due between two days, each of at most so much."""

    seller_id: str | None = None
    due_from: date | None = None
    due_until: date | None = None
    each_up_to: Amount | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of what was asked for: the receivable found, or nothing, under the name that it was asked by."""

    asked: str
    row: Row | None

    @property
    def standing(self) -> Standing | None:
        """Return the receivable as it stands."""
        return None if self.row is None else standing_of(self.row)


def standing_of(row: Row) -> Standing:
    """Return a row as it stands, as its obligor is told."""
    amount = Money(row["financeable_minor"], row["currency"])
    return Standing(
        row["receivable_id"], told(row["state"]), row["disputed"], amount, row["paid_minor"], row["acknowledged"]
    )


async def choose(tx: Transaction, asked: Filter | Sequence[str] | Sequence[Named], *, party: str) -> list[Choice]:
    """Return what is asked for of what a party owes, in the order of the ids or of the list; BatchTooLarge."""
    if isinstance(asked, Filter):
        return await _filtered(tx, asked, party=party)
    if len(asked) > MOST:
        raise BatchTooLarge
    named = [each for each in asked if isinstance(each, Named)]
    if named:
        return await _listed(tx, named, party=party)
    ids = list(dict.fromkeys(str(each) for each in asked))
    found = {row["receivable_id"]: row for row in await tx.pg.fetch(_BY_ID, ids, party)}
    return [Choice(each, found.get(each)) for each in ids]


def read_list(data: bytes) -> list[Named]:
    """Return the numbers of a CSV list; UnreadableDocument or BatchTooLarge."""
    if len(data) > _LARGEST_LIST:
        raise BatchTooLarge
    try:
        rows: list[list[str]] = [row for row in csv.reader(StringIO(data.decode("utf-8-sig")), strict=True) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableDocument("The list is not CSV in UTF-8.") from error
    return read_named(rows)


async def _filtered(tx: Transaction, asked: Filter, *, party: str) -> list[Choice]:
    top = asked.each_up_to
    bounds: tuple[Any, ...] = (None, None) if top is None else (top.minor, top.currency)
    rows = await tx.pg.fetch(CHOSEN, party, asked.seller_id, asked.due_from, asked.due_until, *bounds, MOST + 1)
    if len(rows) > MOST:
        raise BatchTooLarge
    return [Choice(row["receivable_id"], row) for row in rows]


async def _listed(tx: Transaction, named: Sequence[Named], *, party: str) -> list[Choice]:
    keys = [(each.seller_id, number_key(each.number)) for each in named]
    found: dict[tuple[str, str], list[Row]] = {}
    for row in await tx.pg.fetch(BY_NUMBER, *by_column(sorted(set(keys)), width=2), party):
        found.setdefault((row["seller_id"], row["number_key"]), []).append(row)
    choices: dict[tuple[str, str], Choice] = {}
    for each, key in zip(named, keys, strict=True):
        rows = found.get(key, [])
        choices.setdefault(key, Choice(f"{each.seller_id} {each.number}", rows[0] if len(rows) == 1 else None))
    return list(choices.values())
