"""The purposes in force on a date, read from dated policy files."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from types import MappingProxyType

from services.credit.domain.instructions import PurposeRules
from shared.values.money import parse_minor
from shared.values.policies import policy_on


@lru_cache(maxsize=64)
def purpose_rules(*, on: date) -> PurposeRules:
    """Return the purposes in force on a date; NoPolicy when there are none."""
    policy = policy_on("purposes", on=on)
    codes = policy.values["codes"]
    words = {word: code for code, labels in codes.items() for word in (code, *labels.get("also", ()))}
    above = policy.values["entrusted_above"]
    return PurposeRules(
        version=policy.version,
        codes=MappingProxyType(words),
        entrusted_above=MappingProxyType(
            {currency: parse_minor(amount=text, currency=currency) for currency, text in above.items()}
        ),
    )
