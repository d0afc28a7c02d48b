"""What the terms of a programme must satisfy (DOMAIN §1)."""

from __future__ import annotations

from typing import ClassVar

from shared.values.calendars import check_zone
from shared.values.money import CurrencyMismatch, Money
from shared.values.rates import MILLION

LONGEST_TENOR_DAYS = 365
DEEPEST_TIER = 10
LONGEST_BUFFER_DAYS = 90


class InvalidTerms(ValueError):
    """Terms that contradict themselves or the platform's bounds."""

    code: ClassVar[str] = "invalid_terms"

    def __init__(self, *, term: str, reason: str) -> None:
        """Keep which term, and why."""
        self.term = term
        self.reason = reason
        super().__init__(f"{term}: {reason}.")


def check_limits(*, currency: str, limit: Money, upstream: Money, downstream: Money, issuance: Money) -> None:
    """Refuse limits in another currency, below zero, or a sub-limit above the programme's; InvalidTerms."""
    for amount in (limit, upstream, downstream, issuance):
        if amount.currency != currency:
            raise CurrencyMismatch(expected=currency, found=amount.currency)
        if amount.amount_minor < 0:
            raise InvalidTerms(term="limit", reason="no limit is below zero")
    subs = {"upstream_limit": upstream, "downstream_limit": downstream, "issuance_limit": issuance}
    for name, amount in subs.items():
        if amount.amount_minor > limit.amount_minor:
            raise InvalidTerms(term=name, reason="a sub-limit is at most the programme's limit")


def check_days(*, max_tenor_days: int, buffer_days: int, grace_days: int) -> None:
    """Refuse a tenor outside 1–365 days and negative or endless buffer and grace (R15); InvalidTerms."""
    if not 1 <= max_tenor_days <= LONGEST_TENOR_DAYS:
        raise InvalidTerms(term="max_tenor_days", reason="a tenor is 1 to 365 days")
    for name, count in {"buffer_days": buffer_days, "grace_days": grace_days}.items():
        if not 0 <= count <= LONGEST_BUFFER_DAYS:
            raise InvalidTerms(term=name, reason=f"0 to {LONGEST_BUFFER_DAYS} days")


def check_shares(*, advance_rate: int, concentration_share: int, max_tier: int, zone: str) -> None:
    """Refuse shares outside (0, 1], tiers outside 1–10 and unknown zones; InvalidTerms, InvalidZone."""
    for name, share in {"advance_rate": advance_rate, "concentration_share": concentration_share}.items():
        if not 0 < share <= MILLION:
            raise InvalidTerms(term=name, reason="a share lies above 0 and is at most 1")
    if not 1 <= max_tier <= DEEPEST_TIER:
        raise InvalidTerms(term="max_tier", reason=f"1 to {DEEPEST_TIER}")
    check_zone(zone)


def check_support(*, direction: str, anchor_support: int) -> None:
    """Refuse a distributor without the anchor's support: no downstream line propagates without (DOMAIN §3)."""
    if not 0 <= anchor_support <= MILLION:
        raise InvalidTerms(term="anchor_support", reason="a share lies between 0 and 1")
    if direction == "downstream" and anchor_support == 0:
        raise InvalidTerms(term="anchor_support", reason="a distributor needs the anchor's signed support")
