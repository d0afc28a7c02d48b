"""What a reader may ask by: positions, subjects, and the cursors of pages, each bounded before it meets a query."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query

from shared.storage.paging import InvalidCursor, read_cursor

_LAST_POSITION = 2**63 - 1
_LAST_PLACE = 2**31 - 1
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)

Position = Annotated[int, Query(ge=0, le=_LAST_POSITION)]
Subject = Annotated[str, Query(max_length=100, pattern=r"^[^\x00-\x1f]*$")]


def position_of(text: str, *, otherwise: int) -> int:
    """Return the position a browser says it has reached, if it is one."""
    return min(int(text), _LAST_POSITION) if _is_number(text) else otherwise


def moment_of(cursor: str | None) -> tuple[datetime, int]:
    """Return the time and position that a page of the feed ends before; InvalidCursor when it is not ours."""
    key = read_cursor(cursor)
    if not key:
        return _END_OF_TIME, 0
    time, _, position = key.partition("/")
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise InvalidCursor from error
    if moment.tzinfo is None:
        raise InvalidCursor
    return moment, _bounded(position, most=_LAST_POSITION)


def line_of(cursor: str | None) -> tuple[str, int, str]:
    """Return the programme, place and line that a page of lines begins after; InvalidCursor when it is not ours."""
    key = read_cursor(cursor)
    if not key:
        return "", -1, ""
    programme_id, _, rest = key.partition("/")
    place, _, line_id = rest.partition("/")
    return programme_id, _bounded(place, most=_LAST_PLACE), line_id


def line_key(row: Mapping[str, Any]) -> str:
    """Return what `line_of` reads again."""
    return f"{row['programme_id']}/{row['place']}/{row['line_id']}"


def _bounded(text: str, *, most: int) -> int:
    if not _is_number(text) or int(text) > most:
        raise InvalidCursor
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_LAST_POSITION))
