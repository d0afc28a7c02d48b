"""What the terms of a programme must satisfy (DOMAIN §1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from typing import ClassVar

from shared.values.calendars import check_zone
from shared.values.money import CurrencyMismatch, Money
from shared.values.policies import policy_versions
from shared.values.rates import MILLION

LONGEST_TENOR_DAYS = 365
DEEPEST_TIER = 10
LONGEST_BUFFER_DAYS = 90
LONGEST_ACCOUNT = 40
LONGEST_INCREASE_DAYS = 366
LONGEST_AGREEMENT_YEARS = 5
_POLICY_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)


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


def check_increase(
    *, currency: str, limit: Money, upstream: Money, downstream: Money, valid_from: date, valid_until: date
) -> None:
    """Refuse an increase of nothing, in another currency, that ends before it begins or lasts too long; InvalidTerms.

    A sub-limit may be raised alone: it then has more of what the programme has.
    """
    for name, amount in {"limit": limit, "upstream_limit": upstream, "downstream_limit": downstream}.items():
        if amount.currency != currency:
            raise CurrencyMismatch(expected=currency, found=amount.currency)
        if amount.amount_minor < 0:
            raise InvalidTerms(term=name, reason="an increase is not below zero; a cut is a limit change")
    if not any(amount.amount_minor for amount in (limit, upstream, downstream)):
        raise InvalidTerms(term="limit", reason="nothing is increased")
    if valid_until < valid_from:
        raise InvalidTerms(term="valid_until", reason="the increase ends before it begins")
    if (valid_until - valid_from).days >= LONGEST_INCREASE_DAYS:
        raise InvalidTerms(term="valid_until", reason=f"an increase lasts at most {LONGEST_INCREASE_DAYS} days")


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


def check_policy(*, term: str, name: str, standard: str) -> None:
    """Refuse a name that no policy bears, or one that says other things than the standard of its kind; InvalidTerms."""
    versions = policy_versions(name) if _POLICY_NAME.fullmatch(name) else ()
    wanted = set(policy_versions(standard)[-1].values)
    if not versions or any(not wanted <= set(version.values) for version in versions):
        raise InvalidTerms(term=term, reason=f"no {standard} policy has this name")


def check_products(names: Sequence[str]) -> None:
    """Refuse a product that no policy bears, or that is named twice; InvalidTerms."""
    for name in names:
        if not _POLICY_NAME.fullmatch(name) or not policy_versions(f"products/{name}"):
            raise InvalidTerms(term="products", reason=f"there is no product {name[:64]!r}")
    if len(set(names)) != len(names):
        raise InvalidTerms(term="products", reason="each is named once")


def check_payment(*, collection_account: str, cut_off: time) -> None:
    """Refuse an account that no statement could name, and a cut-off with a zone of its own; InvalidTerms."""
    if not 1 <= len(collection_account) <= LONGEST_ACCOUNT or not collection_account.isprintable():
        raise InvalidTerms(term="collection_account", reason=f"1 to {LONGEST_ACCOUNT} printable characters")
    if cut_off.tzinfo is not None:
        raise InvalidTerms(term="cut_off", reason="it is a time in the programme's zone, without an offset of its own")


def check_agreement(*, signed_date: date, expiry_date: date) -> None:
    """Refuse a line agreement that ends before it begins, or more than five years after; InvalidTerms."""
    if expiry_date <= signed_date:
        raise InvalidTerms(term="expiry_date", reason="the agreement ends after it begins")
    latest = (signed_date.year + LONGEST_AGREEMENT_YEARS, signed_date.month, signed_date.day)
    if (expiry_date.year, expiry_date.month, expiry_date.day) > latest:
        raise InvalidTerms(term="expiry_date", reason=f"at most {LONGEST_AGREEMENT_YEARS} years after the signature")


def check_member(*, enterprise_id: str, anchor_id: str) -> None:
    """Refuse the anchor as a member of its own programme: it would lend on its own debt; InvalidTerms."""
    if enterprise_id == anchor_id:
        raise InvalidTerms(term="enterprise_id", reason="the anchor is no member of its own programme")


def check_support(*, direction: str, anchor_support: int) -> None:
    """Refuse a distributor without the anchor's support: no downstream line propagates without (DOMAIN §3)."""
    if not 0 <= anchor_support <= MILLION:
        raise InvalidTerms(term="anchor_support", reason="a share lies between 0 and 1")
    if direction == "downstream" and anchor_support == 0:
        raise InvalidTerms(term="anchor_support", reason="a distributor needs the anchor's signed support")
