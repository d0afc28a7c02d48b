"""Keep the last word of an aggregate: the fields an event names, in the columns of the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from services.console.operations.keep_feed import keep_feed
from services.console.tables import Model
from shared.events.envelope import Event, Received
from shared.messaging.applying import Handler
from shared.storage.database import Transaction
from shared.values.money import Amount


def keep(model: Model, *fields: str, **said: Any) -> Handler:
    """Return a handler that keeps events in the feed and these of their fields, and what their type says, in a row.

    An amount goes to the column `<field>_minor` and its currency to `currency`; `terms.limit` is an inner field, and
    `status as match_status` goes to a column of another name.
    """
    places = [_place(each) for each in fields]

    async def handler(tx: Transaction, events: Sequence[Received]) -> None:
        await keep_feed(tx, events)
        rows = [{model.key: each.subject, **_row(each.event, places), **said} for each in events if each.event]
        await tx.pg.execute(_merge(model.table, model.key, tuple(model.columns)), to_json(rows).decode())

    return handler


def _place(said: str) -> tuple[Callable[[Event], Any], str, str]:
    """Return where a field is found in an event and which columns it goes to, as a value and as an amount."""
    field, _, renamed = said.partition(" as ")
    column = renamed or field.rpartition(".")[2]
    return attrgetter(field), column, f"{column}_minor"


def _row(event: Event, places: Sequence[tuple[Callable[[Event], Any], str, str]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for value_of, column, minor_column in places:
        value = value_of(event)
        if isinstance(value, Amount):
            row[minor_column], row["currency"] = value.minor, value.currency
        else:
            row[column] = value
    return row


@lru_cache
def _merge(table: str, key: str, columns: tuple[str, ...]) -> str:
    """Return the statement that merges rows: what an event does not say stays as it was."""
    names = ", ".join((key, *columns))
    changes = ", ".join(f"{column} = coalesce(excluded.{column}, t.{column})" for column in columns)
    return (
        f"INSERT INTO {table} AS t ({names}) SELECT {names} "  # noqa: S608 - names from tables.py only
        f"FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb) ORDER BY {key} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )
