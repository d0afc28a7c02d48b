"""The haircuts in force on a date, read from dated policy files."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from types import MappingProxyType

from services.credit.domain.covers import Haircuts
from shared.values.policies import policy_on
from shared.values.rates import parse_rate


@lru_cache(maxsize=64)
def haircuts(*, on: date) -> Haircuts:
    """Return what is taken off the value of each kind of cover; NoPolicy when there is none."""
    policy = policy_on("cover", on=on)
    steps = {
        kind: tuple(sorted((step["from_months"], parse_rate(step["haircut"])) for step in table))
        for kind, table in policy.values.items()
    }
    return Haircuts(policy.version, MappingProxyType(steps))
