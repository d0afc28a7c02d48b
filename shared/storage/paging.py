"""Keyset paging: a page ends with the cursor of the next; no offsets, no counts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")
LONGEST_PAGE = 500
_LONGEST_PLACE = 9  # what an int of PostgreSQL holds for certain


class InvalidCursor(ValueError):
    """A cursor that this API did not make."""

    code: ClassVar[str] = "invalid_cursor"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("The cursor is not one that this API returned; start without one.")


def read_cursor(cursor: str | None) -> str:
    """Return the last key of the previous page, or an empty string for the first page."""
    if not cursor:
        return ""
    try:
        key = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise InvalidCursor from error
    if not key.isprintable():
        # Never one of ours, and PostgreSQL refuses a NUL.
        raise InvalidCursor
    return key


def read_place(key: str, *, first: int) -> int:
    """Return the number at which a page that is counted ended, one before `first` without one; InvalidCursor."""
    if not key:
        return first - 1
    if not (key.isascii() and key.isdecimal()) or len(key) > _LONGEST_PLACE:
        raise InvalidCursor
    return int(key)


def page(items: Sequence[T], *, limit: int, key: Callable[[T], str]) -> dict[str, Any]:
    """Return a page of at most `limit` items; `items` holds one more when there is a next page."""
    shown = list(items[:limit])
    more = len(items) > limit
    following = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more else None
    return {"items": shown, "next": following}
