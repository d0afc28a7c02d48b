"""Blocks: draws on a line, or on every line of a firm, stopped at once for a cause (DOMAIN §5, decision 0030)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

Scope = Literal["line", "firm"]
# What a blocked line says against drawing, and a drawdown that a block ended about its end.
BARS: Mapping[Scope, str] = {"line": "line_blocked", "firm": "firm_blocked"}


class UnknownBlockReason(ValueError):
    """No block reason has this code."""

    code: ClassVar[str] = "unknown_block_reason"

    def __init__(self, *, reason: str, known: Sequence[str]) -> None:
        """Keep what was said (shortened) and the codes that there are."""
        self.reason = reason[:40]
        self.known = list(known)
        super().__init__(f"A block's reason is one of {', '.join(self.known)}.")


class BlockLifted(Exception):
    """The block was lifted before; another one may have come since."""

    code: ClassVar[str] = "block_lifted"

    def __init__(self, *, block_id: str) -> None:
        """Keep the block."""
        self.block_id = block_id
        super().__init__("The block was lifted already.")


@dataclass(frozen=True, slots=True)
class Target:
    """What is blocked: one line, or a firm with all lines that it has and will have."""

    scope: Scope
    subject: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why, and who says so; `reference` tells causes of one reason apart (an order's number, a warning's id)."""

    reason: str
    by: str
    note: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class BlockReasons:
    """One version of the reasons: the code of each, with what it is called in each language."""

    version: str
    codes: Mapping[str, Mapping[str, str]]

    def check(self, reason: str) -> None:
        """Refuse a code that is none of them; UnknownBlockReason."""
        if reason not in self.codes:
            raise UnknownBlockReason(reason=reason, known=list(self.codes))


@dataclass(frozen=True, slots=True)
class Blocked:
    """A block as the bank's people read it: since when, by whom, why."""

    scope: Scope
    since: datetime
    by: str
    reason: Mapping[str, str]
    reference: str
    note: str


def bars(*, line_blocked: bool, firm_blocked: bool) -> tuple[str, ...]:
    """Return what blocks say against drawing on a line."""
    return (BARS["line"],) * line_blocked + (BARS["firm"],) * firm_blocked
